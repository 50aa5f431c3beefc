"""Bugs in what becomes of tasks: receipts, attempts, outcomes, cancellations, and how long a shard remembers them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from hubless.counsel import Counsel
from hubless.effects import NodeEffect, ToPeer
from hubless.tasks import course, owner
from hubless.tasks.attempts import NODE_GONE, Verdict
from hubless.tasks.course import Course
from hubless.tasks.entries import Entered, Retried, Submitted, TaskEntry
from hubless.tasks.executor import Executor
from hubless.tasks.gateway import Gateway
from hubless.tasks.live import Live, Phase
from hubless.tasks.log import TaskLog
from hubless.tasks.machine import Machine
from hubless.tasks.owner import Owner
from hubless.tasks.pending import Pending
from hubless.tasks.retention import Shelf
from hubless.tasks.row import TERMINAL, Row, State
from hubless.wire import Assign, Consult, Ended, Place, Settled, Taken
from hubless_agents import Effect, Failure
from hubless_sim.zoo.planting import Bed, Swaps

BED = Bed("tasks")


@BED.plant("mesh", first=26)
def accepts_the_result_of_an_old_attempt(swaps: Swaps) -> None:
    """An outcome counts whatever its attempt number is, and whoever ran it."""

    def lax(self: Owner, now_ns: int, executor: str, told: Ended, out: list[NodeEffect]) -> None:
        live = self._live.get(told.task)
        if live is not None and live.phase is Phase.RUNNING and live.chosen is not None:
            executor, told = live.chosen.node, replace(told, attempt=live.attempt)
        ended(self, now_ns, executor, told, out)

    ended = swaps.put(Owner, "ended", lax)


@BED.plant("mesh", first=7)
def gives_the_receipt_before_a_majority_has_the_task(swaps: Swaps) -> None:
    """The receipt leaves when the submission is proposed, and not when it can no longer be lost."""

    def hasty(self: Owner, now_ns: int, asked: Place, out: list[NodeEffect]) -> None:
        place(self, now_ns, asked, out)
        live = self._live.get(asked.task)
        if live is not None and live.receipts:
            out.extend(ToPeer(gateway, Taken(asked.task)) for gateway in live.receipts)
            live.receipts = ()

    place = swaps.put(Owner, "place", hasty)


@BED.plant("mesh", first=0)
def starts_a_task_anew_when_it_comes_again(swaps: Swaps) -> None:
    """A second submission of an id overwrites the row of the first one, if that has ended, on all replicas."""

    def overwriting(self: Machine, entry: TaskEntry) -> Row | None:
        row = self.rows.get(entry.task)
        if row is not None and isinstance(entry, Submitted) and row.state in TERMINAL:
            self._drop(row)
        return change(self, entry)

    def blind(self: Owner, now_ns: int, asked: Place, out: list[NodeEffect]) -> None:
        log: Any = self._log
        row = log.row(asked.task)
        has_ended = row is not None and row.state in TERMINAL and asked.task not in self._live
        self._log = _Unknowing(log) if has_ended else log
        place(self, now_ns, asked, out)
        self._log = log

    change = swaps.put(Machine, "_change", overwriting)
    place = swaps.put(Owner, "place", blind)


class _Unknowing:
    """A log in which nothing can be looked up."""

    def __init__(self, log: TaskLog) -> None:
        self.term = log.term
        self.propose = log.propose

    def row(self, _task: bytes) -> None:
        return None

    def may_have_forgotten(self, _task: bytes, _since_ms: int) -> bool:
        return False


@BED.plant("mesh", first=0)
def says_cancelled_and_runs_on(swaps: Swaps) -> None:
    """Who cancels is told that the task is cancelled, and nothing is written down."""

    def lying(
        self: Counsel, now_ns: int, node: str, consult: Consult, task: bytes, out: list[NodeEffect]
    ) -> None:
        if consult.what == "cancel" and self._keeping.owns(task):
            self._tell(node, consult.request, {"task": task.hex(), "state": "cancelled"}, out)
        else:
            order(self, now_ns, node, consult, task, out)

    order = swaps.put(Counsel, "_order", lying)


@BED.plant("mesh", first=0)
def cancels_what_has_ended(swaps: Swaps) -> None:
    """A cancellation that comes after the result takes its place."""

    def late(self: Row, now_ms: int) -> bool:
        if self.state is State.CANCELLED:
            return False
        self._finish(State.CANCELLED, now_ms)
        return True

    swaps.put(Row, "cancel", late)


@BED.plant("apart", first=2)
def lets_the_last_outcome_win(swaps: Swaps) -> None:
    """A result that a node came to by itself takes the place of the outcome that its shard has had before."""

    def over(self: Row, entered: Entered, now_ms: int, *, is_new: bool = False) -> bool:
        if self.state not in TERMINAL or is_new or entered.failure is not None or self.has(entered):
            return enter(self, entered, now_ms, is_new=is_new)
        self.executor = self.provisional_from = entered.node
        self._succeed(entered.result, now_ms)
        return True

    enter = swaps.put(Row, "enter", over)


@BED.plant("mesh", first=0)
def runs_again_what_has_succeeded(swaps: Swaps) -> None:
    """An operator may have a task tried again that has succeeded: its next outcome takes the place of the first."""

    def reopen(self: Row, deadline_ms: int) -> bool:
        if self.state is State.SUCCEEDED:
            self.state = State.FAILED
        return retry_row(self, deadline_ms)

    def ask(self: Owner, now_ns: int, task: bytes) -> bool:
        row = self._log.row(task)
        if row is None or row.state is not State.SUCCEEDED or task in self._live:
            return retry(self, now_ns, task)
        at_ms = self._course.unix_ms(now_ns)
        return self._log.propose(
            now_ns, task, Retried(task, at_ms, at_ms + row.deadline_ms - row.submitted_ms)
        )

    retry_row = swaps.put(Row, "retry", reopen)
    retry = swaps.put(Owner, "retry", ask)


@BED.plant("mesh", first=0)
def forgets_results_at_once(swaps: Swaps) -> None:
    """A finished task is forgotten after a second, although clients may still ask for it."""

    def impatient(self: Shelf, clock_ms: int) -> Row | None:
        oldest = next(iter(self._rows.values()), None)
        if oldest is None or not oldest.ended_ms or clock_ms - oldest.ended_ms <= 1_000:
            return None
        self.take(oldest)
        return oldest

    swaps.put(Shelf, "take_overdue", impatient)


@BED.plant("mesh", first=0)
def forgets_by_the_clock_of_each_replica(swaps: Swaps) -> None:
    """Replicas forget finished tasks when a snapshot is made, each at its own time, and not by the log."""

    def tidy(self: Machine) -> bytes:
        for row in list(self._ended)[:-1]:
            self._shelves[row.state].take(row)
            self._forget(row)
        return state(self)

    state = swaps.put(Machine, "state", tidy)


@BED.plant("mesh", first=0)
def gives_a_running_attempt_to_another_node(swaps: Swaps) -> None:
    """An owner that takes a task over starts its current attempt elsewhere, under the number that it has."""

    def elsewhere(self: Course, now_ns: int, live: Live, row: Row, out: list[NodeEffect]) -> None:
        resume(self, now_ns, live, row, out)
        for effect in list(out):
            match effect:
                case ToPeer(message=Assign(task=task)) if task == row.task and effect.node != self._me:
                    out.append(replace(effect, node=self._me))
                case _:
                    pass

    resume = swaps.put(Course, "resume", elsewhere)


@BED.plant("mesh", first=0)
def counts_attempts_from_one_again(swaps: Swaps) -> None:
    """An owner that takes a task over numbers its orders from 1, whatever the log says."""

    def from_one(self: Course, now_ns: int, live: Live, row: Row) -> Assign:
        made: Assign = assign(self, now_ns, live, row)
        return replace(made, attempt=1) if live.payload == b"" and made.term > 1 else made

    assign = swaps.put(Course, "_assign", from_one)


@BED.plant("mesh", first=0)
def does_not_go_on_with_what_it_takes_over(swaps: Swaps) -> None:
    """A new owner of a shard leaves its unfinished tasks as they are."""

    def idle(
        _self: Owner,
        _now_ns: int,
        _rows: Iterable[Row],
        _out: list[NodeEffect],
        *,
        unmerged: Iterable[Row] = (),
    ) -> None:
        return None

    swaps.put(Owner, "took_over", idle)


@BED.plant("mesh", first=0)
def lets_the_outcome_go_with_the_owner(swaps: Swaps) -> None:
    """A gateway does not ask the next owner for what it had placed with the last one."""

    def trusting(
        _self: Gateway, _now_ns: int, _task: bytes, _pending: Pending, _out: list[NodeEffect]
    ) -> None:
        return None

    swaps.put(Gateway, "_place_again", trusting)


@BED.plant("mesh", first=0)
def lets_an_attempt_outlive_its_process(swaps: Swaps) -> None:
    """An attempt whose node is gone is still waited for, and ordered again of the next process there, which runs it."""

    def unasked(self: Executor, now_ns: int, owner: str, assign: Assign, out: list[NodeEffect]) -> None:
        run(self, now_ns, owner, replace(assign, boot=0), out)

    run = swaps.put(Executor, "assign", unasked)
    swaps.put(Owner, "peer_gone", lambda _self, _now_ns, _node, _out: None)
    swaps.put(Course, "_is_there", lambda _self, _process: True)


@BED.plant("mesh", first=7)
def starts_a_once_only_task_again(swaps: Swaps) -> None:
    """A task that must not run twice is started anew when its node is lost."""

    def careless(failure: Failure, *, attempt: int, earlier: Sequence[Failure], retries: int) -> Verdict:
        if failure.code == NODE_GONE:
            return Verdict.ELSEWHERE
        return judge(failure, attempt=attempt, earlier=earlier, retries=retries)

    judge = swaps.put(course, "judge", careless)


@BED.plant("mesh", first=16)
def swears_that_an_expired_task_had_no_effect(swaps: Swaps) -> None:
    """A task that expires while it runs is said to have had no effect."""

    def sure(me: str, *, is_running: bool) -> Failure:
        told: Failure = expired(me, is_running=is_running)
        return replace(told, effect=Effect.NONE)

    expired = swaps.put(course, "expired", sure)


@BED.plant("mesh", first=0)
def swears_that_a_cancelled_task_had_no_effect(swaps: Swaps) -> None:
    """A task that is cancelled while it runs is said to have had no effect."""

    def sure(me: str, row: Row) -> Settled:
        told: Settled = settled(me, row)
        if told.failure is None or row.state is not State.CANCELLED:
            return told
        return replace(told, failure=replace(told.failure, effect=Effect.NONE))

    settled = swaps.put(owner, "settled", sure)


@BED.plant("mesh", first=14)
def runs_an_ended_attempt_again(swaps: Swaps) -> None:
    """An executor does not remember that an attempt has ended: a repeated order runs it once more."""
    swaps.put(Executor, "_keep", lambda _self, _task, _told: None)
