"""Tasks that wait for an executor, and those that may have had one before the log forgot them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from owner_desk import SUBMITTED_MS, TASK, Desk, order, outcome

from hubless.effects import ToPeer
from hubless.tasks.entries import AttemptStarted, Cancelled
from hubless.wire import Assign, Taken
from hubless_agents import Effect
from hubless_gossip import Member

Make = Callable[..., Desk]


@pytest.mark.parametrize(
    ("once", "age_ms", "is_refused"),
    [(True, 5_000, True), (True, 0, False), (True, 900, False), (False, 5_000, False)],
)
def test_what_may_have_ended_before_the_log_forgot_that_is_not_run_twice(
    room_of: Make, member: Callable[..., Member], once: bool, age_ms: int, is_refused: bool
) -> None:
    room = room_of(member("n0", offers=()), member("n1"))
    room.log.machine.forgotten_ms = SUBMITTED_MS - 1_000
    effects = room.place(agent="once" if once else "echo", once=once, age_ms=age_ms)
    failures = [effect.message.failure for effect in effects]
    assert [(failure.code, failure.effect) for failure in failures] == is_refused * [
        ("unreachable", Effect.MAYBE)
    ]
    assert len(room.log.waiting) == (not is_refused)


def test_what_found_no_executor_starts_when_one_comes(room_of: Make, member: Callable[..., Member]) -> None:
    room = room_of(member("n0", offers=()), member("n1", offers=()))
    room.place(receipt=True)
    assert room.log.waiting[0].executor == ""
    assert room.decide() == [ToPeer("g1", Taken(TASK))]
    room.view.learn(member("n1"))
    assert room.view_changed() == []
    assert [type(entry) for entry in room.log.waiting] == [AttemptStarted]
    assert order(room.decide()) == ("n1", Assign(TASK, 1, "echo", b"1", 30_000, (), 1, SUBMITTED_MS, 1))


def test_an_executor_that_comes_before_the_submission_is_decided_is_not_overlooked(
    room_of: Make, member: Callable[..., Member]
) -> None:
    room = room_of(member("n0", offers=()), member("n1", offers=()))
    room.place()
    room.view.learn(member("n1"))
    assert room.view_changed() == []
    assert room.decide() == []
    assert order(room.decide())[0] == "n1"


def test_a_task_that_waits_is_cancelled_without_effect(room_of: Make, member: Callable[..., Member]) -> None:
    room = room_of(member("n0", offers=()))
    room.place()
    room.decide()
    assert room.cancel() == []
    assert [type(entry) for entry in room.log.waiting] == [Cancelled]
    room.view.learn(member("n1"))
    assert room.view_changed() == []
    told = outcome(room.decide())
    assert told.failure is not None
    assert told.failure.effect is Effect.NONE
