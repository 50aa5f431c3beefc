"""A run as a log that ShiViz draws (https://bestchai.bitbucket.io/shiviz): events with vector clocks.

The file begins with the regular expression that reads it and an empty line, as there is but one execution; then each
event is a line of text, and a line with its host and clock. A host's own clock begins at 1 and rises by 1.
"""

import json

from hubless_sim.report.recording import Event, Recording
from hubless_sim.report.story import Said, Story, Window, default_window
from hubless_sim.report.wording import event_words, note_words

MOST_PACKETS = 2_000
_PARSER = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})"


def shiviz(recording: Recording, shown: Window | None = None, *, most_packets: int = MOST_PACKETS) -> str:
    """The log: packets that are sent and received, starts, ends, links, and what was told."""
    story = Story(recording, shown or default_window(recording), most_packets)
    log = _Log()
    said = {each.copy.number: each for each in story.packets}
    for event in recording.events:
        if event.copy in said:
            log.received(said[event.copy])
        if story.shows(event):
            for words in _words(event, story):
                log.told(_host(event.node), words)
        for number in event.sent:
            if number in said and not said[number].copy.again:
                log.sent(said[number])
    return "\n".join([_PARSER, "", *log.lines]) + "\n"


class _Log:
    """Lines with the clocks of all hosts that have come up so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._clocks: dict[str, dict[str, int]] = {}
        self._sent: dict[tuple[int, int, int], dict[str, int]] = {}

    def told(self, host: str, text: str) -> None:
        clock = self._clocks.setdefault(host, {})
        clock[host] = clock.get(host, 0) + 1
        self.lines += (text.replace("\n", " "), f"{host} {json.dumps(clock)}")

    def sent(self, said: Said) -> None:
        copy = said.copy
        fate = "" if copy.drop is None else f" ({copy.drop})"
        self.told(_host(copy.source), f"{said.reading.text} to n{copy.target}{fate}")
        self._sent[copy.source, copy.target, copy.nth] = dict(self._clocks[_host(copy.source)])

    def received(self, said: Said) -> None:
        copy = said.copy
        clock = self._clocks.setdefault(_host(copy.target), {})
        for host, time in self._sent.get((copy.source, copy.target, copy.nth), {}).items():
            clock[host] = max(time, clock.get(host, 0))
        self.told(_host(copy.target), f"{said.reading.text} from n{copy.source}")


def _host(node: int) -> str:
    return f"n{node}"


def _words(event: Event, story: Story) -> list[str]:
    told = [event_words(event), *(note_words(note, story.reader) for note in event.notes)]
    return [words for words in told if words]
