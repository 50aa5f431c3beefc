"""How a node is started: one typed, validated value; flags, environment and TOML are read elsewhere."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hubless_gossip import Address

Profile = Literal["local", "lan", "wan"]

DEFAULT_SHARDS = 64


class ConfigError(ValueError):
    """A setting that cannot work. The text names the setting, its value and the remedy."""


def parse_address(text: str, *, setting: str = "address") -> Address:
    """Reads "host:port", with IPv6 hosts in brackets.

    Raises:
        ConfigError: not of that form, the host is none, or the port is not 0..65535.
    """
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host:
        raise ConfigError(f"{setting} is {text!r}; write it as host:port, such as 127.0.0.1:7000")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{setting} is {text!r}; the port must be a number from 0 to 65535")
    try:
        return Address(host, int(port))
    except ValueError as problem:
        raise ConfigError(f"{setting} is {text!r}; {problem}") from None


def format_address(address: Address) -> str:
    """The "host:port" that `parse_address` reads."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything that a node must be told before it starts.

    Args:
        target: path of a Python file, or dotted name of a module, with `@agent` functions; None runs a node
            that takes and routes work and executes none.
        listen: work socket; port 0 takes a free one.
        gossip: gossip socket; None takes the work port + 1 (or a free one when the work port is 0).
        join: work addresses of any nodes of the mesh; empty founds a new mesh, or resumes the one in `data`.
        data: directory that keeps the node's identity, peers and replicas over restarts; None keeps nothing.
        name: shown to people beside the node id.
        profile: timing preset of gossip and heartbeats.
        workers: worker processes that run tasks; spares come on top.
        spares: warm spares, each ready to replace a worker at once.
        weight: share of keys relative to other nodes.
        shards: how many shards a *new* mesh has, fixed for its life; ignored when joining.
        payload_bytes: largest payload taken or returned.
        queue: tasks that may wait per agent on this node before it refuses.
    """

    target: str | None = None
    listen: Address = field(default_factory=lambda: Address("127.0.0.1", 0))
    gossip: Address | None = None
    join: tuple[Address, ...] = ()
    data: Path | None = None
    name: str = ""
    zone: str = ""
    profile: Profile = "lan"
    workers: int = 1
    spares: int = 1
    weight: int = 1
    shards: int = DEFAULT_SHARDS
    payload_bytes: int = 1024 * 1024
    queue: int = 10_000

    def __post_init__(self) -> None:
        for setting, address in (("listen", self.listen), ("gossip", self.gossip)):
            if address is not None and not is_loopback(address.host):
                raise ConfigError(
                    f"{setting} is {format_address(address)}, which other machines can reach, and this mesh has "
                    "no keys: listen on a loopback address such as 127.0.0.1 (keys arrive with a later release)"
                )
        for address in self.join:
            if not address.port:
                raise ConfigError(
                    f"join is {format_address(address)}; name the port that the node listens on"
                )
        if self.profile not in ("local", "lan", "wan"):
            raise ConfigError(f"profile is {self.profile!r}; choose local, lan or wan")
        for setting, value, least, most in (
            ("workers", self.workers, 1, 256),
            ("spares", self.spares, 0, 64),
            ("weight", self.weight, 1, 64),
            ("shards", self.shards, 1, 4096),
            ("payload_bytes", self.payload_bytes, 1, 64 * 1024 * 1024),
            ("queue", self.queue, 1, 1_000_000),
        ):
            if not least <= value <= most:
                raise ConfigError(f"{setting} is {value}; it must be from {least} to {most}")
        if len(self.name) > 64:
            raise ConfigError(f"name has {len(self.name)} characters; at most 64 are allowed")
