"""The passes of shrinking, each of which takes one sort of thing away from a tape."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice

from msgspec.structs import replace

from hubless_sim.faults import Fault
from hubless_sim.search.attempts import Attempts
from hubless_sim.search.deletion import reduced
from hubless_sim.search.narrowing import narrower_call, narrower_faults
from hubless_sim.search.renumbering import with_operations, without
from hubless_sim.search.settings import plainer
from hubless_sim.search.timing import cut, shorter
from hubless_sim.tapes.operations import Call, Operation
from hubless_sim.tapes.systems import GossipSystem, MeshSystem
from hubless_sim.tapes.tape import Tape

_MOST_PAIRED = 8

Pass = Callable[[Attempts], None]


def _end_early(attempts: Attempts) -> None:
    any(attempts.take(tape) for tape in cut(attempts.tape, attempts.violations))


def _drop_faults(attempts: Attempts) -> None:
    def still_fails(faults: Sequence[Fault]) -> bool:
        return attempts.take(replace(attempts.tape, faults=tuple(faults)))

    reduced(attempts.tape.faults, still_fails)
    if len(attempts.tape.faults) <= _MOST_PAIRED:
        _greedily(attempts, _without_pairs)


def _without_pairs(tape: Tape) -> Iterator[Tape]:
    """Some faults go in pairs only: a crash and its restart, a cut and another one that heals what it did."""
    for pair in combinations(range(len(tape.faults)), 2):
        yield replace(
            tape, faults=tuple(fault for place, fault in enumerate(tape.faults) if place not in pair)
        )


def _drop_operations(attempts: Attempts) -> None:
    first = attempts.tape

    def still_fails(places: Sequence[int]) -> bool:
        return attempts.take(with_operations(replace(attempts.tape, operations=first.operations), places))

    places: Sequence[int] = range(len(first.operations))
    for sort in dict.fromkeys(_sort_of(operation) for operation in first.operations):
        rest = [place for place in places if _sort_of(first.operations[place]) != sort]
        places = rest if still_fails(rest) else places
    reduced(places, still_fails)


def _sort_of(operation: Operation) -> tuple[str, str]:
    """Whole sorts of operations have nothing to do with most failures."""
    asked = operation.agent if isinstance(operation, Call) else getattr(operation, "what", "")
    return type(operation).__name__, asked


def _drop_nodes(attempts: Attempts) -> None:
    """Clients first, and of each the last first: the others keep their names, and with these their places."""
    for index in reversed(range(attempts.tape.nodes + attempts.tape.clients)):
        attempts.take(without(attempts.tape, index))


def _start_all(attempts: Attempts) -> None:
    """Who comes late is there from the beginning."""
    for name in attempts.tape.start.absent:
        tape = attempts.tape
        absent = tuple(each for each in tape.start.absent if each != name)
        attempts.take(replace(tape, start=replace(tape.start, absent=absent)))


def _drop_shards(attempts: Attempts) -> None:
    shards = 1
    while not isinstance(attempts.tape.system, GossipSystem) and shards < attempts.tape.system.shards:
        if attempts.take(replace(attempts.tape, system=replace(attempts.tape.system, shards=shards))):
            return
        shards *= 2


def _drop_agents(attempts: Attempts) -> None:
    """Those that nobody calls."""
    tape = attempts.tape
    if isinstance(tape.system, MeshSystem):
        called = {operation.agent for operation in tape.operations if isinstance(operation, Call)}
        agents = (
            tuple(agent for agent in tape.system.agents if agent.name in called) or tape.system.agents[:1]
        )
        attempts.take(replace(tape, system=replace(tape.system, agents=agents)))


def _put_in_order(attempts: Attempts) -> None:
    """What is written down in the order in which it happens reads best."""
    tape = attempts.tape
    order = sorted(range(len(tape.operations)), key=lambda place: tape.operations[place].at_ms)
    faults = tuple(sorted(tape.faults, key=lambda fault: fault.at_ms))
    attempts.take(replace(tape, faults=faults))
    if not any(isinstance(operation, Call) for operation in tape.operations):
        attempts.take(replace(with_operations(attempts.tape, order), faults=faults))


def _greedily(attempts: Attempts, candidates: Callable[[Tape], Iterator[Tape]]) -> None:
    """Try all candidates; from one that fails on, go on with its own at the same place."""
    place = 0
    while (tape := next(islice(candidates(attempts.tape), place, None), None)) is not None:
        place += not attempts.take(tape)


def _narrow_faults(attempts: Attempts) -> None:
    _greedily(attempts, narrower_faults)


def _narrow_calls(attempts: Attempts) -> None:
    _greedily(attempts, narrower_call)


def _shorten(attempts: Attempts) -> None:
    _greedily(attempts, shorter)


def _plainer_settings(attempts: Attempts) -> None:
    _greedily(attempts, plainer)


COARSE: dict[str, Pass] = {
    "end": _end_early,
    "shards": _drop_shards,
    "faults": _drop_faults,
    "nodes": _drop_nodes,
    "operations": _drop_operations,
    "start": _start_all,
    "agents": _drop_agents,
}
"""What takes whole things away, by the name that a report has for it; it makes the runs cheaper, too."""

FINE: dict[str, Pass] = {
    "settings": _plainer_settings,
    "scope of faults": _narrow_faults,
    "calls": _narrow_calls,
    "time": _shorten,
    "order": _put_in_order,
}
"""What makes the things that are left plainer."""
