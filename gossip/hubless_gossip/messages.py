"""The messages of the membership protocol. Array-like structs; the first element on the wire is the tag.

Tags are never used again for another meaning: nodes of several versions talk to each other, and an
unknown tag is counted and skipped.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hubless_gossip.claims import Standing
from hubless_gossip.member import Address, Count, Load, NodeId

BUCKETS = 64
MEMBERS_MAX = 4096
"""That one message names."""
SIGNATURE_MAX_BYTES = 64
BLOB_MAX_BYTES = 1200

Sequence = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Hash = Annotated[int, Meta(ge=0)]
"""64 bits: MessagePack carries no larger integer, and msgspec takes no bound beyond 63 bits."""
Blob = Annotated[bytes, Meta(max_length=BLOB_MAX_BYTES)]
Signature = Annotated[bytes, Meta(max_length=SIGNATURE_MAX_BYTES)]


class Ping(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Direct probe. Carries the sender's address (for a receiver that does not know it), load and busy.

    `incarnation` is that of the sender's last statement, so that who missed it can ask; 0 says nothing.
    """

    seq: Sequence
    address: Address
    load: Load
    busy: bool
    incarnation: Count = 0


class Ack(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Answer to Ping; the envelope says who answers. `incarnation` as in Ping."""

    seq: Sequence
    load: Load
    busy: bool
    incarnation: Count = 0


class IndirectPing(Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Please ping this process for me and tell me under my `seq`."""

    seq: Sequence
    target: NodeId
    boot: Count
    address: Address


class RelayAnswer(Struct, frozen=True, array_like=True, tag=4, gc=False):
    """A relay's answer: 0 nack (I am here, the target is silent), 1 link-alive (its application is silent,
    its I/O thread answers me), 2 ack."""

    seq: Sequence
    outcome: Annotated[int, Meta(ge=0, le=2)]


class Says(Struct, frozen=True, array_like=True, tag=5, gc=False):
    """A node's statement about itself, as the exact bytes it packed (and will sign)."""

    blob: Blob
    signature: Signature = b""


class Accuses(Struct, frozen=True, array_like=True, tag=6):
    """A standing without the statement. `by` will sign it one day."""

    node: NodeId
    standing: Standing
    signature: Signature = b""


class LinkReport(Struct, frozen=True, array_like=True, tag=7, gc=False):
    """`reporter` reaches `target` only through relays. The highest (boot, version) of a pair holds."""

    reporter: NodeId
    boot: Count
    version: Count
    target: NodeId
    degraded: bool


class Digest(Struct, frozen=True, array_like=True, tag=8, gc=False):
    """Push-pull, step 1: hash over all members held live, and how many. No answer means equal."""

    total: Hash
    count: Annotated[int, Meta(ge=0, le=65_535)]
    address: Address


class Buckets(Struct, frozen=True, array_like=True, tag=9):
    """Step 2, when they differ: the hash of each bucket of members."""

    sums: Annotated[tuple[Hash, ...], Meta(min_length=BUCKETS, max_length=BUCKETS)]


class Summaries(Struct, frozen=True, array_like=True, tag=10):
    """Step 3: for the buckets in `mask` that differ, each member's fingerprint (0: held dead or left)."""

    mask: Hash
    nodes: Annotated[tuple[NodeId, ...], Meta(max_length=MEMBERS_MAX)]
    prints: Annotated[tuple[Hash, ...], Meta(max_length=MEMBERS_MAX)]


class Entry(Struct, frozen=True, array_like=True):
    """One member in a push-pull: its statement's bytes, and the standing unless it is plainly alive."""

    blob: Blob
    standing: Standing | None = None
    signature: Signature = b""


class Entries(Struct, frozen=True, array_like=True, tag=11):
    """Steps 4 and 5: members that differ, and the names of those the sender wants in return."""

    entries: Annotated[tuple[Entry, ...], Meta(max_length=MEMBERS_MAX)]
    wants: Annotated[tuple[NodeId, ...], Meta(max_length=MEMBERS_MAX)] = ()


class Join(Struct, frozen=True, array_like=True, tag=12, gc=False):
    """Let me in: my statement. Answered with JoinAnswer."""

    blob: Blob
    signature: Signature = b""


class JoinAnswer(Struct, frozen=True, array_like=True, tag=13):
    """The full view of whoever was asked, in parts."""

    part: Annotated[int, Meta(ge=0, le=4095)]
    parts: Annotated[int, Meta(ge=1, le=4096)]
    entries: Annotated[tuple[Entry, ...], Meta(max_length=MEMBERS_MAX)]


Message = (
    Ping
    | Ack
    | IndirectPing
    | RelayAnswer
    | Says
    | Accuses
    | LinkReport
    | Digest
    | Buckets
    | Summaries
    | Entries
    | Join
    | JoinAnswer
)

MESSAGES: tuple[type[Message], ...] = (
    Ping,
    Ack,
    IndirectPing,
    RelayAnswer,
    Says,
    Accuses,
    LinkReport,
    Digest,
    Buckets,
    Summaries,
    Entries,
    Join,
    JoinAnswer,
)
