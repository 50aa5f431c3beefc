"""Tapes that take less time: they end when the failure is seen, and idle time goes."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from msgspec.structs import replace

from hubless_sim.faults import MS, Lasting
from hubless_sim.search.calm import calm_ms
from hubless_sim.search.renumbering import with_operations
from hubless_sim.tapes.systems import MeshSystem, ShardSystem, System
from hubless_sim.tapes.tape import Tape
from hubless_sim.verdict import Violation

_STEPS = 8

Moved = Callable[[int], int]
"""The new time of an old one, in ms."""


def cut(tape: Tape, violations: Sequence[Violation]) -> Iterator[Tape]:
    """Tapes that end before their calm, and so ask for safety only; the shortest first.

    Where it is known when the failure was seen, that is the end.
    """
    last_ms = (calm_ms(tape) or tape.duration_ms + 1) - 1
    seen_ms = [violation.at_ns // MS + 1 for violation in violations if violation.at_ns is not None]
    steps = [] if isinstance(tape.system, MeshSystem) else range(1, _STEPS + 1)
    ends = seen_ms[:1] or [last_ms * step // _STEPS for step in steps]
    ended = (_ended(tape, end_ms) for end_ms in ends if 0 < end_ms <= last_ms and end_ms < tape.duration_ms)
    return (each for each in ended if calm_ms(each) is None)


def shorter(tape: Tape) -> Iterator[Tape]:
    """Tapes without the time between two things that happen before the calm, or a part of it."""
    for before_ms, after_ms in pairwise(_times(tape)):
        for less_ms in (after_ms - before_ms, (after_ms - before_ms) // 2, (after_ms - before_ms) // 4):
            if less_ms:
                yield _moved(tape, _earlier(after_ms, less_ms))
    if isinstance(tape.system, ShardSystem):
        work = tape.system.workload
        lasts_ms = work.until_ms - work.from_ms
        for less_ms in (lasts_ms // 2, lasts_ms // 4):
            if less_ms > 0:
                fewer = replace(work, until_ms=work.until_ms - less_ms)
                yield replace(tape, system=replace(tape.system, workload=fewer))
                fewer = replace(work, from_ms=work.from_ms + less_ms)
                yield replace(tape, system=replace(tape.system, workload=fewer))


def _ended(tape: Tape, end_ms: int) -> Tape:
    """What would have begun later goes."""
    kept = [place for place, operation in enumerate(tape.operations) if operation.at_ms < end_ms]
    system = tape.system
    match system:
        case MeshSystem():
            system = replace(system, owned_ms=None)
        case ShardSystem(workload=workload):
            fewer = replace(workload, until_ms=min(workload.until_ms, end_ms))
            system = replace(system, workload=fewer)
        case _:
            pass
    return replace(
        with_operations(tape, kept),
        duration_ms=end_ms,
        faults=tuple(fault for fault in tape.faults if fault.at_ms < end_ms),
        system=system,
    )


def _times(tape: Tape) -> list[int]:
    """When anything happens until the calm begins."""
    times = {0, tape.duration_ms}
    for fault in tape.faults:
        times.add(fault.at_ms)
        if isinstance(fault, Lasting) and fault.until_ms is not None:
            times.add(fault.until_ms)
    times.update(operation.at_ms for operation in tape.operations)
    match tape.system:
        case ShardSystem(workload=workload):
            times.update((workload.from_ms, workload.until_ms, workload.probe_ms))
        case MeshSystem(owned_ms=int(owned_ms)):
            times.add(owned_ms)
        case _:
            pass
    last_ms = calm_ms(tape) or tape.duration_ms
    return sorted(each for each in times if each <= last_ms)


def _earlier(from_ms: int, less_ms: int) -> Moved:
    return lambda at_ms: at_ms - less_ms if at_ms >= from_ms else at_ms


def _moved(tape: Tape, moved: Moved) -> Tape:
    faults = []
    for fault in tape.faults:
        until_ms = fault.until_ms if isinstance(fault, Lasting) else None
        changes = {"at_ms": moved(fault.at_ms)}
        faults.append(
            replace(fault, **changes if until_ms is None else changes | {"until_ms": moved(until_ms)})
        )
    return replace(
        tape,
        faults=tuple(faults),
        operations=tuple(replace(each, at_ms=moved(each.at_ms)) for each in tape.operations),
        system=_moved_system(tape.system, moved),
        duration_ms=moved(tape.duration_ms),
    )


def _moved_system(system: System, moved: Moved) -> System:
    match system:
        case ShardSystem(workload=work):
            times = {field: moved(getattr(work, field)) for field in ("from_ms", "until_ms", "probe_ms")}
            return replace(system, workload=replace(work, **times))
        case MeshSystem(owned_ms=int(owned_ms)):
            return replace(system, owned_ms=moved(owned_ms))
        case _:
            return system
