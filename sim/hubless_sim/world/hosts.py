"""What the world runs: hosts, the events it hands them and the effects it carries out for them.

A host is one process.  The world makes it at a start, hands it one event at a time and drops the
object at a crash.  Peers are addressed by their number in the topology; whoever adapts a core to
the world (``gossip_host``) maps its addresses and names to these numbers.
"""

from typing import Any, Protocol

import msgspec

from hubless.shard.records import Record, Recovered


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """A packet has arrived from another node."""

    packet: bytes
    source: int


class LinkUp(msgspec.Struct, frozen=True, gc=False):
    """A monitored link finished its handshake with the process ``boot`` of ``peer``."""

    peer: int
    boot: int


class LinkDown(msgspec.Struct, frozen=True, gc=False):
    """A monitored link was reset, or its heartbeats went unanswered for the timeout."""

    peer: int
    boot: int


class LinkRefused(msgspec.Struct, frozen=True, gc=False):
    """After a LinkDown the peer's kernel refused a fresh connection: that process is gone."""

    peer: int
    boot: int


class Due(msgspec.Struct, frozen=True, gc=False):
    """The deadline that the host asked for has been reached."""


class Command(msgspec.Struct, frozen=True):
    """What the outside asks of a host (join, leave, ...); only the host knows what it means."""

    order: Any


class Written(msgspec.Struct, frozen=True, gc=False):
    """The write with this mark is on the disk, and so are all before it."""

    mark: int


class WriteRefused(msgspec.Struct, frozen=True, gc=False):
    """The write with this mark was not made, nor was any that was asked for after it.

    ``full``: the disk has no room; nothing of them is there, and all may be asked for again, in order.  Otherwise a
    flush failed: nobody knows what is there, and nothing that this process writes will be.
    """

    mark: int
    full: bool


HostEvent = Delivered | LinkUp | LinkDown | LinkRefused | Due | Written | WriteRefused | Command


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send one packet.  A target outside the topology is counted as unroutable."""

    target: int
    packet: bytes


class Watch(msgspec.Struct, frozen=True, gc=False):
    """Keep a monitored link to exactly these peers; replaces the earlier set."""

    peers: tuple[int, ...]


class Keep(msgspec.Struct, frozen=True, gc=False):
    """Write the state that the next process of this node starts from; replaces the earlier one."""

    state: bytes


class Write(msgspec.Struct, frozen=True):
    """Commit records to the node's journal, atomically; Written(mark) follows.  Several may be under way, in order."""

    mark: int
    records: tuple[Record, ...]


class Note(msgspec.Struct, frozen=True):
    """Something the host tells whoever observes the run; part of the trace by its ``repr``."""

    value: Any


HostEffect = Send | Watch | Keep | Write | Note


class Host(Protocol):
    """A process in the world: a core, or an adapter around one."""

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """Apply one event atomically; the effects are carried out in order."""
        ...

    def next_deadline_ns(self) -> int | None:
        """When the host wants a Due, or None.  Asked after every event, so it must be cheap."""
        ...


class Birth(msgspec.Struct, frozen=True):
    """What a new process knows: who it is, when, and what it finds on the disk.

    ``now_ns`` is the machine's monotonic clock, ``wall_ns`` its wall clock, in ns since 1970.
    ``kept`` is what a process of the node last kept; ``recovered`` is what the journal holds, in the order of the
    shards.  ``formats`` is how many times the disk was wiped: a host may want to be another node then, which is as old
    as ``formatted_ns``, what the wall clock said at the first start since then.
    """

    node: int
    name: str
    boot: int
    now_ns: int
    kept: bytes
    seed: int
    recovered: tuple[Recovered, ...] = ()
    formats: int = 0
    wall_ns: int = 0
    formatted_ns: int = 0


class HostMaker(Protocol):
    """Makes the process of a node at its start."""

    def __call__(self, birth: Birth) -> Host: ...
