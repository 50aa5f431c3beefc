"""What the node core asks its driver to do, beside the effects of `hubless_gossip` and `hubless_agents`."""

from __future__ import annotations

from msgspec import Struct

from hubless.placement import Preferences, RingMember
from hubless.shard.events import ShardEffect
from hubless.wire import Message
from hubless_agents import SupervisorEffect
from hubless_gossip import Address, Persist, SendPacket, Tell, WatchLinks


class ToPeer(Struct, frozen=True, gc=False):
    """What a role says to a role on `node`, this one or another. It never leaves the core: see `SendWork`."""

    node: str
    message: Message


class SendWork(Struct, frozen=True, gc=False):
    """Send a message to another node's work socket, in one frame with what else goes there in this tick."""

    to: Address
    message: Message


class ToClient(Struct, frozen=True, gc=False):
    """Send a message back over the connection that `route` names."""

    route: bytes
    message: Message


class RefuseClient(Struct, frozen=True, gc=False):
    """Tell a connection, in words that every version can read, why nothing else will be said to it."""

    route: bytes
    text: str


class BuildRing(Struct, frozen=True):
    """Work out `preferences.changed(members)` and come back with `RingBuilt`.

    Placing a thousand nodes takes tens of milliseconds, which the hot path does not have.
    """

    preferences: Preferences
    members: tuple[RingMember, ...]


class DropPeer(Struct, frozen=True, gc=False):
    """The process behind these addresses is gone: close the connections, with what waits in their queues."""

    gossip: Address
    work: Address | None


class Log(Struct, frozen=True, gc=False):
    """A line for people. `level` is "info", "warning" or "error".

    A line about a member's condition names both for programs too.
    """

    level: str
    text: str
    member: str = ""
    condition: str = ""


class DepartureAsked(Struct, frozen=True, gc=False):
    """An operator asked, through another node, that this one leave. For the node's own ears."""

    reason: str
    drain: bool = False


class Serving(Struct, frozen=True):
    """The node serves: it is in the mesh, and its workers, if it has any, offer these agents. Said once."""

    agents: tuple[str, ...]


class Halt(Struct, frozen=True, gc=False):
    """The node has left the mesh, or cannot go on: stop the driver. `problem` is "" when all went well."""

    problem: str = ""


NodeEffect = (
    ToPeer
    | ShardEffect
    | SendWork
    | ToClient
    | RefuseClient
    | BuildRing
    | DropPeer
    | Log
    | Serving
    | DepartureAsked
    | Halt
    | SendPacket
    | WatchLinks
    | Persist
    | Tell
    | SupervisorEffect
)
