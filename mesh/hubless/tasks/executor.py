"""The executor: runs the attempts that owners assign, through this node's supervisor and worker processes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from hubless.effects import NodeEffect, ToPeer
from hubless.wire import Assign, Ended
from hubless_agents import (
    Assignment,
    Failed,
    Offered,
    Outcome,
    Report,
    Succeeded,
    Supervisor,
    SupervisorEvent,
    Withdrawn,
)

_MS = 1_000_000
_KEPT_ANSWERS = 4_096
_SHORT_WAIT_NS = 5 * _MS
_MOST_HELD = 64
_KEPT_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class ExecutorCounters:
    assigned: int = 0
    repeated: int = 0
    superseded: int = 0
    reported: int = 0


class Executor:
    """The attempts that run on this node, each for its owner.

    Outcomes sent to other nodes are kept for a while, bounded in number and bytes, since an owner that
    missed one asks by assigning the attempt again.
    """

    def __init__(self, *, me: str, supervisor: Supervisor) -> None:
        self._me = me
        self._supervisor = supervisor
        self._running: dict[bytes, tuple[int, str]] = {}
        self._answered: OrderedDict[tuple[bytes, int], Ended] = OrderedDict()
        self._answered_bytes = 0
        self.counters = ExecutorCounters()

    def __len__(self) -> int:
        return len(self._running)

    def assign(self, now_ns: int, owner: str, assign: Assign, out: list[NodeEffect]) -> None:
        """Runs an attempt, unless it runs already or has ended: then it is told again how."""
        known = self._answered.get((assign.task, assign.attempt))
        if known is not None:
            self.counters.repeated += 1
            out.append(ToPeer(owner, known))
            return
        running = self._running.get(assign.task)
        if running is not None:
            if assign.attempt <= running[0]:
                self.counters.repeated += 1
                if assign.attempt == running[0]:
                    self._running[assign.task] = (assign.attempt, owner)
                return
            self.counters.superseded += 1
            self.handle(now_ns, Withdrawn(assign.task), out)
        self.counters.assigned += 1
        self._running[assign.task] = (assign.attempt, owner)
        assignment = Assignment(
            assign.task,
            assign.attempt,
            assign.agent,
            assign.payload,
            now_ns + assign.deadline_ms * _MS,
            assign.failures,
        )
        self.handle(now_ns, Offered(assignment), out)

    def withdraw(self, now_ns: int, task: bytes, out: list[NodeEffect]) -> None:
        """Nobody waits for the task any more: its outcome goes nowhere."""
        if self._running.pop(task, None) is not None:
            self.handle(now_ns, Withdrawn(task), out)

    def handle(self, now_ns: int, event: SupervisorEvent, out: list[NodeEffect]) -> None:
        """Passes an event to the supervisor; reports go to their owners, everything else to `out`."""
        for effect in self._supervisor.handle(now_ns, event):
            if isinstance(effect, Report):
                self._report(effect.outcome, out)
            else:
                out.append(effect)

    def room(self, agent: str, slots: int) -> int:
        """How many tasks of an agent this node may hold before others serve them sooner.

        Handing a task to another node costs both of them more time than a short task takes. So tasks stay as long
        as the wait for the ones before them stays below a few milliseconds.
        """
        mean_ns = max(1.0, self._supervisor.mean_ns(agent))
        return slots * max(1, min(_MOST_HELD, int(_SHORT_WAIT_NS / mean_ns)))

    def next_deadline_ns(self) -> int | None:
        return self._supervisor.next_deadline_ns()

    def _report(self, outcome: Outcome, out: list[NodeEffect]) -> None:
        running = self._running.get(outcome.task)
        if running is None or running[0] != outcome.attempt:
            return
        del self._running[outcome.task]
        self.counters.reported += 1
        match outcome:
            case Succeeded(task=task, attempt=attempt, payload=payload):
                ended = Ended(task, attempt, payload, None)
            case Failed(task=task, attempt=attempt, failure=failure):
                ended = Ended(task, attempt, None, failure)
        owner = running[1]
        if owner != self._me:
            self._keep(ended)
        out.append(ToPeer(owner, ended))

    def _keep(self, ended: Ended) -> None:
        self._answered[(ended.task, ended.attempt)] = ended
        self._answered_bytes += len(ended.payload or b"")
        while len(self._answered) > _KEPT_ANSWERS or self._answered_bytes > _KEPT_BYTES:
            _, oldest = self._answered.popitem(last=False)
            self._answered_bytes -= len(oldest.payload or b"")
