"""What a test can do to its mesh, from now on and until it takes it back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from hubless_sim.faults import (
    AgentAnswers,
    Bandwidth,
    Fault,
    Isolate,
    Latency,
    Loss,
    Misconfigured,
    OneWay,
    Partition,
    Pause,
    SlowNode,
    StoreSevered,
    StoreSlow,
    StoreToken,
    index_of,
)
from hubless_sim.faults.base import Lasting
from hubless_sim.testing.run import AgentsRun


class Imposed:
    """Something that was done to the mesh and lasts: ``lift`` ends it, and so does leaving a ``with`` block."""

    def __init__(self, text: str, end: Callable[[], None]) -> None:
        self.text = text
        self.is_over = False
        self._end = end

    def lift(self) -> None:
        """End it; harmless when it has ended."""
        if not self.is_over:
            self.is_over = True
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lift()

    def __repr__(self) -> str:
        return f"<{self.text}{', over' if self.is_over else ''}>"


class Breaking(ABC):
    """Nodes are named ``n0``, ``n1``, ...; ``client`` is the test's own client, which cuts leave alone unless named.

    So are the clients that `connect` made, ``client-1`` and so on.
    """

    nodes: tuple[str, ...]

    def __init__(self) -> None:
        self._imposed: list[Imposed] = []

    @property
    @abstractmethod
    def run(self) -> AgentsRun:
        """The run."""

    @abstractmethod
    def did(self, text: str) -> None:
        """Remember what was done."""

    # The network

    def cut(self, left: Sequence[str], right: Sequence[str] = ()) -> Imposed:
        """Let nothing pass between two sides; ``right`` empty is all other nodes."""
        sides = (_listed(left), _listed(right) or tuple(name for name in self.nodes if name not in left))
        self.indices([*sides[0], *sides[1]])
        if both := sorted(set(sides[0]) & set(sides[1])):
            raise ValueError(f"{both[0]} is on both sides of the cut; take it off one")
        text = f"cut {' '.join(sides[0])} | {' '.join(sides[1])}"
        return self._begin(text, Partition(at_ms=0, sides=(self._names(sides[0]), self._names(sides[1]))))

    def cut_one_way(self, sources: Sequence[str], targets: Sequence[str] = ()) -> Imposed:
        """Let nothing from the sources reach the targets (none named: everybody); the way back works."""
        text = f"cut one way {' '.join(_listed(sources))} -> {' '.join(_listed(targets)) or 'everybody'}"
        return self._begin(text, OneWay(at_ms=0, sources=self._names(sources), targets=self._names(targets)))

    def isolate(self, *nodes: str) -> Imposed:
        """Cut each of the nodes off from everybody, clients too."""
        return self._begin(f"isolated {' '.join(nodes)}", Isolate(at_ms=0, nodes=self._names(nodes)))

    def lose(self, rate: float, sources: Sequence[str] = (), targets: Sequence[str] = ()) -> Imposed:
        """Lose this share of the packets from the sources to the targets (none named: all nodes).

        Clients are spared unless they are named: theirs are connections, which lose nothing short of being cut.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"rate is {rate}; it is a share, from 0 to 1")
        sides = (self._names(sources or self.nodes), self._names(targets or self.nodes))
        fault = Loss(at_ms=0, rate=rate, sources=sides[0], targets=sides[1])
        return self._begin(f"lost {rate:g} of all packets", fault)

    def delay(
        self, seconds: float, jitter: float = 0.0, sources: Sequence[str] = (), targets: Sequence[str] = ()
    ) -> Imposed:
        """Have packets take so much longer, and an exponential share with mean ``jitter`` on top."""
        fault = Latency(
            at_ms=0,
            base_us=round(seconds * 1e6),
            jitter_us=round(jitter * 1e6),
            sources=self._names(sources),
            targets=self._names(targets),
        )
        return self._begin(f"delayed packets by {seconds:g} s", fault)

    def throttle(self, bytes_per_s: int, sources: Sequence[str] = (), targets: Sequence[str] = ()) -> Imposed:
        """Have each link carry no more than this."""
        if bytes_per_s < 1:
            raise ValueError(f"bytes_per_s is {bytes_per_s}; it must be at least 1")
        fault = Bandwidth(
            at_ms=0, bytes_per_s=bytes_per_s, sources=self._names(sources), targets=self._names(targets)
        )
        return self._begin(f"throttled links to {bytes_per_s} B/s", fault)

    # Nodes

    def kill(self, *nodes: str, silent: bool = False) -> None:
        """End the nodes' processes and workers at once.

        ``silent``: their machines too, so that no reset tells anybody.
        """
        for index in self.indices(nodes):
            self.run.world.crash(index, silent=silent)
        self.did(f"killed {' '.join(nodes)}{' with their machines' if silent else ''}")

    def restart(self, *nodes: str, wipe: bool = False) -> None:
        """Start the nodes (none named: all that are down) from what is on their disks; ``wipe`` empties these first.

        One that runs is killed first.
        """
        nodes = nodes or tuple(name for name in self.nodes if name not in self.run.running())
        for index in self.indices(nodes):
            self.run.world.crash(index)
            if wipe:
                self.run.world.wipe(index)
            self.run.world.start(index)
        self.did(f"restarted {' '.join(nodes)}{' with empty disks' if wipe else ''}")

    def pause(self, *nodes: str) -> Imposed:
        """Stop the nodes and their workers as SIGSTOP does."""
        return self._begin(f"paused {' '.join(nodes)}", Pause(at_ms=0, nodes=self._names(nodes)))

    def slow(self, *nodes: str, factor: int) -> Imposed:
        """Have whatever the nodes do take so many times longer."""
        if factor < 2:
            raise ValueError(f"factor is {factor}; it must be at least 2")
        fault = SlowNode(at_ms=0, nodes=self._names(nodes), factor=factor)
        return self._begin(f"slowed {' '.join(nodes)} down {factor} times", fault)

    # Anything else

    def afflict(self, fault: Fault) -> Imposed:
        """Begin a lasting fault of `hubless_sim.faults` now, whatever times it has."""
        if not isinstance(fault, Lasting):
            raise TypeError(f"{fault!r} does not last; give it to impose, with the time at which it happens")
        _check_reach(fault)
        return self._begin(f"began {fault!r}", fault)

    def impose(self, fault: Fault) -> None:
        """Have a fault of `hubless_sim.faults` at its own times, which count from the start of the mesh."""
        _check_reach(fault)
        fault.impose(self.run.world)
        self.did(f"to come: {fault!r}")

    def standing(self) -> tuple[Imposed, ...]:
        """What was done and not taken back."""
        return tuple(each for each in self._imposed if not each.is_over)

    def heal(self) -> None:
        """Take back all that lasts; nodes that are down stay so, see ``restart``."""
        for each in self.standing():
            each.lift()

    def indices(self, nodes: Sequence[str]) -> list[int]:
        """The numbers of nodes and clients. Raises ValueError for a name that is none's."""
        clients = self.run.client_names()
        for name in _listed(nodes):
            if name not in (*self.nodes, *clients):
                known = f"this mesh has {self.nodes[0]} to {self.nodes[-1]}, and {', '.join(clients)}"
                raise ValueError(f"there is no node {name!r}; {known}")
        return [clients.get(name, index_of(name)) for name in _listed(nodes)]

    def _names(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"n{index}" for index in self.indices(nodes))

    def _begin(self, text: str, fault: Lasting) -> Imposed:
        lift = fault.begin(self.run.world)

        def end() -> None:
            self.did(f"no longer: {text}")
            lift()

        self.did(text)
        imposed = Imposed(text, end)
        self._imposed.append(imposed)
        return imposed


def _check_reach(fault: Fault) -> None:
    """Refuse what befalls nothing that users' agents have."""
    match fault:
        case StoreSevered() | StoreSlow() | StoreToken():
            raise ValueError(f"{fault!r} is of the simulator's store; have your agents' own stores fail them")
        case AgentAnswers(does="wrong"):
            raise ValueError(f"{fault!r}: only a script knows what is wrong; have the agent itself answer so")
        case Misconfigured(does="contract"):
            raise ValueError(f"{fault!r}: the contracts of your agents are made from their functions")
        case _:
            pass


def _listed(nodes: Sequence[str]) -> tuple[str, ...]:
    """One name is a list of one, and not of its letters."""
    return (nodes,) if isinstance(nodes, str) else tuple(nodes)
