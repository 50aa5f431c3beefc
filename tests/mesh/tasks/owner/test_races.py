"""Outcomes, cancellations, deadlines and retries that meet in a log: the first one counts."""

from __future__ import annotations

from collections.abc import Callable

from owner_desk import BROKEN, TASK, Desk, order, outcome, running

from hubless.effects import ToPeer
from hubless.tasks.entries import AttemptEnded, AttemptStarted, Cancelled, Expired, Retried
from hubless.tasks.row import State
from hubless.wire import Recall, Settled, Taken
from hubless_agents import Effect
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
Make = Callable[..., Desk]


def test_an_outcome_that_was_proposed_before_a_cancellation_wins(room: Desk) -> None:
    executor = running(room)
    room.ended(executor)
    assert room.cancel() == [], "nothing runs any more"
    told = outcome(room.decide())
    assert (told.payload, room.log.row(TASK).state) == (b"2", State.SUCCEEDED)
    assert room.held() == (0, 0, 0)


def test_a_cancellation_that_was_proposed_before_an_outcome_wins(room: Desk) -> None:
    executor = running(room)
    assert room.cancel() == [ToPeer(executor, Recall(TASK, 1, 1))]
    assert room.ended(executor) == []
    assert room.owner.counters.fenced == 1
    told = outcome(room.decide())
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("cancelled", Effect.MAYBE)


def test_a_task_that_is_cancelled_before_its_submission_is_decided_never_starts(room: Desk) -> None:
    room.place(receipt=True)
    assert room.cancel() == []
    taken, told = room.decide()
    assert taken.message == Taken(TASK)
    assert isinstance(told.message, Settled)
    assert room.held() == (0, 0, 0)
    assert [type(entry) for entry in room.log.waiting] == []


def test_a_task_that_is_cancelled_while_its_next_attempt_is_decided_does_not_start_again(room: Desk) -> None:
    executor = running(room)
    room.ended(executor, failure=BROKEN)
    room.cancel()
    assert room.decide(1) == []
    assert outcome(room.decide()).failure is not None
    assert (room.log.row(TASK).state, room.held()) == (State.CANCELLED, (0, 0, 0))


def test_nor_does_one_that_waits_for_an_executor_meanwhile(
    room_of: Make, member: Callable[..., Member]
) -> None:
    room = room_of(member("n0", offers=()), member("n1"))
    executor = running(room)
    room.view.learn(member(executor, condition=Condition.BUSY))
    room.ended(executor, failure=BROKEN)
    room.cancel()
    room.view.learn(member(executor))
    assert room.view_changed() == []
    assert room.decide(1) == []
    assert [type(entry) for entry in room.log.waiting] == [Cancelled]
    assert outcome(room.decide()).failure is not None


def test_an_outcome_that_was_proposed_before_the_deadline_wins(room: Desk) -> None:
    executor = running(room, deadline_ms=400)
    room.ended(executor)
    assert room.tick(500 * MS) == []
    assert [type(entry) for entry in room.log.waiting] == [AttemptEnded]
    assert outcome(room.decide()).payload == b"2"


def test_a_deadline_that_was_proposed_before_the_outcome_wins(room: Desk) -> None:
    executor = running(room, deadline_ms=400)
    assert room.tick(500 * MS) == [ToPeer(executor, Recall(TASK, 1, 1))]
    assert room.ended(executor) == []
    assert [type(entry) for entry in room.log.waiting] == [Expired]
    told = outcome(room.decide())
    assert told.failure is not None
    assert told.failure.code == "expired"
    assert room.held() == (0, 0, 0)


def test_an_expiry_is_proposed_once_however_long_it_takes_to_decide(room: Desk) -> None:
    running(room, deadline_ms=400)
    for second in range(1, 60):
        room.tick(second * S)
    assert [type(entry) for entry in room.log.waiting] == [Expired]
    assert outcome(room.decide()).failure is not None


def test_a_task_that_is_decided_after_its_deadline_is_not_started(room: Desk) -> None:
    room.place(deadline_ms=400)
    room.now_ns = 500 * MS
    assert room.decide() == []
    told = outcome(room.decide())
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", Effect.NONE)
    assert room.held() == (0, 0, 0)


def test_an_operator_s_retry_starts_when_it_is_decided(room: Desk) -> None:
    executor = running(room, agent="once")
    room.ended(executor, failure=BROKEN)
    assert outcome(room.decide()).failure == BROKEN
    assert room.retry()
    assert [type(entry) for entry in room.log.waiting] == [Retried]
    assert len(room.owner) == 0
    assert room.decide() == []
    assert [type(entry) for entry in room.log.waiting] == [AttemptStarted]
    executor, assign = order(room.decide())
    assert (assign.attempt, assign.failures, assign.deadline_ms) == (2, (), 30_000)
    room.ended(executor, 2)
    room.decide()
    assert room.log.row(TASK).state is State.SUCCEEDED


def test_two_retries_at_a_time_are_one(room: Desk) -> None:
    executor = running(room, agent="once")
    room.ended(executor, failure=BROKEN)
    room.decide()
    assert room.retry()
    assert room.retry()
    room.decide()
    assert [type(entry) for entry in room.log.waiting] == [AttemptStarted]
    assert order(room.decide())[1].attempt == 2


def test_what_succeeded_runs_or_is_unknown_is_not_retried(room: Desk) -> None:
    assert not room.retry()
    executor = running(room)
    assert not room.retry()
    room.ended(executor)
    room.decide()
    assert not room.retry()
