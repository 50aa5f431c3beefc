"""The part of a recording that is shown: a span of time, and the packets that matter most in it."""

from typing import NamedTuple

from hubless_sim.report.past import Star, calls_of, past_of, star_of
from hubless_sim.report.readings import ROUTINE, Reader, Reading
from hubless_sim.report.recording import NEVER, Copy, Event, Recording

MS = 1_000_000
MOST_PACKETS = 20_000
_MARGIN_MS = 20
_LEAD_MS = 500


class Window(NamedTuple):
    """A span of virtual time, in ns, both ends included."""

    from_ns: int
    until_ns: int


class Said(NamedTuple):
    """A packet that is shown, with what it says."""

    copy: Copy
    reading: Reading

    @property
    def is_routine(self) -> bool:
        """Whether nodes say this all the time, and it arrived."""
        return self.reading.family in ROUTINE and self.copy.drop is None


class Story:
    """What is shown of a run.

    ``star`` is where it broke. ``past`` are the events that led there (by number, with their distance in packets), None
    if nothing broke: then everything in the window is shown. ``left_out`` counts the packets in the window that are
    not, of which ``routine_left_out`` are what nodes say all the time.
    """

    def __init__(self, recording: Recording, shown: Window, most_packets: int = MOST_PACKETS) -> None:
        self.recording = recording
        self.window = shown
        self.star: Star | None = star_of(recording)
        self.past: dict[int, int] | None = None if self.star is None else past_of(recording, self.star)
        self.calls = calls_of(recording)
        self.reader = Reader(recording.tape, self.calls)
        chosen = [Said(copy, self.reader.read(copy.packet)) for copy in recording.copies if self._has(copy)]
        ahead = self.star is None
        chosen.sort(key=lambda said: (said.is_routine, said.copy.sent_ns if ahead else -said.copy.sent_ns))
        kept, rest = chosen[:most_packets], chosen[most_packets:]
        self.packets = sorted(kept, key=lambda said: said.copy.number)
        self.left_out = len(rest)
        self.routine_left_out = sum(said.is_routine for said in rest)

    def events(self) -> list[Event]:
        """The events in the window, of the past if there is one, in order."""
        return [event for event in self.recording.events if self.shows(event)]

    def shows(self, event: Event) -> bool:
        """Whether an event is in the window, and of the past."""
        first, last = self.window
        return first <= event.at_ns <= last and (self.past is None or event.number in self.past)

    def _has(self, copy: Copy) -> bool:
        """Whether a packet is in the window, and part of the past: it arrived there, or was sent there and did not."""
        last_ns = copy.sent_ns if copy.arrived_ns is None else copy.arrived_ns
        if last_ns < self.window.from_ns or copy.sent_ns > self.window.until_ns:
            return False
        if self.past is None or (copy.drop is not None and copy.cause in self.past):
            return True
        return copy.effect != NEVER and copy.effect in self.past


def default_window(recording: Recording) -> Window:
    """From shortly before the first fault (and well before the violation) to the violation, or to the end."""
    first_ms = min((fault.at_ms for fault in recording.tape.faults if fault.at_ms > 0), default=0)
    star = star_of(recording)
    until_ns = recording.end_ns if star is None else min(recording.end_ns, star.at_ns + _MARGIN_MS * MS)
    from_ns = max(0, min(first_ms * MS, until_ns - _LEAD_MS * MS) - _LEAD_MS * MS)
    return Window(from_ns, until_ns)


def window(recording: Recording, from_ms: float | None = None, until_ms: float | None = None) -> Window:
    """The span that was asked for; what is not said is as in ``default_window``.  Raises ValueError if it is empty."""
    usual = default_window(recording)
    from_ns = usual.from_ns if from_ms is None else round(from_ms * MS)
    until_ns = usual.until_ns if until_ms is None else round(until_ms * MS)
    until_ns = min(until_ns, recording.end_ns)
    if not 0 <= from_ns < until_ns:
        raise ValueError(
            f"nothing happens from {from_ns / MS:g} to {until_ns / MS:g} ms; this run goes from 0 to "
            f"{recording.end_ns / MS:g} ms"
        )
    return Window(from_ns, until_ns)
