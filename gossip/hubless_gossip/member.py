"""Who is who: addresses, identities and what users see of a member. Values only, no rules.

The rules about which claim wins live in `claims.py`.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Annotated

from msgspec import Meta, Struct

NODE_MAX_CHARS = 64
HOST_MAX_CHARS = 253
META_MAX_BYTES = 768
NUMBER_MAX = 2**63 - 1

VISIBLE_ASCII = r"^[!-~]+\Z"
"""Names on the wire: one byte a character, so that sizes are known, and harmless in logs."""

NodeId = Annotated[str, Meta(min_length=1, max_length=NODE_MAX_CHARS, pattern=VISIBLE_ASCII)]
Count = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
Host = Annotated[str, Meta(min_length=1, max_length=HOST_MAX_CHARS)]
Port = Annotated[int, Meta(ge=1, le=65535)]
MetaBytes = Annotated[bytes, Meta(max_length=META_MAX_BYTES)]
Load = Annotated[int, Meta(ge=0, le=255)]


_LABEL = r"[0-9A-Za-z](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_IPV6_CHARACTERS = re.compile(r"[0-9A-Za-z.:%_-]+\Z")


@lru_cache(maxsize=4096)
def is_host(host: str) -> bool:
    """Whether this is a name or an IP address and nothing that a socket could read as anything else.

    Names: RFC 1123 section 2.1, and underscores within a label. Of IPv6 addresses also those with a zone.
    """
    if len(host) > HOST_MAX_CHARS:
        return False
    if ":" not in host:
        return _NAME.match(host) is not None
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return _IPV6_CHARACTERS.match(host) is not None


class Address(Struct, frozen=True, array_like=True, gc=False, order=True):
    """Where the gossip socket of a node is bound. A `host` that is none raises ValueError.

    Peers choose the addresses that others then connect to: whatever makes it to here must be safe to hand to
    a socket. Remembering the hosts seen makes this one dictionary lookup while decoding.
    """

    host: Host
    port: Port

    def __post_init__(self) -> None:
        if not is_host(self.host):
            raise ValueError(f"host must be a name or an IP address, not {self.host!r}")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Condition(enum.IntEnum):
    """What users see of a member; a higher one is worse.

    BUSY: the process lives (its I/O thread answers) and its application is silent, or it says itself
    that it is busy. It gets no new work and is not declared dead.
    """

    ALIVE = 0
    BUSY = 1
    SUSPECT = 2
    DEAD = 3
    LEFT = 4


class Identity(Struct, frozen=True):
    """This process: `mesh` (8 bytes), `node` (1..64 visible ASCII characters), `boot` (rises at each start)
    and the `address` at which its peers reach it."""

    mesh: bytes
    node: str
    boot: int
    address: Address

    def __post_init__(self) -> None:
        if len(self.mesh) != 8:
            raise ValueError(f"mesh must be 8 bytes, not {len(self.mesh)}: pass the id made at genesis")
        if not (1 <= len(self.node) <= NODE_MAX_CHARS and re.search(VISIBLE_ASCII, self.node)):
            raise ValueError(f"node must be 1..{NODE_MAX_CHARS} visible ASCII characters: {self.node!r}")
        if not 0 <= self.boot <= NUMBER_MAX:
            raise ValueError(f"boot must be 0..2**63-1, not {self.boot}: count the starts of the node")
        if not 1 <= self.address.port <= 65535:
            raise ValueError(f"address must be host:port with a port in 1..65535, not {self.address}")


class Peer(Struct, frozen=True, array_like=True, gc=False, order=True):
    """One process of a node and where it was last seen."""

    node: NodeId
    boot: Count
    address: Address


class Member(Struct, frozen=True, gc=False):
    """What this node believes of one member, as shown to users.

    `since_ns` is the moment (driver's clock) at which this node adopted the present condition; `load`
    is 0..255 as the member last told this node directly, 0 if it never did.
    """

    node: str
    boot: int
    incarnation: int
    condition: Condition
    address: Address
    meta: bytes
    load: int
    since_ns: int
