"""What goes into the core and what comes out of it: events, effects and membership events.

`Gossip.handle(now_ns, event)` takes one `Event` and returns an ordered list of `Effect`s. Order is the
contract: a `Persist` stands before the packets that depend on it.
"""

from __future__ import annotations

import msgpack
import msgspec
from msgspec import Struct

from hubless_gossip.member import Address, Condition, Count, Member, Peer

REMEMBERED_PEERS_MAX = 4096


class Remembered(Struct, frozen=True, array_like=True):
    """What a node must find again after a restart: its incarnation and its peers, failed ones included."""

    incarnation: Count
    peers: tuple[Peer, ...] = ()

    def to_bytes(self) -> bytes:
        """MessagePack; at most about 200 B a peer and 4096 peers."""
        packed: bytes = msgpack.packb(msgspec.to_builtins(self, builtin_types=(bytes,)), use_bin_type=True)
        return packed

    @classmethod
    def from_bytes(cls, raw: bytes) -> Remembered:
        """The inverse of `to_bytes`. Raises ValueError on anything else: start with `Remembered(0)` then,
        and with a boot higher than any before."""
        try:
            plain = msgpack.unpackb(raw, raw=False, strict_map_key=True, max_array_len=REMEMBERED_PEERS_MAX)
            return msgspec.convert(plain, cls)
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            raise ValueError(f"remembered: not a remembered state ({error})") from None


# --- events ---------------------------------------------------------------------------------------


class PacketReceived(Struct, frozen=True, gc=False):
    """A packet arrived. `source` is where it came from if the transport knows, else None."""

    packet: bytes
    source: Address | None = None


class LinkUp(Struct, frozen=True, gc=False):
    """A monitored link is established with exactly this process."""

    node: str
    boot: int


class LinkDown(Struct, frozen=True, gc=False):
    """A monitored link was reset, or its heartbeats (the peer's I/O thread) went unanswered."""

    node: str
    boot: int


class LinkRefused(Struct, frozen=True, gc=False):
    """After a LinkDown the kernel of the peer's host refused a fresh connection: the process is gone."""

    node: str
    boot: int


class DeadlineReached(Struct, frozen=True, gc=False):
    """The moment that `next_deadline_ns` named has come."""


class JoinRequested(Struct, frozen=True):
    """Join the mesh through any of these addresses; repeated with backoff until one answers."""

    addresses: tuple[Address, ...]


class LeaveRequested(Struct, frozen=True, gc=False):
    """Say goodbye. Keep driving the core until `Gossip.settled`, then stop the process."""


class MetaChanged(Struct, frozen=True, gc=False):
    """Publish new metadata (opaque, at most 768 bytes). Raises this node's incarnation."""

    meta: bytes


class LoadChanged(Struct, frozen=True, gc=False):
    """Own load (0..255) and whether this node takes no new work. Rides on its pings and acks."""

    load: int
    busy: bool


class WatchRequested(Struct, frozen=True):
    """Watch these nodes too, beside the ring neighbours. Replaces the previous request."""

    nodes: tuple[str, ...]


Event = (
    PacketReceived
    | LinkUp
    | LinkDown
    | LinkRefused
    | DeadlineReached
    | JoinRequested
    | LeaveRequested
    | MetaChanged
    | LoadChanged
    | WatchRequested
)


# --- membership events ----------------------------------------------------------------------------


class MemberChanged(Struct, frozen=True):
    """A member is new (`previous` None), changed its condition, or is a new boot of a known node.

    `previous` is the condition that was last *told*: damping may have swallowed some in between.
    """

    member: Member
    previous: Condition | None


class MetaUpdated(Struct, frozen=True):
    """A member published new metadata or a new address."""

    member: Member


class LinkDegraded(Struct, frozen=True, gc=False):
    """`reporter` reaches `target` only through others (or, with degraded False, directly again).
    Nobody is removed for it."""

    reporter: str
    target: str
    degraded: bool


class EventsLost(Struct, frozen=True, gc=False):
    """`count` membership events were dropped at the bound: read `Gossip.members()` again."""

    count: int


MembershipEvent = MemberChanged | MetaUpdated | LinkDegraded | EventsLost


# --- effects --------------------------------------------------------------------------------------


class SendPacket(Struct, frozen=True, gc=False):
    """Send without waiting; losing it is allowed."""

    to: Address
    packet: bytes


class WatchLinks(Struct, frozen=True):
    """Keep a monitored link to exactly these processes (full replacement) and report
    LinkUp / LinkDown / LinkRefused for them."""

    peers: tuple[Peer, ...]


class Persist(Struct, frozen=True):
    """Put `remembered.to_bytes()` on disk before what follows in the list leaves."""

    remembered: Remembered


class Tell(Struct, frozen=True):
    """Tell the rest of the node."""

    event: MembershipEvent


Effect = SendPacket | WatchLinks | Persist | Tell

__all__ = [
    "DeadlineReached",
    "Effect",
    "Event",
    "EventsLost",
    "JoinRequested",
    "LeaveRequested",
    "LinkDegraded",
    "LinkDown",
    "LinkRefused",
    "LinkUp",
    "LoadChanged",
    "MemberChanged",
    "MembershipEvent",
    "MetaChanged",
    "MetaUpdated",
    "PacketReceived",
    "Persist",
    "Remembered",
    "SendPacket",
    "Tell",
    "WatchLinks",
    "WatchRequested",
]
