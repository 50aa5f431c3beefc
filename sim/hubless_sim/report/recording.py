"""What happened in a run, kept in order: events, packets and their fates, notes, and how everybody fared."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from hubless_sim.play import open_run
from hubless_sim.report.looks import Looks, Onlooker
from hubless_sim.run import Result
from hubless_sim.tapes.tape import Tape
from hubless_sim.world.hosts import Delivered, HostEvent, Write
from hubless_sim.world.network import Layer, Lost
from hubless_sim.world.recorder import Condition, Drop

MOST_EVENTS = 1_500_000
"""What comes after so many events and packets is counted and not kept: a picture has no use for more."""

NEVER = -1

Life = Literal["born", "gone"]


class Event:
    """One thing that a process handled, or its start or end.

    ``copy`` is the packet that was delivered; ``sent``, ``notes`` and ``writes`` are what followed from it.
    """

    __slots__ = ("at_ns", "copy", "node", "notes", "number", "sent", "what", "writes")

    def __init__(self, number: int, at_ns: int, node: int, what: HostEvent | Life, copy: int) -> None:
        self.number = number
        self.at_ns = at_ns
        self.node = node
        self.what = what
        self.copy = copy
        self.sent: list[int] = []
        self.notes: list[Any] = []
        self.writes: list[Write] = []


class Copy:
    """One packet on its way: the ``nth`` from ``source`` to ``target``; a second copy of it has ``again``.

    ``cause`` is the number of the event that made the source send it, ``effect`` that of its delivery, or NEVER.
    ``drop`` says why it did not arrive; ``arrived_ns`` is None for what was never at the target's machine.
    """

    __slots__ = (
        "again",
        "arrived_ns",
        "cause",
        "drop",
        "effect",
        "is_garbled",
        "nth",
        "number",
        "packet",
        "sent_ns",
        "source",
        "target",
    )

    def __init__(
        self, number: int, source: int, target: int, nth: int, *, packet: bytes, sent_ns: int
    ) -> None:
        self.number = number
        self.source = source
        self.target = target
        self.nth = nth
        self.packet = packet
        self.sent_ns = sent_ns
        self.again = False
        self.is_garbled = False
        self.cause = NEVER
        self.effect = NEVER
        self.arrived_ns: int | None = None
        self.drop: Drop | Literal["process ended"] | None = None


class Spell(NamedTuple):
    """How a node fared, from when to when, in ns."""

    node: int
    condition: Condition
    from_ns: int
    until_ns: int


class Imposed(NamedTuple):
    """A layer of network conditions and when it was in force, in ns."""

    layer: Layer
    from_ns: int
    until_ns: int


class Recording:
    """A whole run. ``left_out`` counts the events and packets after MOST_EVENTS."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.result: Result
        self.looks: Looks
        self.end_ns = 0
        self.events: list[Event] = []
        self.of_node: list[list[Event]] = [[] for _ in range(tape.nodes + tape.clients)]
        self.copies: list[Copy] = []
        self.spells: list[Spell] = []
        self.layers: list[Imposed] = []
        self.left_out = 0


def record(tape: Tape) -> Recording:
    """Run a tape to its end and keep all that happens.  Raises TapeError on a tape that cannot be run."""
    recording = Recording(tape)
    tracker = _Tracker(recording)
    run = open_run(tape, tracker)
    tracker.onlooker = Onlooker(run)
    recording.result = run.judge()
    tracker.end(run.world.now_ns)
    return recording


class _Tracker:
    """The world's recorder; see ``Recorder``."""

    def __init__(self, recording: Recording) -> None:
        self.onlooker: Onlooker | None = None
        self._recording = recording
        nodes = len(recording.of_node)
        self._counts: dict[int, int] = {}
        self._waiting: list[dict[int, int]] = [{} for _ in range(nodes)]
        self._fares: list[tuple[Condition, int]] = [("down", 0)] * nodes
        self._layers: dict[int, tuple[Layer, int]] = {}

    def sent(
        self, now_ns: int, source: int, target: int, packet: bytes, *, arriving: bytes, copies: int
    ) -> Sequence[int]:
        nth = self._next_on(source, target)
        kept = [self._copy(now_ns, source, target, nth, packet) for _ in range(copies)]
        for place, copy in enumerate(kept):
            if copy is not None:
                copy.again = place > 0
                copy.is_garbled = arriving != packet
        return [NEVER if copy is None else copy.number for copy in kept]

    def dropped(self, now_ns: int, source: int, target: int, packet: bytes, why: Drop) -> None:
        is_routed = why in get_args(Lost)
        copy = self._copy(
            now_ns, source, target, self._next_on(source, target) if is_routed else NEVER, packet
        )
        if copy is not None:
            copy.drop = why

    def arrived(self, now_ns: int, copy: int, event: Delivered, why: Drop | None) -> None:
        if copy == NEVER:
            return
        kept = self._recording.copies[copy]
        kept.arrived_ns, kept.drop = now_ns, why
        if why is None:
            self._waiting[kept.target][id(event)] = copy

    def handles(self, now_ns: int, node: int, event: HostEvent) -> None:
        if self.onlooker is not None:
            self.onlooker.before(now_ns)
        waiting = self._waiting[node]
        copy = waiting.pop(id(event), NEVER) if waiting else NEVER
        happened = self._event(now_ns, node, event, copy)
        if happened is not None and copy != NEVER:
            self._recording.copies[copy].effect = happened.number

    def wrote(self, now_ns: int, node: int, write: Write) -> None:  # noqa: ARG002 it is part of an event
        if not self._is_full():
            self._recording.of_node[node][-1].writes.append(write)

    def noted(self, now_ns: int, node: int, value: Any) -> None:  # noqa: ARG002 it is part of an event
        if not self._is_full():
            self._recording.of_node[node][-1].notes.append(value)

    def born(self, now_ns: int, node: int, boot: int) -> None:  # noqa: ARG002 processes are counted
        self._event(now_ns, node, "born", NEVER)

    def gone(self, now_ns: int, node: int, boot: int) -> None:  # noqa: ARG002 processes are counted
        for copy in self._waiting[node].values():
            self._recording.copies[copy].drop = "process ended"
        self._waiting[node].clear()
        self._event(now_ns, node, "gone", NEVER)

    def fares(self, now_ns: int, node: int, condition: Condition) -> None:
        before, from_ns = self._fares[node]
        if condition == before:
            return
        if now_ns > from_ns:
            self._recording.spells.append(Spell(node, before, from_ns, now_ns))
        self._fares[node] = (condition, now_ns)

    def imposed(self, now_ns: int, layer: Layer) -> None:
        self._layers[id(layer)] = (layer, now_ns)

    def lifted(self, now_ns: int, layer: Layer) -> None:
        kept, from_ns = self._layers.pop(id(layer))
        self._recording.layers.append(Imposed(kept, from_ns, now_ns))

    def end(self, now_ns: int) -> None:
        """Close what is still open."""
        recording = self._recording
        recording.end_ns = now_ns
        for node, (condition, from_ns) in enumerate(self._fares):
            recording.spells.append(Spell(node, condition, from_ns, now_ns))
        recording.layers += (Imposed(layer, from_ns, now_ns) for layer, from_ns in self._layers.values())
        recording.spells.sort(key=lambda each: (each.from_ns, each.node))
        recording.layers.sort(key=lambda each: each.from_ns)
        if self.onlooker is not None:
            self.onlooker.before(now_ns)
            self.onlooker.look(now_ns)
            recording.looks = self.onlooker.looks

    def _is_full(self) -> bool:
        recording = self._recording
        return len(recording.events) + len(recording.copies) >= MOST_EVENTS

    def _event(self, now_ns: int, node: int, what: HostEvent | Life, copy: int) -> Event | None:
        recording = self._recording
        if self._is_full():
            recording.left_out += 1
            return None
        event = Event(len(recording.events), now_ns, node, what, copy)
        recording.events.append(event)
        recording.of_node[node].append(event)
        return event

    def _copy(self, now_ns: int, source: int, target: int, nth: int, packet: bytes) -> Copy | None:
        recording = self._recording
        if self._is_full():
            recording.left_out += 1
            return None
        copy = Copy(len(recording.copies), source, target, nth, packet=packet, sent_ns=now_ns)
        recording.copies.append(copy)
        cause = recording.of_node[source][-1]
        copy.cause = cause.number
        cause.sent.append(copy.number)
        return copy

    def _next_on(self, source: int, target: int) -> int:
        place = (source << 32) | target
        nth = self._counts.get(place, 0)
        self._counts[place] = nth + 1
        return nth
