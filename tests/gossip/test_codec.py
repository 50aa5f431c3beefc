"""Packets survive the way there and back; foreign bytes are refused in silence, message by message."""

from __future__ import annotations

import re
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_gossip import Address
from hubless_gossip.claims import ACCUSERS_MAX, GONE_MAX, Claim, Rank, Standing, Statement
from hubless_gossip.codec import (
    Envelope,
    Fault,
    claim_of,
    entry_of,
    pack_header,
    pack_message,
    pack_packet,
    pack_statement,
    unpack_packet,
    unpack_statement,
)
from hubless_gossip.member import META_MAX_BYTES, NODE_MAX_CHARS
from hubless_gossip.messages import (
    BUCKETS,
    Accuses,
    Ack,
    Buckets,
    Digest,
    Entries,
    Entry,
    IndirectPing,
    Join,
    JoinAnswer,
    LinkReport,
    Message,
    Ping,
    RelayAnswer,
    Says,
    Summaries,
)

MESH = b"testmesh"
LONGEST_HOST = ".".join(["h" * 63] * 3 + ["h" * 61])
few = settings(max_examples=150, deadline=None)

ascii_ = st.characters(min_codepoint=33, max_codepoint=126)
nodes = st.text(ascii_, min_size=1, max_size=8)
counts = st.integers(0, 2**63 - 1)
hashes = st.integers(0, 2**64 - 1)
seqs = st.integers(0, 2**32 - 1)
hosts = (
    st.from_regex(r"([a-z0-9]([a-z0-9_-]{0,5}[a-z0-9])?\.){0,2}[A-Z0-9]{1,5}", fullmatch=True)
    | st.ip_addresses().map(str)
    | st.just("fe80::1%eth0")
)
addresses = st.builds(Address, hosts, st.integers(1, 65535))
statements = st.builds(Statement, nodes, counts, counts, addresses, st.binary(max_size=40))


def names(most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(nodes, max_size=most).map(lambda found: tuple(sorted(found)))


standings = st.builds(
    Standing,
    counts,
    counts,
    st.integers(0, 65535),
    st.sampled_from(Rank),
    names(ACCUSERS_MAX),
    names(GONE_MAX),
)
blobs = statements.map(pack_statement)
entries = st.lists(st.builds(Entry, blobs, st.none() | standings), max_size=3).map(tuple)
loads = st.integers(0, 255)
several = st.lists(nodes, max_size=3).map(tuple)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Ping, seqs, addresses, loads, st.booleans()),
    st.builds(Ack, seqs, loads, st.booleans()),
    st.builds(IndirectPing, seqs, nodes, counts, addresses),
    st.builds(RelayAnswer, seqs, st.integers(0, 2)),
    st.builds(Says, blobs),
    st.builds(Accuses, nodes, standings),
    st.builds(LinkReport, nodes, counts, counts, nodes, st.booleans()),
    st.builds(Digest, hashes, st.integers(0, 65535), addresses),
    st.builds(Buckets, st.lists(hashes, min_size=BUCKETS, max_size=BUCKETS).map(tuple)),
    st.builds(Summaries, hashes, several, st.lists(hashes, max_size=3).map(tuple)),
    st.builds(Entries, entries, several),
    st.builds(Join, blobs),
    st.builds(JoinAnswer, st.integers(0, 9), st.integers(1, 9), entries),
)


def packet(*sent: Message) -> bytes:
    return pack_packet(pack_header(MESH, "sender", 7), [pack_message(message) for message in sent])


@few
@given(st.lists(messages, max_size=20))
def test_round_trip(sent: list[Message]) -> None:
    assert unpack_packet(packet(*sent), MESH) == Envelope("sender", 7, sent, 0, 0)


@few
@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise(raw: bytes) -> None:
    assert isinstance(unpack_packet(raw, MESH), Fault)
    claim = unpack_statement(raw)
    assert claim is None or (claim.statement is not None and pack_statement(claim.statement) == raw)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4)
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)  # fmt: skip


@few
@given(st.lists(plain, max_size=4), st.integers(0, 20))
def test_messages_of_wrong_shape_are_counted_and_skipped(junk: list[Any], tag: int) -> None:
    ack = msgspec.to_builtins(Ack(1, 2, True))
    raw = msgpack.packb([1, MESH, "sender", 7, b"", [[tag, *junk], *junk, ack]])
    found = unpack_packet(raw, MESH)
    if isinstance(found, Envelope):
        assert len(found.messages) + found.unknown + found.malformed == len(junk) + 2
        assert Ack(1, 2, True) in found.messages
    else:
        assert found is Fault.MALFORMED


@few
@given(messages, st.data())
def test_truncated_and_mutated_packets_never_raise(sent: Message, data: st.DataObject) -> None:
    raw = bytearray(packet(sent, Ack(1, 1, False)))
    assert unpack_packet(bytes(raw[: data.draw(st.integers(0, len(raw) - 1))]), MESH) is Fault.MALFORMED
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(unpack_packet(bytes(raw), MESH), Envelope | Fault)


def test_unknown_tags_leave_the_other_messages_alone() -> None:
    raw = msgpack.packb([1, MESH, "sender", 7, b"", [[99, "new"], msgspec.to_builtins(Ack(1, 2, False))]])
    assert unpack_packet(raw, MESH) == Envelope("sender", 7, [Ack(1, 2, False)], 1, 0)


def test_other_meshes_and_versions_are_told_apart() -> None:
    assert unpack_packet(packet(Ack(1, 1, False)), b"othermsh") is Fault.OTHER_MESH
    newer = msgpack.packb([2, MESH, "sender", 7, b"", [], "more"])
    assert unpack_packet(newer, MESH) is Fault.OTHER_VERSION


def test_too_large_a_packet_is_not_even_parsed() -> None:
    assert unpack_packet(b"\x96" + bytes(70_000), MESH) is Fault.MALFORMED


@few
@given(st.builds(Claim, st.just("n"), standings, statements))
def test_entries_carry_claims_whole(claim: Claim) -> None:
    said = claim.statement
    assert said is not None
    found = claim_of(entry_of(Claim(said.node, claim.standing, said)))
    assert found is not None
    assert found.statement == said
    assert (found.standing.rank, found.standing.round) == (claim.standing.rank, claim.standing.round) or (
        claim.standing.rank == Rank.ALIVE and claim.standing.round == 0
    )


def test_the_largest_rumours_fit_a_rumour_packet() -> None:
    node = "n" * NODE_MAX_CHARS
    most = 2**63 - 1
    said = Statement("n" * NODE_MAX_CHARS, most, most, Address(LONGEST_HOST, 65535), bytes(META_MAX_BYTES))
    accused = Standing(most, most, 65535, Rank.DEAD, (node,) * ACCUSERS_MAX, (node,) * GONE_MAX)
    header = pack_header(MESH, node, most)
    for message in (Says(pack_statement(said), bytes(64)), Accuses(node, accused, bytes(64))):
        assert len(pack_packet(header, [pack_message(message)])) <= 1400


def test_names_beyond_ascii_do_not_get_in() -> None:
    assert unpack_packet(pack_packet(pack_header(MESH, "ü", 1), []), MESH) is Fault.MALFORMED


def nowhere(host: str) -> list[list[Any]]:
    """One message of every kind that carries an address, all with this host."""
    statement = msgpack.packb(["n", 1, 1, [host, 5], b""])
    return [[1, 1, [host, 5], 0, False], [3, 1, "n", 1, [host, 5]], [5, statement], [8, 1, 1, [host, 5]]]


NO_HOSTS = [
    "a/b",
    "*",
    ";",
    "%",
    "!",
    "~",
    ".",
    "-",
    ":",
    "a..b",
    ".a",
    "a.",
    "-a",
    "a-",
    "_a",
    "a_",
    "a.-b",
    "tcp://x",
    "x:1",
    "@x",
    "a,b",
    "a;b",
    "a\\b",
    "[::1]",
    "::1::2",
    "1:2",
    "::::",
    "12345::",
    "fe80::1%",
    "%eth0",
    "::1%*",
    "::1%a/b",
    "::1%;",
    "::١",
    "é",
    "１",
]


@pytest.mark.parametrize(
    "host", [*NO_HOSTS, "", " ", "a b", "a\n", "a\tb", "::1\n", "\0", "h" * 64, f"{LONGEST_HOST}h"]
)
def test_a_host_that_is_none_makes_a_malformed_message(host: str) -> None:
    with pytest.raises(ValueError, match="host must be"):
        Address(host, 5)
    ping, please, says, digest = nowhere(host)
    raw = msgpack.packb(
        [1, MESH, "sender", 7, b"", [ping, please, digest, msgspec.to_builtins(Ack(1, 2, True))]]
    )
    assert unpack_packet(raw, MESH) == Envelope("sender", 7, [Ack(1, 2, True)], 0, 3)
    assert unpack_statement(says[1]) is None


PLAIN_HOST = re.compile(r"[0-9A-Za-z]([0-9A-Za-z._-]*[0-9A-Za-z])?")


@few
@given(st.text(ascii_ | st.characters(), max_size=12) | st.text("a.:%-*/[]_0", max_size=8))
def test_whatever_passes_for_a_host_is_harmless(host: str) -> None:
    found = unpack_packet(msgpack.packb([1, MESH, "sender", 7, b"", nowhere(host)[:1]]), MESH)
    assert isinstance(found, Envelope)
    if found.messages:
        bare, _, zone = host.partition("%")
        assert ":" in bare or (not zone and ".." not in host)
        assert all(PLAIN_HOST.fullmatch(part) for part in (*filter(None, bare.split(":")), zone or "0"))


@few
@given(hosts)
def test_names_and_addresses_are_hosts(host: str) -> None:
    for raw in nowhere(host)[:1]:
        found = unpack_packet(msgpack.packb([1, MESH, "sender", 7, b"", [raw]]), MESH)
        assert isinstance(found, Envelope)
        assert len(found.messages) == 1


@pytest.mark.parametrize(
    "host", ["::", "::1", "2001:db8::", "::ffff:1.2.3.4", "localhost", "my_app-1.example", LONGEST_HOST]
)
def test_hosts_in_use_are_hosts(host: str) -> None:
    assert Address(host, 5).host == host
