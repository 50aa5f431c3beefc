"""Faults that do less, and calls that ask for less."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import fields, replace

from hubless_sim.faults import Fault, Lasting
from hubless_sim.search.renumbering import names_in
from hubless_sim.tapes.operations import Call, Operation
from hubless_sim.tapes.tape import Tape

_TURNS = {"blocked_ms": 0, "awake_ms": 0}
_WHOLE = {"rate": 1.0, "factor": 2}
"""What is plain for a fault's field that has no default."""
_TIMES = frozenset({"at_ms", "until_ms"})
_SHORTEST_MS = 2


def narrower_faults(tape: Tape) -> Iterator[Tape]:
    """Tapes one of whose faults, or other operations than calls, concerns fewer nodes, or lasts less, or is plainer."""
    for place, fault in enumerate(tape.faults):
        for narrower in _narrower(fault):
            yield replace(tape, faults=(*tape.faults[:place], narrower, *tape.faults[place + 1 :]))
    for place, operation in enumerate(tape.operations):
        for narrowed in _fewer_names(operation):
            yield _with_operation(tape, place, narrowed)


def narrower_call(tape: Tape) -> Iterator[Tape]:
    """Tapes with one call that asks for less, or whose script is plainer."""
    for place, call in enumerate(tape.operations):
        if isinstance(call, Call):
            for changes in _plainer_calls(call):
                yield _with_operation(tape, place, replace(call, **changes))


def _with_operation(tape: Tape, place: int, operation: Operation) -> Tape:
    return replace(tape, operations=(*tape.operations[:place], operation, *tape.operations[place + 1 :]))


def _narrower(fault: Fault) -> Iterator[Fault]:
    yield from _fewer_names(fault)
    yield from _plainer(fault)
    if isinstance(fault, Lasting) and fault.until_ms is not None:
        lasts_ms = fault.until_ms - fault.at_ms
        if lasts_ms >= _SHORTEST_MS:
            yield replace(fault, until_ms=fault.at_ms + lasts_ms // 2)
            yield replace(fault, at_ms=fault.until_ms - lasts_ms // 2)
            yield replace(fault, until_ms=fault.until_ms - lasts_ms // 4)
            yield replace(fault, at_ms=fault.at_ms + lasts_ms // 4)


def _fewer_names(part: Any) -> Iterator[Any]:
    """With one node less in one of its lists; an empty list would mean all."""
    for field, names in names_in(part).items():
        if len(names) > 1:
            for name in reversed(names):
                yield replace(part, **{field: tuple(each for each in names if each != name)})
    sides = getattr(part, "sides", ())
    for place, side in enumerate(sides):
        if len(side) > 1:
            for name in reversed(side):
                fewer = tuple(each for each in side if each != name)
                yield replace(part, sides=(*sides[:place], fewer, *sides[place + 1 :]))


def _plainer(fault: Fault) -> Iterator[Fault]:
    if getattr(fault, "blocked_ms", 0):
        yield replace(fault, **_TURNS)
    for field in fields(fault):
        value = getattr(fault, field.name)
        plain = _WHOLE.get(field.name, field.default)
        if (
            field.name not in _TIMES
            and field.name not in _TURNS
            and plain is not msgspec.NODEFAULT
            and not isinstance(value, tuple)
            and value != plain
        ):
            yield replace(fault, **{field.name: plain})


def _plainer_calls(call: Call) -> Iterator[dict[str, Any]]:
    for field in fields(call):
        plain = field.default
        if (
            field.name != "deadline_ms"
            and plain is not msgspec.NODEFAULT
            and getattr(call, field.name) != plain
        ):
            yield {field.name: plain}
    script = call.script
    if script.does:
        yield {"script": replace(script, does=())}
        yield {"script": replace(script, does=script.does[:-1])}
        yield {"script": replace(script, does=script.does[1:])}
    if script.ms is not None:
        yield {"script": replace(script, ms=None)}
