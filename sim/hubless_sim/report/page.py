"""One HTML file that shows a run: data, style and script in it, nothing fetched."""

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from hubless_gossip import Condition
from hubless_sim.report.readings import FAMILIES, ROUTINE
from hubless_sim.report.recording import Imposed, Recording
from hubless_sim.report.story import Said, Story, Window, default_window
from hubless_sim.report.tasks import Line, lines_of
from hubless_sim.report.wording import event_words, fault_words, kind_of, lane_name, note_words, until_ms_of
from hubless_sim.tapes.describe import described

_ASSETS = ("style.css", "frame.js", "messages.js", "strips.js", "moment.js")
_MOST_MARKS = 6_000
_MOST_CHANGES = 60_000
_MOST_TASKS = 300


def html(recording: Recording, shown: Window | None = None) -> str:
    """The page: the causal past of what broke, or all that happened in the window, and what everybody held of it."""
    story = Story(recording, shown or default_window(recording))
    raw = msgspec.json.encode(_payload(story)).decode().replace("<", "\\u003c")
    page = _asset("page.html")
    for name in _ASSETS:
        page = page.replace(f"/* {name} */", _asset(name))
    title = f"{recording.result.verdict}: seed {recording.tape.seed}"
    return page.replace("TITLE", title).replace("STORY", raw)


@cache
def _asset(name: str) -> str:
    return (files("hubless_sim.report") / "assets" / name).read_text(encoding="utf-8")


def _payload(story: Story) -> dict[str, Any]:
    """All that the script draws. Times are in us."""
    recording = story.recording
    tape, looks = recording.tape, recording.looks
    marks = _marks(story)
    lines = lines_of(recording)
    return {
        "run": _facts(story),
        "window": [_us(end) for end in story.window],
        "lanes": [lane_name(tape, node) for node in range(len(recording.of_node))],
        "nodes": tape.nodes,
        "star": _star(story),
        "faults": [
            [kind_of(fault), fault_words(fault), fault.at_ms * 1000, _ends_us(recording, until_ms_of(fault))]
            for fault in sorted(tape.faults, key=lambda each: each.at_ms)
        ],
        "spells": [
            [each.node, each.condition, _us(each.from_ns), _us(each.until_ns)] for each in recording.spells
        ],
        "cuts": _cuts(recording.layers),
        "families": [[family, family in ROUTINE] for family in FAMILIES],
        "packets": _packets(story),
        "marks": marks[:_MOST_MARKS],
        "conditions": [condition.name.lower() for condition in Condition],
        "beliefs": [[_us(each[0]), *each[1:]] for each in looks.beliefs[:_MOST_CHANGES]],
        "shards": looks.shards,
        "owners": [[_us(each.at_ns), each.shard, each.owners] for each in looks.ownerships[:_MOST_CHANGES]],
        "tasks": [_task(line) for line in lines[:_MOST_TASKS]],
        "leftOut": {
            "packets": story.left_out,
            "routine": story.routine_left_out,
            "marks": max(0, len(marks) - _MOST_MARKS),
            "beliefs": max(0, len(looks.beliefs) - _MOST_CHANGES),
            "owners": max(0, len(looks.ownerships) - _MOST_CHANGES),
            "tasks": max(0, len(lines) - _MOST_TASKS),
            "recorded": recording.left_out,
        },
    }


def _us(at_ns: int) -> int:
    return at_ns // 1000


def _ends_us(recording: Recording, until_ms: int | None) -> int:
    return _us(recording.end_ns) if until_ms is None else until_ms * 1000


def _facts(story: Story) -> dict[str, Any]:
    recording = story.recording
    tape, result = recording.tape, recording.result
    return {
        "verdict": result.verdict,
        "tape": described(tape)["tape"],
        "digest": result.digest,
        "end": _us(recording.end_ns),
        "messages": result.messages,
        "lost": result.lost,
        "violations": [
            [each.checker, each.text, None if each.at_ns is None else _us(each.at_ns), each.nodes]
            for each in result.violations
        ],
        "isPast": story.past is not None,
    }


def _star(story: Story) -> list[Any] | None:
    star = story.star
    return None if star is None else [_us(star.at_ns), star.nodes, star.violation.checker, star.is_exact]


def _packets(story: Story) -> dict[str, list[Any]]:
    """Columns, one place a packet; texts and reasons are numbers of entries in their own lists."""
    texts: dict[str, int] = {}
    reasons: dict[str, int] = {"": 0}
    place = {said.copy.number: number for number, said in enumerate(story.packets)}

    def row(said: Said) -> tuple[int, ...]:
        copy = said.copy
        return (
            copy.source,
            copy.target,
            _us(copy.sent_ns),
            -1 if copy.arrived_ns is None else _us(copy.arrived_ns),
            FAMILIES.index(said.reading.family),
            texts.setdefault(said.reading.text, len(texts)),
            reasons.setdefault(copy.drop or "", len(reasons)),
            copy.nth,
            copy.is_garbled + 2 * copy.again,
            len(copy.packet),
        )

    rows = [row(said) for said in story.packets]
    names = ("source", "target", "sent", "arrived", "family", "text", "drop", "nth", "flags", "size")
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    return dict(zip(names, columns, strict=True)) | {
        "texts": list(texts),
        "reasons": list(reasons),
        "causes": _causes(story, place),
    }


def _causes(story: Story, place: dict[int, int]) -> list[int]:
    """For each packet that is shown, the last that was delivered to its sender before it was sent; -1 for none."""
    events = story.recording.events
    last: dict[int, int] = {}
    latest: dict[int, int] = {}
    for event in events:
        if event.copy in place:
            latest[event.node] = place[event.copy]
        for number in event.sent:
            if number in place:
                last[number] = latest.get(event.node, -1)
    return [last.get(said.copy.number, -1) for said in story.packets]


def _marks(story: Story) -> list[list[Any]]:
    """What is worth a tick on a lane: starts and ends of processes, links, orders, and what was told."""
    marks: list[list[Any]] = []
    for event in story.events():
        words = event_words(event)
        if words:
            kind = event.what if isinstance(event.what, str) else "event"
            marks.append([_us(event.at_ns), event.node, kind, words])
        told = (note_words(note, story.reader) for note in event.notes)
        marks += ([_us(event.at_ns), event.node, "note", text] for text in told if text)
    return marks


def _cuts(layers: list[Imposed]) -> list[list[Any]]:
    """Spans in which links are cut, as [from, until, one side, other side, how]; None is everybody.

    How is "both" ways, "one way" (from the one side to the other), or "some": each of the one side from some of it.
    """
    cuts = [each for each in layers if each.layer.cut]
    found: list[list[Any]] = []
    while cuts:
        first = cuts.pop(0)
        span = [_us(first.from_ns), _us(first.until_ns)]
        ring = _ring_with(first, cuts)
        if ring:
            cuts = [each for each in cuts if each not in ring]
            found.append(
                [*span, *[sorted(node for each in ring for node in each.layer.sources or ())] * 2, "some"]
            )
            continue
        back = next((each for each in cuts if _is_way_back(first, each)), None)
        if back is not None:
            cuts.remove(back)
        ends = (first.layer.sources, first.layer.targets)
        sides = [None if side is None else sorted(side) for side in ends]
        found.append([*span, *sides, "one way" if back is None else "both"])
    return found


def _ring_with(first: Imposed, others: list[Imposed]) -> list[Imposed]:
    """The cuts of a ring partition: at one time one for each of its nodes, from some others, which answer in kind."""
    span = (first.from_ns, first.until_ns)
    alike = [first, *(each for each in others if (each.from_ns, each.until_ns) == span)]
    ring = [each for each in alike if len(each.layer.sources or ()) == 1]
    pairs = {
        (source, target)
        for each in ring
        for source in each.layer.sources or ()
        for target in each.layer.targets or ()
    }
    is_ring = first in ring and len(ring) > 2 and all((target, source) in pairs for source, target in pairs)
    return ring if is_ring else []


def _is_way_back(there: Imposed, back: Imposed) -> bool:
    return (there.from_ns, there.until_ns, there.layer.sources, there.layer.targets) == (
        back.from_ns,
        back.until_ns,
        back.layer.targets,
        back.layer.sources,
    )


def _task(line: Line) -> list[Any]:
    attempts = [[each.number, each.node, _us(each.from_ns), _us(each.until_ns)] for each in line.attempts]
    outcomes = [[_us(each.at_ns), each.code, each.is_provisional] for each in line.outcomes]
    accepted = None if line.accepted_ns is None else _us(line.accepted_ns)
    return [line.label, line.lane, [_us(at_ns) for at_ns in line.handed_ns], accepted, attempts, outcomes]
