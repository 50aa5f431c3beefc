"""Where a run broke, and what can have led there: the causal past of a violation.

Happens-before (Lamport 1978): an event comes after those before it on its machine, after the event that sent what was
delivered to it, and after the start or end of a process of which a monitored link has told it.
"""

import re
from itertools import pairwise
from typing import NamedTuple

from hubless_sim.mesh.notes import Answered, GaveUp, Handed, Queried, Receipt, Started
from hubless_sim.names import place_of
from hubless_sim.report.recording import NEVER, Event, Recording
from hubless_sim.verdict import Violation
from hubless_sim.world.hosts import LinkDown, LinkRefused, LinkUp

_NODE = re.compile(r"\bn\d+(?:\.\d+)?\b")
_CALL = re.compile(r"\bcall (\d+)\b")
_TASK = re.compile(r"\b[0-9a-f]{32}\b")
_RETURN = re.compile(r"\breturn_ns=(\d+)")


class Star(NamedTuple):
    """Where a violation is seen: on these nodes, at this time in ns. ``is_exact``: the checker itself said so."""

    violation: Violation
    at_ns: int
    nodes: tuple[int, ...]
    is_exact: bool


def calls_of(recording: Recording) -> dict[bytes, int]:
    """The number of the call that each task belongs to, as far as clients have handed it in."""
    handed = (note for event in recording.events for note in event.notes if isinstance(note, Handed))
    return {note.task: note.call for note in handed}


def star_of(recording: Recording) -> Star | None:
    """Where the first violation is seen; a checker that only looks at the end may have named a task, or nodes."""
    if not recording.result.violations:
        return None
    violation = recording.result.violations[0]
    nodes = tuple(place_of(name) for name in violation.nodes)
    at_ns = violation.at_ns
    if nodes and at_ns is not None:
        return Star(violation, at_ns, nodes, is_exact=True)
    if at_ns is None and (returned := _RETURN.search(violation.text)):
        at_ns = int(returned[1])
    last = _last_about(recording, violation.text, recording.end_ns if at_ns is None else at_ns)
    if last is not None:
        seen_ns = last.at_ns if at_ns is None else at_ns
        return Star(violation, seen_ns, nodes or (last.node,), is_exact=False)
    named = dict.fromkeys(place_of(name) for name in _NODE.findall(violation.text))
    nodes = nodes or tuple(node for node in named if node < len(recording.of_node))
    everybody = tuple(range(recording.tape.nodes))
    return Star(violation, recording.end_ns if at_ns is None else at_ns, nodes or everybody, is_exact=False)


def _last_about(recording: Recording, text: str, until_ns: int) -> Event | None:
    """The last that was told by then of the call or task that a text names."""
    calls = {int(number) for number in _CALL.findall(text)}
    tasks = {bytes.fromhex(task) for task in _TASK.findall(text)}
    if not (calls or tasks):
        return None
    for event in reversed(recording.events):
        for note in event.notes if event.at_ns <= until_ns else ():
            match note:
                case Started(task=task) if task in tasks:
                    return event
                case Answered() | Handed() | Receipt() | GaveUp() if note.call in calls or note.task in tasks:
                    return event
                case Queried(task=task) if task in tasks:
                    return event
                case _:
                    pass
    return None


def past_of(recording: Recording, star: Star) -> dict[int, int]:
    """The events that a violation can have come from, by number, each with its distance: the fewest packets between."""
    events, copies = recording.events, recording.copies
    distance: dict[int, int] = {}
    for node in star.nodes:
        last = next((each for each in reversed(recording.of_node[node]) if each.at_ns <= star.at_ns), None)
        if last is not None:
            distance[last.number] = 0
    before = _predecessors(recording)
    lives: dict[int, list[int]] = {}
    for event in events:
        if event.what in ("born", "gone"):
            lives.setdefault(event.node, []).append(event.number)
    for number in range(max(distance, default=NEVER), -1, -1):
        here = distance.get(number)
        if here is None:
            continue
        event = events[number]
        _reach(distance, before[number], here)
        if event.copy != NEVER:
            _reach(distance, copies[event.copy].cause, here + 1)
        elif isinstance(event.what, LinkUp | LinkDown | LinkRefused):
            heard = [life for life in lives.get(event.what.peer, ()) if life < number]
            _reach(distance, heard[-1] if heard else NEVER, here + 1)
    return distance


def _reach(distance: dict[int, int], number: int, far: int) -> None:
    if number != NEVER and far < distance.get(number, far + 1):
        distance[number] = far


def _predecessors(recording: Recording) -> list[int]:
    """The number of the event before each on its machine, or NEVER."""
    before = [NEVER] * len(recording.events)
    for events in recording.of_node:
        for earlier, event in pairwise(events):
            before[event.number] = earlier.number
    return before
