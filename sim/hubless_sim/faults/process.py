"""Faults of processes and machines: they end, stop, starve, slow down, and their clocks go wrong."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from hubless_sim.faults.base import MS, Lasting, Momentary, all_of, indices
from hubless_sim.world.world import World


class Crash(Momentary, frozen=True, tag="crash", tag_field="kind"):
    """The processes of the nodes end at once.  ``silent``: their machines too, no reset tells anybody."""

    nodes: tuple[str, ...]
    silent: bool = False

    def strike(self, world: World) -> None:
        """End the processes."""
        for index in indices(self.nodes):
            world.crash(index, silent=self.silent)


class PowerCut(Lasting, frozen=True, tag="power_cut", tag_field="kind"):
    """All the machines lose power at one instant: no reset tells anybody.  They start when it is back."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Cut the power."""
        for index in indices(self.nodes):
            world.crash(index, silent=True)
        return all_of([partial(world.start, index) for index in indices(self.nodes)])


class Restart(Momentary, frozen=True, tag="restart", tag_field="kind"):
    """New processes start from what the last ones kept; one that still runs is crashed first.

    ``wipe``: the disk is emptied before, so that the node comes back knowing nothing.
    """

    nodes: tuple[str, ...]
    wipe: bool = False

    def strike(self, world: World) -> None:
        """Start the processes anew."""
        for index in indices(self.nodes):
            world.crash(index)
            if self.wipe:
                world.wipe(index)
            world.start(index)


class Pause(Lasting, frozen=True, tag="pause", tag_field="kind"):
    """The processes are stopped as by SIGSTOP: nothing runs, heartbeats go unanswered, kernels live."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Stop the processes."""
        return all_of([world.block(index, silent=True) for index in indices(self.nodes)])


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
        return all_of([turn.end for turn in turns])


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


class SlowNode(Lasting, frozen=True, tag="slow_node", tag_field="kind"):
    """Gray failure: whatever the nodes do takes ``factor`` times longer, each event that they handle and each commit.

    An event takes 20 us of a healthy node.
    """

    nodes: tuple[str, ...]
    factor: int

    def begin(self, world: World) -> Callable[[], None]:
        """Slow the nodes down."""
        return all_of([world.slow(index, self.factor) for index in indices(self.nodes)])


class ClockDrift(Lasting, frozen=True, tag="clock_drift", tag_field="kind"):
    """The clocks of the nodes run ``ppm`` millionths too fast, or too slow if negative."""

    nodes: tuple[str, ...]
    ppm: int

    def begin(self, world: World) -> Callable[[], None]:
        """Let the clocks drift."""
        chosen = indices(self.nodes)
        for index in chosen:
            world.drift(index, world.clock(index).ppm + self.ppm)
        return all_of([partial(self._end, world, index) for index in chosen])

    def _end(self, world: World, index: int) -> None:
        world.drift(index, world.clock(index).ppm - self.ppm)


class ClockJump(Momentary, frozen=True, tag="clock_jump", tag_field="kind"):
    """The wall clocks of the nodes jump by ``by_ms``; the next process that starts there sees it.

    At 0 ms it is an offset that the node has from the beginning.
    """

    nodes: tuple[str, ...]
    by_ms: int

    def strike(self, world: World) -> None:
        """Move the wall clocks."""
        for index in indices(self.nodes):
            world.clock(index).wall_offset_ns += self.by_ms * MS
