"""Whether a tape asks too much: what must live in the end needs a calm in which it can.

Checkers of liveness take for granted that a tape has let go of the mesh by then.  A tape that is made smaller must not
come to fail because a node is left down, a cut is left open, or there is no time left to recover.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from hubless_sim.faults import (
    Crash,
    FailedFlush,
    Fault,
    Lasting,
    Misconfigured,
    PowerCut,
    Restart,
    TornWrite,
)
from hubless_sim.tapes.operations import Call, Leave, Operation, Opinion, Query, Ring
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, ShardSystem
from hubless_sim.tapes.tape import Tape


def calm_ms(tape: Tape) -> int | None:
    """From when on a tape asks that all lives; None if it asks for safety only."""
    match tape.system:
        case ShardSystem(workload=workload):
            return workload.probe_ms if tape.duration_ms >= workload.probe_ms else None
        case MeshSystem(owned_ms=owned_ms):
            return owned_ms
        case GossipSystem(right_views=True, settled_ms=settled_ms):
            return tape.duration_ms if settled_ms is None else settled_ms
        case GossipSystem():
            return None


class Calm(msgspec.Struct, frozen=True):
    """What a mesh has to live with in the calm of a tape, and the time that it has to recover.

    ``ills`` counts what is left of faults and of wrong beliefs, by kind.  ``rest_ms`` goes from the last change to the
    beginning of the calm, ``lasts_ms`` from there to the end.
    """

    ills: Counter[str]
    rest_ms: int
    lasts_ms: int

    def allows(self, tape: Tape) -> bool:
        """Whether a tape asks no more than the one whose calm this is."""
        other = calm_of(tape)
        return other is None or (
            other.ills <= self.ills and other.rest_ms >= self.rest_ms and other.lasts_ms >= self.lasts_ms
        )


def calm_of(tape: Tape) -> Calm | None:
    """The calm of a tape; None if it asks for safety only."""
    from_ms = calm_ms(tape)
    if from_ms is None:
        return None
    last_ms = max((at_ms for at_ms in _changes(tape) if at_ms <= from_ms), default=0)
    return Calm(_ills(tape, from_ms), from_ms - last_ms, tape.duration_ms - from_ms)


def _changes(tape: Tape) -> Iterator[int]:
    """When the world of the nodes changes: faults come and go, nodes leave, beliefs are told."""
    for fault in tape.faults:
        yield fault.at_ms
        if isinstance(fault, Lasting) and fault.until_ms is not None:
            yield fault.until_ms
    for operation in tape.operations:
        if not isinstance(operation, Call | Query) or (isinstance(operation, Query) and operation.node):
            yield operation.at_ms


def _ills(tape: Tape, from_ms: int) -> Counter[str]:
    ills = Counter(
        type(fault).__name__
        for fault in tape.faults
        if isinstance(fault, Lasting)
        and not isinstance(
            fault, TornWrite | FailedFlush | PowerCut | Misconfigured
        )  # these show in the processes
        and (fault.until_ms is None or fault.until_ms > from_ms)
    )
    nodes = _Nodes(tape)
    for _, _, _, change in sorted(_steps(tape), key=lambda step: step[:3]):
        nodes.apply(change)
    return ills + nodes.ills()


_ENDS = 0
_BEGINS = 1
_Step = tuple[int, int, int, "tuple[int, Fault | Operation]"]


def _steps(tape: Tape) -> Iterator[_Step]:
    """What happens to nodes, by time; at one instant ends come first, as a restart then cures a disk that failed."""
    for place, fault in enumerate(tape.faults):
        yield fault.at_ms, _BEGINS, place, (_BEGINS, fault)
        if isinstance(fault, PowerCut | FailedFlush | Misconfigured) and fault.until_ms is not None:
            yield fault.until_ms, _ENDS, place, (_ENDS, fault)
    for place, operation in enumerate(tape.operations):
        yield operation.at_ms, _BEGINS, len(tape.faults) + place, (_BEGINS, operation)


class _Nodes:
    """Which nodes are up, and what they believe, as far as a tape says so."""

    def __init__(self, tape: Tape) -> None:
        self._everybody = tuple(f"n{index}" for index in range(tape.nodes))
        ring = tape.system.ring if isinstance(tape.system, ShardSystem) else ()
        self._ring = frozenset(ring or self._everybody)
        self._down = set(tape.start.absent)
        self._failed: set[str] = set()
        self._rings: dict[str, frozenset[str]] = {}
        self._opinions: dict[tuple[str, str], str] = {}

    def apply(self, change: tuple[int, Fault | Operation]) -> None:
        match change:
            case (_, Crash(nodes=nodes) | Leave(nodes=nodes)) | (1, PowerCut(nodes=nodes)):
                self._down.update(nodes)
            case (_, Restart(nodes=nodes) | PowerCut(nodes=nodes)):
                self._start(nodes)
            case (_, FailedFlush(nodes=nodes) | Misconfigured(nodes=nodes)):
                self._failed.update(nodes)
            case (_, Ring(nodes=nodes, members=members)):
                self._rings.update(dict.fromkeys(nodes, frozenset(members)))
            case (_, Opinion(nodes=nodes, member=member, condition=condition)):
                self._opinions.update({(node, member): condition for node in nodes})
            case _:
                pass

    def ills(self) -> Counter[str]:
        """By kind, how much is wrong."""
        rings = (self._rings.get(name, self._ring) for name in self._everybody)
        return Counter(
            down=len(self._down),
            failed=len(self._failed - self._down),
            rings=sum(ring != frozenset(self._everybody) for ring in rings),
            opinions=sum(condition != "well" for condition in self._opinions.values()),
        )

    def _start(self, nodes: tuple[str, ...]) -> None:
        """A new process knows nothing of what the last one was told."""
        self._down.difference_update(nodes)
        self._failed.difference_update(nodes)
        for name in nodes:
            self._rings.pop(name, None)
        self._opinions = {pair: each for pair, each in self._opinions.items() if pair[0] not in nodes}
