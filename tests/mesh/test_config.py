"""Settings that cannot work are refused before anything starts, with the remedy."""

import pytest

from hubless.config import ConfigError, NodeConfig, format_address, is_loopback, parse_address
from hubless_gossip import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7000", Address("127.0.0.1", 7000)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_addresses_are_read_and_written_back(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert format_address(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "7000", ":7000", "host", "host:", "host:seven", "host:65536", "host:-1", "h:²", "a/b:5", "*:5"],
)
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--join") as refusal:
        parse_address(text, setting="--join")
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("h", False),
    ],
)
def test_what_only_this_machine_can_reach(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("setting", ["listen", "gossip"])
def test_listening_beyond_loopback_is_refused_while_there_are_no_keys(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{setting} is 0.0.0.0:7000.*keys"):
        NodeConfig(**{setting: Address("0.0.0.0", 7000)})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("workers", 0),
        ("workers", 257),
        ("spares", -1),
        ("weight", 0),
        ("shards", 0),
        ("shards", 4097),
        ("payload_bytes", 0),
        ("queue", 0),
        ("profile", "metro"),
        ("name", "n" * 65),
    ],
)
def test_values_out_of_range_are_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        NodeConfig(**{setting: value})  # type: ignore[arg-type]


def test_nothing_needs_to_be_set() -> None:
    config = NodeConfig()
    assert is_loopback(config.listen.host)
    assert config.join == ()
