"""Words for what is shown: faults, notes and events, times and names."""

from collections.abc import Callable
from typing import Any

import msgspec

from hubless.effects import Log, Serving
from hubless.wire import Told
from hubless_gossip import EventsLost, LinkDegraded, MemberChanged, MetaUpdated
from hubless_sim.faults import Fault, Lasting, named
from hubless_sim.mesh.host import Halted
from hubless_sim.mesh.notes import Answered, GaveUp, Handed, Queried, Receipt, Started, Stray
from hubless_sim.report.readings import Reader
from hubless_sim.report.recording import Event
from hubless_sim.shards.client import Done
from hubless_sim.tapes.tape import Tape
from hubless_sim.world.hosts import Command, LinkDown, LinkRefused, LinkUp, WriteRefused

_MOST_NAMES = 6
_TIMES = ("at_ms", "until_ms")


def kind_of(fault: Fault) -> str:
    """What a fault is called on a tape."""
    return str(fault.__struct_config__.tag)


def fault_words(fault: Fault) -> str:
    """A fault in one line, without its times: whom it befalls, and what of it is not as usual."""
    fields = dict(named(fault))
    match tuple(fields):
        case ("sides[0]", "sides[1]"):
            left, right = fields.values()
            whom = f"{_names(left) or 'the rest'} | {_names(right) or 'the rest'}"
        case ("sources", "targets"):
            sources, targets = fields.values()
            whom = f"{_names(sources) or 'all'} → {_names(targets) or 'all'}" if sources or targets else ""
        case ("nodes", "victims", *_):
            whom = f"{_names(fields['nodes'])} of {_names(fields['victims'])}"
            if accusers := fields.get("accusers"):
                whom += f" as {_names(accusers)}"
        case _:
            whom = _names(tuple(name for names in fields.values() for name in names))
    usual = {field.name: field.default for field in msgspec.structs.fields(type(fault))}
    rest = [
        name if value is True else f"{name} {_names(value) if isinstance(value, tuple) else value}"
        for name, value in msgspec.structs.asdict(fault).items()
        if name not in (*_TIMES, "sides", *fields) and value != usual[name]
    ]
    return " ".join(
        [kind_of(fault).replace("_", " "), *([whom] if whom else []), *([", ".join(rest)] if rest else [])]
    )


def until_ms_of(fault: Fault) -> int | None:
    """When a fault ends; None for one that lasts for ever, and its beginning for one that happens at once."""
    return fault.until_ms if isinstance(fault, Lasting) else fault.at_ms


def lane_name(tape: Tape, node: int) -> str:
    """What a machine is called: clients have the numbers after the nodes."""
    return f"n{node}" if node < tape.nodes else f"n{node} client"


def note_words(note: Any, reader: Reader) -> str:
    """What a process told, in one line."""
    words = _NOTES.get(type(note))
    return type(note).__name__ if words is None else words(note, reader)


def event_words(event: Event) -> str:
    """An event that is no delivery and no deadline, in one line; "" for those two and for commits that went well."""
    if isinstance(event.what, str):
        return {"born": "starts", "gone": "is gone"}[event.what]
    words = _EVENTS.get(type(event.what))
    return "" if words is None else words(event.what)


def _condition_words(note: MemberChanged, _: Reader) -> str:
    before = "" if note.previous is None else f" (was {note.previous.name.lower()})"
    return f"holds {note.member.node} to be {note.member.condition.name.lower()}{before}"


def _answer_words(note: Answered, _: Reader) -> str:
    return f"is answered: call {note.call} {note.code or 'succeeded'}{', provisionally' if note.provisional else ''}"


_NOTES: dict[type, Callable[[Any, Reader], str]] = {
    MemberChanged: _condition_words,
    LinkDegraded: lambda note, _: (
        f"holds the link {note.reporter}→{note.target} to be {'degraded' if note.degraded else 'well again'}"
    ),
    MetaUpdated: lambda note, _: f"hears other metadata of {note.member.node}",
    EventsLost: lambda note, _: f"has lost {note.count} membership events",
    Log: lambda note, _: str(note.text),
    Serving: lambda _, __: "serves",
    Halted: lambda note, _: f"halts: {note.problem}" if note.problem else "halts",
    Started: lambda note, reader: f"starts {reader.task(note.task)} #{note.attempt}",
    Handed: lambda note, _: f"hands in call {note.call}",
    Receipt: lambda note, _: f"has a receipt for call {note.call}",
    Answered: _answer_words,
    GaveUp: lambda note, _: f"gives up call {note.call}",
    Stray: lambda note, reader: f"has an answer that it does not wait for: {reader.task(note.task)}",
    Queried: lambda note, _: f"asks query {note.query}",
    Told: lambda note, _: "is told " + (note.failure.code if note.failure else "the answer to its query"),
    Done: lambda note, _: f"#{note.ask.number} is {'given up' if note.return_ns is None else 'done'}",
}

_EVENTS: dict[type, Callable[[Any], str]] = {
    LinkUp: lambda event: f"has a link to n{event.peer}",
    LinkDown: lambda event: f"has lost its link to n{event.peer}",
    LinkRefused: lambda event: f"is refused by n{event.peer}",
    WriteRefused: lambda event: "finds its disk full" if event.full else "has a flush that failed",
    Command: lambda event: "" if event.order is None else f"is told: {type(event.order).__name__}",
}


def _names(names: tuple[str, ...]) -> str:
    shown = " ".join(names[:_MOST_NAMES])
    return f"{shown} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else shown
