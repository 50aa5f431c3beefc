"""What became of each task: when it was handed in, accepted, attempted and answered; requests, for bare shards."""

from typing import NamedTuple

from hubless_sim.mesh.notes import Answered, GaveUp, Handed, Receipt, Started
from hubless_sim.report.recording import Recording
from hubless_sim.shards.client import Done
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.systems import ShardSystem


class Attempt(NamedTuple):
    """One attempt, from its start to when its outcome, the next attempt, or the end of its process was seen."""

    number: int
    node: int
    from_ns: int
    until_ns: int


class Outcome(NamedTuple):
    """What a client was told: ``code`` is "" for a success, "gave up" for nothing at all."""

    at_ns: int
    code: str
    is_provisional: bool = False


class Line(NamedTuple):
    """One task, or one request. ``label`` says what it is, ``lane`` is the client's."""

    label: str
    lane: int
    handed_ns: tuple[int, ...]
    accepted_ns: int | None
    attempts: tuple[Attempt, ...]
    outcomes: tuple[Outcome, ...]


class _Call:
    """What is known of one call so far."""

    def __init__(self, number: int, call: Call, lane: int) -> None:
        self.label = f"{number} {call.agent}" + (f" [{call.key}]" if call.key else "")
        self.lane = lane
        self.handed: list[int] = []
        self.accepted: int | None = None
        self.attempts: list[Attempt] = []
        self.outcomes: list[Outcome] = []

    def close(self, at_ns: int, node: int | None = None) -> None:
        """The attempts that are under way (on a node) have ended at this time at the latest."""
        for place, attempt in enumerate(self.attempts):
            if attempt.until_ns < 0 and (node is None or attempt.node == node):
                self.attempts[place] = attempt._replace(until_ns=at_ns)

    def line(self) -> Line:
        return Line(
            self.label,
            self.lane,
            tuple(self.handed),
            self.accepted,
            tuple(self.attempts),
            tuple(self.outcomes),
        )


def lines_of(recording: Recording) -> list[Line]:
    """All tasks or requests, in the order in which they were first handed in."""
    return [*_calls(recording), *_requests(recording)]


def _calls(recording: Recording) -> list[Line]:
    tape = recording.tape
    calls = [each for each in tape.operations if isinstance(each, Call)]
    if not calls:
        return []
    found = [_Call(number, call, tape.nodes + number % tape.clients) for number, call in enumerate(calls)]
    of_task: dict[bytes, _Call] = {}
    for event in recording.events:
        if event.what == "gone":
            for each in found:
                each.close(event.at_ns, event.node)
        for note in event.notes:
            match note:
                case Handed(call=call, task=task):
                    of_task[task] = found[call]
                    found[call].handed.append(event.at_ns)
                case Receipt(call=call):
                    found[call].accepted = found[call].accepted or event.at_ns
                case Started(task=task, attempt=attempt) if task in of_task:
                    of_task[task].close(event.at_ns, event.node)
                    of_task[task].attempts.append(Attempt(attempt, event.node, event.at_ns, -1))
                case Answered(call=call):
                    found[call].close(event.at_ns)
                    found[call].outcomes.append(Outcome(event.at_ns, note.code, note.provisional))
                case GaveUp(call=call):
                    found[call].outcomes.append(Outcome(event.at_ns, "gave up"))
                case _:
                    pass
    for each in found:
        each.close(recording.end_ns)
    return sorted((each.line() for each in found if each.handed), key=lambda line: line.handed_ns[0])


def _requests(recording: Recording) -> list[Line]:
    """Requests of the clients of bare shards: each ends in one note."""
    done = [note for event in recording.events for note in event.notes if isinstance(note, Done)]
    lines = []
    for each in sorted(done, key=lambda each: each.call_ns):
        ask = each.ask
        what = (
            f"read s{ask.shard} r{ask.key}"
            if ask.value is None
            else f"write s{ask.shard} r{ask.key} {ask.value}"
        )
        end = (
            Outcome(_given_up_ns(recording, each), "gave up")
            if each.return_ns is None
            else Outcome(each.return_ns, "")
        )
        told = "" if ask.value is not None or each.return_ns is None else f" = {each.value}"
        lines.append(Line(f"{what}{told}", each.client, (each.call_ns,), None, (), (end,)))
    return lines


def _given_up_ns(recording: Recording, done: Done) -> int:
    system = recording.tape.system
    if not isinstance(system, ShardSystem):
        return recording.end_ns
    work = system.workload
    return done.call_ns + (work.probe_give_up_ms if done.is_probe else work.give_up_ms) * 1_000_000
