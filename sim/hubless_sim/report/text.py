"""A run as a timeline for terminals: what happened, one line each, in order of time."""

from typing import NamedTuple

from hubless_sim.report.recording import Recording
from hubless_sim.report.story import Said, Story, Window, default_window
from hubless_sim.report.wording import event_words, fault_words, lane_name, note_words, until_ms_of
from hubless_sim.tapes.describe import described

MOST_LINES = 400
_MS = 1_000_000


class _Line(NamedTuple):
    """``rank`` tells what may be left out first: the higher, the sooner."""

    at_ns: int
    order: int
    rank: int
    text: str


_FAULT, _EVENT, _NOTE, _PACKET, _ROUTINE = range(5)


def text(recording: Recording, shown: Window | None = None, *, most_lines: int = MOST_LINES) -> str:
    """The timeline of the window, ending in a newline.  What does not fit is left out, routine and far away first."""
    story = Story(recording, shown or default_window(recording))
    lines = [*_faults(story), *_events(story), *_packets(story)]
    about_ns = story.window.from_ns if story.star is None else story.star.at_ns
    ranked = sorted(
        lines, key=lambda line: (line.rank == _ROUTINE, line.rank > _NOTE, abs(line.at_ns - about_ns))
    )
    kept = sorted(ranked[:most_lines], key=lambda line: (line.at_ns, line.order))
    out = [*_head(story), ""]
    out += [f"{_ms(line.at_ns):>13}  {line.text}" for line in kept]
    left_out = len(lines) - len(kept) + story.left_out
    if left_out:
        out += ["", f"{left_out:,} lines are left out; a narrower window (--from-ms, --to-ms) has them."]
    return "\n".join(out) + "\n"


def _head(story: Story) -> list[str]:
    recording = story.recording
    result, (from_ns, until_ns) = recording.result, story.window
    first = result.violations[0] if result.violations else None
    verdict = result.verdict if first is None else f"{result.verdict}: {first.checker}: {first.text}"
    part = "all" if story.past is None else "the causal past of the violation"
    return [
        f"{verdict}",
        f"{described(recording.tape)['tape']}, digest {result.digest[:12]}",
        f"{part} from {_ms(from_ns)} to {_ms(until_ns)} ms",
    ]


def _ms(at_ns: int) -> str:
    return f"{at_ns / _MS:,.3f}".replace(",", " ")


def _faults(story: Story) -> list[_Line]:
    lines = []
    first, last = story.window
    for fault in story.recording.tape.faults:
        until_ms, words = until_ms_of(fault), fault_words(fault)
        lasts = until_ms is None or until_ms > fault.at_ms
        begins = f"== {words} begins" if lasts else f"== {words}"
        lines.append(_Line(fault.at_ms * _MS, -1, _FAULT, begins))
        if lasts and until_ms is not None:
            lines.append(_Line(until_ms * _MS, -1, _FAULT, f"== {words} ends"))
    star = story.star
    if star is not None:
        nodes = " ".join(f"n{node}" for node in star.nodes)
        seen = "" if star.is_exact else ", found at the end"
        words = f"** {star.violation.checker} on {nodes}{seen}"
        lines.append(_Line(star.at_ns, len(story.recording.events), _FAULT, words))
    return [line for line in lines if first <= line.at_ns <= last]


def _events(story: Story) -> list[_Line]:
    lines = []
    for event in story.events():
        name = lane_name(story.recording.tape, event.node)
        if words := event_words(event):
            lines.append(_Line(event.at_ns, event.number, _EVENT, f"{name} {words}"))
        told = (note_words(note, story.reader) for note in event.notes)
        lines += (_Line(event.at_ns, event.number, _NOTE, f"{name} {words}") for words in told if words)
    return lines


def _packets(story: Story) -> list[_Line]:
    return [
        _Line(said.copy.sent_ns, said.copy.cause, _ROUTINE if said.is_routine else _PACKET, _packet(said))
        for said in story.packets
    ]


def _packet(said: Said) -> str:
    copy = said.copy
    oddly = [word for word, holds in (("garbled", copy.is_garbled), ("again", copy.again)) if holds]
    if copy.arrived_ns is not None:
        oddly.append(f"{(copy.arrived_ns - copy.sent_ns) / _MS:.3f} ms")
    if copy.drop is not None:
        oddly.append(copy.drop)
    arrow = "-->" if copy.drop is None else "--x"
    return f"n{copy.source} {arrow} n{copy.target}  {said.reading.text}  ({', '.join(oddly)})"
