"""What a tape is, in few words: what runs, what is asked of it, which faults there are, and which knobs are turned."""

from collections import Counter
from typing import Any

import msgspec

from hubless_sim.tapes.tape import Tape

_PLURALS = {"query": "queries", "load": "load", "meta": "meta"}


def fault_kinds(tape: Tape) -> dict[str, int]:
    """How many faults of each kind there are, the most frequent first."""
    return dict(Counter(_kind(fault) for fault in tape.faults).most_common())


def knobs(tape: Tape) -> dict[str, Any]:
    """Every setting of the system, links, disks and start that is not its default, by its place in the tape."""
    places = {"system": tape.system, "links": tape.links, "disks": tape.disks, "start": tape.start}
    return {name: value for place, settings in places.items() for name, value in _turned(place, settings)}


def described(tape: Tape) -> dict[str, str]:
    """The tape in four lines or less, by what they tell: "tape", "asked", "faults", "knobs"."""
    lines = {"tape": _size(tape)}
    asked = Counter(_kind(operation) for operation in tape.operations)
    if asked:
        lines["asked"] = ", ".join(_counted(number, kind) for kind, number in asked.items())
    lines["faults"] = faults_line(tape)
    turned = ", ".join(
        f"{name.removeprefix('system.')} {_value(value)}" for name, value in knobs(tape).items()
    )
    if turned:
        lines["knobs"] = turned
    return lines


def faults_line(tape: Tape) -> str:
    """ "2 crash, 1 partition, from 1.2 s to 3.6 s"."""
    if not tape.faults:
        return "none"
    kinds = ", ".join(f"{number} {kind}" for kind, number in fault_kinds(tape).items())
    begins_ms = min(fault.at_ms for fault in tape.faults)
    ends = [getattr(fault, "until_ms", fault.at_ms) for fault in tape.faults]
    lasting = [end for end in ends if end is not None]
    if len(lasting) < len(ends):
        return f"{kinds}, from {_seconds(begins_ms)} for ever"
    if max(lasting) == begins_ms:
        return f"{kinds}, at {_seconds(begins_ms)}"
    return f"{kinds}, from {_seconds(begins_ms)} to {_seconds(max(lasting))}"


def _size(tape: Tape) -> str:
    clients = f", {_counted(tape.clients, 'client')}" if tape.clients else ""
    nodes = _counted(tape.nodes, "node")
    return f"{_kind(tape.system)}, {nodes}{clients}, {_seconds(tape.duration_ms)}, seed {tape.seed}"


def _kind(tagged: msgspec.Struct) -> str:
    return str(tagged.__struct_config__.tag)


def _turned(place: str, settings: msgspec.Struct) -> list[tuple[str, Any]]:
    """The fields that differ from their defaults; lists of parts (agents) are no knobs."""
    turned: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(settings):
        name, value = f"{place}.{field.name}", getattr(settings, field.name)
        match value:
            case msgspec.Struct():
                turned += _turned(name, value)
            case dict():
                turned += [(f"{place}.{key}", each) for key, each in sorted(value.items())]
            case tuple() if any(not isinstance(each, str) for each in value):
                pass
            case _ if value != _default(field):
                turned.append((name, value))
            case _:
                pass
    return turned


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case tuple():
            return " ".join(value) or "all"
        case _:
            return str(value)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else _PLURALS.get(noun, f'{noun}s')}"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:g} s"
