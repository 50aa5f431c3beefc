"""The executor: runs the attempts that owners assign, through this node's supervisor and worker processes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from hubless.effects import NodeEffect, ToPeer
from hubless.tasks.attempts import LONGEST_DEADLINE_MS, NODE_GONE, node_gone
from hubless.wire import Assign, Ended, Recall
from hubless_agents import (
    Assignment,
    Effect,
    Failed,
    Failure,
    Offered,
    Outcome,
    Report,
    Succeeded,
    Supervisor,
    SupervisorEvent,
    Withdrawn,
)
from hubless_gossip.marks import sometimes

_MS = 1_000_000
_KEPT_ANSWERS = 4_096
_KEPT_ENDS = 16_384
_SHORT_WAIT_NS = 5 * _MS
_MOST_HELD = 64
_MOST_SENT_ON = 3
_KEPT_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class ExecutorCounters:
    """`joined` counts owners that asked for a task which ran, or had run, for another owner; `sent_on` orders
    that went elsewhere since every worker here runs what was withdrawn; `misdirected` those that were for another
    process of this node."""

    assigned: int = 0
    repeated: int = 0
    joined: int = 0
    superseded: int = 0
    withdrawn: int = 0
    sent_on: int = 0
    misdirected: int = 0
    reported: int = 0


class _Asked(Struct, frozen=True, gc=False):
    """Who wants to hear of a run, and under which number. `term` is 0 for a task that no shard keeps.

    `submitted_ms` tells the task from one that had the same id before.
    """

    owner: str
    attempt: int
    term: int
    submitted_ms: int

    @property
    def number(self) -> tuple[int, int]:
        """Which attempt of which task: they count up."""
        return self.submitted_ms, self.attempt


_SHARD = ""
"""Stands for the owners of a task that a shard keeps: they count its attempts together, one after the other."""

_Asking = dict[str, _Asked]
"""By owner; by `_SHARD` for all owners of a task that a shard keeps."""


class _Run(Struct, gc=False):
    """An attempt that runs here, and who has asked for it."""

    attempt: int
    asked: _Asking


class _Told(Struct, gc=False):
    """How a run ended, and who has been told."""

    payload: bytes | None
    failure: Failure | None
    asked: _Asking

    @property
    def size_bytes(self) -> int:
        failure = self.failure
        return len(self.payload or b"") + (
            0 if failure is None else len(failure.message) + len(failure.detail)
        )

    def ended(self, task: bytes, attempt: int) -> Ended:
        return Ended(task, attempt, self.payload, self.failure)


class Executor:
    """The attempts that run on this node, each for its owner.

    A task runs here once at a time, whoever asks. The owners of a shard count attempts together: the newest of them
    is told, and an order of an older attempt or term is not heard. Of a task that no shard keeps, two gateways
    may be the owners, one after the other: the second one joins the run of the first, and each is told the
    outcome under its own attempt number.

    Outcomes sent to other nodes are kept for a while, bounded in number and bytes, since an owner that
    missed one asks by assigning the attempt again. That an attempt has ended is remembered for longer: it does not
    run again under the same number.
    """

    def __init__(self, *, me: str, boot: int, supervisor: Supervisor) -> None:
        self._me = me
        self._boot = boot
        self._supervisor = supervisor
        self._running: dict[bytes, _Run] = {}
        self._told: OrderedDict[bytes, _Told] = OrderedDict()
        self._told_bytes = 0
        self._ends: OrderedDict[bytes, _Asking] = OrderedDict()
        self.counters = ExecutorCounters()

    def __len__(self) -> int:
        return len(self._running)

    def assign(self, now_ns: int, owner: str, assign: Assign, out: list[NodeEffect]) -> None:
        """Runs an attempt, unless it runs already or has ended: then it is told again how.

        One that was given to another process of this node was lost with it, whatever its owner has heard so far.
        """
        if assign.boot not in (0, self._boot):
            self.counters.misdirected += 1
            sometimes("was ordered to run an attempt of an earlier process")
            out.append(ToPeer(owner, Ended(assign.task, assign.attempt, None, node_gone(self._me))))
            return
        asked = _Asked(owner, assign.attempt, assign.term, assign.submitted_ms)
        run = self._running.get(assign.task)
        if run is None:
            told = self._told.get(assign.task)
            if told is None and (ends := self._ends.get(assign.task)) is not None:
                told = _Told(None, _no_longer_known(self._me), ends)
            if told is not None and self._is_told_again(asked, assign.task, told, out):
                return
            if self._has_to_go_on(owner, assign):
                self._send_on(asked, assign, out)
            else:
                self._start(now_ns, {_asker(asked): asked}, assign, out)
            return
        last = run.asked.get(_asker(asked))
        if last is None:
            self.counters.joined += 1
            sometimes("another owner joined a run that was under way")
            run.asked[_asker(asked)] = asked
        elif asked.number <= last.number:
            self.counters.repeated += 1
            if asked.number == last.number and asked.term >= last.term:
                run.asked[_asker(asked)] = asked
        else:
            self.counters.superseded += 1
            sometimes("a newer attempt took the place of one that ran")
            del self._running[assign.task]
            self.handle(now_ns, Withdrawn(assign.task), out)
            self._start(now_ns, {**run.asked, _asker(asked): asked}, assign, out)

    def recall(self, now_ns: int, owner: str, recall: Recall, out: list[NodeEffect]) -> None:
        """An owner no longer wants the attempt. When none does it is stopped, and its outcome goes nowhere."""
        run = self._running.get(recall.task)
        asker = _SHARD if recall.term else owner
        last = None if run is None else run.asked.get(asker)
        if run is None or last is None or recall.attempt < last.attempt or recall.term < last.term:
            return
        del run.asked[asker]
        if run.asked:
            return
        self.counters.withdrawn += 1
        sometimes("stopped a run that no owner wants any more")
        del self._running[recall.task]
        self._keep(
            recall.task,
            _Told(None, _withdrawn(self._me), {asker: replace(last, owner=owner, attempt=recall.attempt)}),
        )
        self.handle(now_ns, Withdrawn(recall.task), out)

    def owner_restarted(self, owner: str) -> None:
        """A new process has that name: the attempts that the last one counted say nothing about its own.

        What runs for the last one goes on: the task's next owner may ask for it here. Nothing is forgotten for a mere
        death notice: it may be false, and the same process ask for the same attempt again.
        """
        for run in self._running.values():
            run.asked.pop(owner, None)
        for told in self._told.values():
            told.asked.pop(owner, None)
        for ends in self._ends.values():
            ends.pop(owner, None)

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
        None may stay while every worker runs what was withdrawn.
        """
        if self._supervisor.is_clogged():
            return 0
        mean_ns = max(1.0, self._supervisor.mean_ns(agent))
        return slots * max(1, min(_MOST_HELD, int(_SHORT_WAIT_NS / mean_ns)))

    def next_deadline_ns(self) -> int | None:
        return self._supervisor.next_deadline_ns()

    def _start(self, now_ns: int, asked: _Asking, assign: Assign, out: list[NodeEffect]) -> None:
        self.counters.assigned += 1
        self._running[assign.task] = _Run(assign.attempt, asked)
        assignment = Assignment(
            assign.task,
            assign.attempt,
            assign.agent,
            assign.payload,
            now_ns + min(assign.deadline_ms, LONGEST_DEADLINE_MS) * _MS,
            assign.failures,
        )
        self.handle(now_ns, Offered(assignment), out)

    def _has_to_go_on(self, owner: str, assign: Assign) -> bool:
        """Whether another owner's task had better look for another node first.

        A node refuses a task so but once, and not at all after a few failures: it waits here if it must wait anywhere.
        """
        if owner == self._me or len(assign.failures) >= _MOST_SENT_ON or not self._supervisor.is_clogged():
            return False
        return all(failure.where != self._me for failure in assign.failures)

    def _send_on(self, asked: _Asked, assign: Assign, out: list[NodeEffect]) -> None:
        """Refuses an order. A copy of it must find the same answer: the owner may have gone elsewhere by then."""
        self.counters.sent_on += 1
        sometimes("sent a task on, as all workers run what was withdrawn")
        refusal = _refused(self._me, "every worker of this node still runs a task that was withdrawn")
        told = _Told(None, refusal, {_asker(asked): asked})
        self._keep(assign.task, told)
        out.append(ToPeer(asked.owner, told.ended(assign.task, asked.attempt)))

    def _is_told_again(self, asked: _Asked, task: bytes, told: _Told, out: list[NodeEffect]) -> bool:
        """Whether an attempt that ended here answers this order. A success answers any other owner's too."""
        last = told.asked.get(_asker(asked))
        if last is None:
            if told.payload is None:
                return False
            self.counters.joined += 1
            sometimes("told another owner of a success that it had not ordered")
            told.asked[_asker(asked)] = asked
        elif asked.number > last.number:
            return False
        else:
            self.counters.repeated += 1
            if asked.number < last.number:
                return True
            sometimes("told an outcome again that had been lost on its way")
        out.append(ToPeer(asked.owner, told.ended(task, asked.attempt)))
        return True

    def _report(self, outcome: Outcome, out: list[NodeEffect]) -> None:
        task = outcome.task
        run = self._running.get(task)
        if run is None or run.attempt != outcome.attempt:
            return
        del self._running[task]
        self.counters.reported += 1
        match outcome:
            case Succeeded(payload=payload):
                told = _Told(payload, None, run.asked)
            case Failed(failure=failure):
                told = _Told(None, failure, run.asked)
        if run.asked.keys() != {self._me}:
            self._keep(task, told)
        out += [ToPeer(asked.owner, told.ended(task, asked.attempt)) for asked in run.asked.values()]

    def _keep(self, task: bytes, told: _Told) -> None:
        self._ends.pop(task, None)
        before = self._told.pop(task, None)
        if before is not None:
            self._told_bytes -= before.size_bytes
        self._told[task] = told
        self._told_bytes += told.size_bytes
        while len(self._told) > _KEPT_ANSWERS or self._told_bytes > _KEPT_BYTES:
            oldest, ended = self._told.popitem(last=False)
            self._told_bytes -= ended.size_bytes
            self._ends[oldest] = ended.asked
            if len(self._ends) > _KEPT_ENDS:
                self._ends.popitem(last=False)


def _asker(asked: _Asked) -> str:
    return _SHARD if asked.term else asked.owner


def _refused(node: str, message: str) -> Failure:
    return Failure(code="no_executor", message=message, where=node)


def _no_longer_known(node: str) -> Failure:
    message = "the attempt has ended, and its outcome is no longer kept where it ran"
    return Failure(code=NODE_GONE, message=message, where=node, effect=Effect.MAYBE)


def _withdrawn(node: str) -> Failure:
    return Failure(code="cancelled", message="its owner withdrew it", where=node, effect=Effect.MAYBE)
