"""Faults: what a tape can do to a mesh, when, and to whom.

Each kind is a frozen Struct with ``at_ms`` and, where it lasts, ``until_ms`` (null: for ever).
``impose`` puts it into the world at its time; faults of one kind may overlap.  Nodes are named
``n0`` to ``n<nodes - 1>``; an empty list of sources, targets or sides means all (other) nodes.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from hubless_sim.disk import DiskProfile
from hubless_sim.network import Layer
from hubless_sim.world import World

MS = 1_000_000
MAX_MS = 30 * 24 * 3600 * 1000


class Lasting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fault that begins at ``at_ms`` and ends at ``until_ms`` (null: never)."""

    at_ms: int
    until_ms: int | None = None

    def begin(self, world: World) -> Callable[[], None]:
        """Put the fault in force now; call what is returned to end it."""
        raise TypeError(f"{type(self).__name__} is no fault that {world!r} could suffer")

    def impose(self, world: World) -> None:
        """Put the fault on the world's calendar."""

        def begin() -> None:
            end = self.begin(world)
            if self.until_ms is not None:
                world.at(self.until_ms * MS, end)

        world.at(self.at_ms * MS, begin)


class Crash(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="crash", tag_field="kind"
):
    """The processes of the nodes end at once.  ``silent``: their machines too, no reset tells anybody."""

    at_ms: int
    nodes: tuple[str, ...]
    silent: bool = False

    def impose(self, world: World) -> None:
        """Put the fault on the world's calendar."""
        for index in indices(self.nodes):
            world.at(self.at_ms * MS, lambda index=index: world.crash(index, silent=self.silent))  # type: ignore[misc]


class PowerCut(Lasting, frozen=True, tag="power_cut", tag_field="kind"):
    """All the machines lose power at one instant: no reset tells anybody.  They start when it is back."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Cut the power."""
        for index in indices(self.nodes):
            world.crash(index, silent=True)
        return _all([functools.partial(world.start, index) for index in indices(self.nodes)])


class Restart(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="restart", tag_field="kind"
):
    """New processes start from what the last ones kept; one that still runs is crashed first.

    ``wipe``: the disk is emptied before, so that the node comes back knowing nothing.
    """

    at_ms: int
    nodes: tuple[str, ...]
    wipe: bool = False

    def impose(self, world: World) -> None:
        """Put the fault on the world's calendar."""
        for index in indices(self.nodes):
            world.at(self.at_ms * MS, lambda index=index: self._restart(world, index))  # type: ignore[misc]

    def _restart(self, world: World, index: int) -> None:
        world.crash(index)
        if self.wipe:
            world.wipe(index)
        world.start(index)


class Pause(Lasting, frozen=True, tag="pause", tag_field="kind"):
    """The processes are stopped as by SIGSTOP: nothing runs, heartbeats go unanswered, kernels live."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Stop the processes."""
        return _all([world.block(index, silent=True) for index in indices(self.nodes)])


class Starve(Lasting, frozen=True, tag="starve", tag_field="kind"):
    """The processes do not get to run, while their I/O threads answer heartbeats (if ``links_alive``).

    ``blocks="all"`` stops everything, ``"messages"`` only sends and receipts (deadlines still pass:
    the anomaly of the Lifeguard paper, section V).  With ``blocked_ms`` and ``awake_ms`` the nodes
    are blocked and awake in turns.
    """

    nodes: tuple[str, ...]
    blocks: Literal["all", "messages"] = "all"
    links_alive: bool = True
    blocked_ms: int = 0
    awake_ms: int = 0

    def begin(self, world: World) -> Callable[[], None]:
        """Block the nodes, for good or in turns."""
        turns = [_Turns(self, world, index) for index in indices(self.nodes)]
        for turn in turns:
            turn.block()
        return _all([turn.end for turn in turns])


class _Turns:
    """One node that is blocked and awake in turns until the fault ends."""

    def __init__(self, fault: Starve, world: World, index: int) -> None:
        self._fault = fault
        self._world = world
        self._index = index
        self._ended = False
        self._release: Callable[[], None] | None = None

    def block(self) -> None:
        if self._ended:
            return
        fault, world = self._fault, self._world
        self._release = world.block(
            self._index, timers_run=fault.blocks == "messages", silent=not fault.links_alive
        )
        if fault.awake_ms > 0:
            world.at(world.now_ns + fault.blocked_ms * MS, self._wake)

    def end(self) -> None:
        self._ended = True
        self._let_go()

    def _wake(self) -> None:
        if not self._ended:
            self._let_go()
            self._world.at(self._world.now_ns + self._fault.awake_ms * MS, self.block)

    def _let_go(self) -> None:
        if self._release is not None:
            self._release()
            self._release = None


class Partition(Lasting, frozen=True, tag="partition", tag_field="kind"):
    """No packet passes between the two sides, in either direction.  An empty side is everybody else."""

    sides: tuple[tuple[str, ...], tuple[str, ...]]

    def begin(self, world: World) -> Callable[[], None]:
        """Cut the sides apart."""
        left, right = (set(indices(side)) for side in self.sides)
        everybody = set(range(len(world)))
        return _cut(world, left or everybody - right, right or everybody - left)


class OneWay(Lasting, frozen=True, tag="one_way", tag_field="kind"):
    """Packets from the sources no longer reach the targets; the way back works."""

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Cut one direction."""
        return world.impose(Layer(sources=chosen(self.sources), targets=chosen(self.targets), cut=True))


class Isolate(Lasting, frozen=True, tag="isolate", tag_field="kind"):
    """Each of the nodes is cut off from everybody, and from each other."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Cut the nodes off."""
        alone = set(indices(self.nodes))
        return _cut(world, alone, set(range(len(world))))


class Loss(Lasting, frozen=True, tag="loss", tag_field="kind"):
    """Each packet from the sources to the targets is lost with this chance."""

    rate: float
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Begin to lose packets."""
        return world.impose(Layer(sources=chosen(self.sources), targets=chosen(self.targets), loss=self.rate))


class Duplicate(Lasting, frozen=True, tag="duplicate", tag_field="kind"):
    """Each packet from the sources to the targets arrives twice with this chance."""

    rate: float
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Begin to duplicate packets."""
        return world.impose(
            Layer(sources=chosen(self.sources), targets=chosen(self.targets), duplicate=self.rate)
        )


class Latency(Lasting, frozen=True, tag="latency", tag_field="kind"):
    """Packets take longer by ``base_us`` and by an exponential share with mean ``jitter_us``."""

    base_us: int = 0
    jitter_us: int = 0
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Begin to delay packets."""
        return world.impose(
            Layer(
                sources=chosen(self.sources),
                targets=chosen(self.targets),
                base_ns=self.base_us * 1000,
                jitter_ns=self.jitter_us * 1000,
            )
        )


class SlowDisk(Lasting, frozen=True, tag="slow_disk", tag_field="kind"):
    """Each commit takes longer by ``base_us`` and by an exponential share with mean ``jitter_us``."""

    nodes: tuple[str, ...]
    base_us: int = 0
    jitter_us: int = 0

    def begin(self, world: World) -> Callable[[], None]:
        """Slow the disks down."""
        added = DiskProfile(self.base_us * 1000, self.jitter_us * 1000)
        return _all([world.disk(index).slow(added) for index in indices(self.nodes)])


class StalledDisk(Lasting, frozen=True, tag="stalled_disk", tag_field="kind"):
    """No commit ends until the fault does."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Stall the disks."""
        return _all([world.disk(index).stall() for index in indices(self.nodes)])


class FullDisk(Lasting, frozen=True, tag="full_disk", tag_field="kind"):
    """The disks have room for ``room_bytes`` more; a commit that does not fit is refused, with all after it."""

    nodes: tuple[str, ...]
    room_bytes: int = 0

    def begin(self, world: World) -> Callable[[], None]:
        """Fill the disks."""
        return _all([world.disk(index).fill(self.room_bytes) for index in indices(self.nodes)])


class FailedFlush(Lasting, frozen=True, tag="failed_flush", tag_field="kind"):
    """Flushes fail: a process whose commit meets this gets nothing written any more, even after the fault."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Let flushes fail."""
        return _all([world.disk(index).fail() for index in indices(self.nodes)])


class TornWrite(Lasting, frozen=True, tag="torn_write", tag_field="kind"):
    """A process that ends leaves its first lost commit on the disk in part; the next process finds the damage."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """From now on commits may tear."""
        return _all([world.disk(index).tear() for index in indices(self.nodes)])


class BitRot(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="bit_rot", tag_field="kind"
):
    """Bits flip in what the journals hold of a shard (null: of a drawn one); the next process finds the damage."""

    at_ms: int
    nodes: tuple[str, ...]
    shard: int | None = None

    def impose(self, world: World) -> None:
        """Put the fault on the world's calendar."""
        for index in indices(self.nodes):
            world.at(self.at_ms * MS, functools.partial(world.disk(index).rot, self.shard))


Fault = (
    Crash
    | PowerCut
    | Restart
    | Pause
    | Starve
    | Partition
    | OneWay
    | Isolate
    | Loss
    | Duplicate
    | Latency
    | SlowDisk
    | StalledDisk
    | FullDisk
    | FailedFlush
    | TornWrite
    | BitRot
)

FAULT_KINDS = (
    "crash",
    "power_cut",
    "restart",
    "pause",
    "starve",
    "partition",
    "one_way",
    "isolate",
    "loss",
    "duplicate",
    "latency",
    "slow_disk",
    "stalled_disk",
    "full_disk",
    "failed_flush",
    "torn_write",
    "bit_rot",
)


def index_of(name: str) -> int:
    """The number of the node with this name; -1 if it is not of the form n0, n1, ..."""
    digits = name[1:]
    if name[:1] != "n" or not digits.isascii() or not digits.isdigit() or str(int(digits)) != digits:
        return -1
    return int(digits)


def indices(names: Sequence[str]) -> list[int]:
    """The numbers of these nodes."""
    return [index_of(name) for name in names]


def chosen(names: Sequence[str]) -> frozenset[int] | None:
    """The numbers of these nodes, or None (all) if none is named."""
    return frozenset(indices(names)) or None


def named(fault: Fault) -> list[tuple[str, tuple[str, ...]]]:
    """Every field of the fault that names nodes, as (field, names)."""
    match fault:
        case Partition(sides=(left, right)):
            return [("sides[0]", left), ("sides[1]", right)]
        case OneWay() | Loss() | Duplicate() | Latency():
            return [("sources", fault.sources), ("targets", fault.targets)]
        case _:
            return [("nodes", fault.nodes)]


def _cut(world: World, left: set[int], right: set[int]) -> Callable[[], None]:
    there = Layer(sources=frozenset(left), targets=frozenset(right), cut=True)
    back = Layer(sources=frozenset(right), targets=frozenset(left), cut=True)
    return _all([world.impose(there), world.impose(back)])


def _all(ends: Sequence[Callable[[], None]]) -> Callable[[], None]:
    def end() -> None:
        for each in ends:
            each()

    return end
