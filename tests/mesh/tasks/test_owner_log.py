"""The owner acts on what its log has decided, and on nothing that it has only proposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hubless.effects import ToPeer
from hubless.placement import mint_task_id
from hubless.tasks.entries import (
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Expired,
    Follows,
    Retried,
    Submitted,
)
from hubless.tasks.row import State
from hubless.view import View
from hubless.wire import Assign, Recall, Settled, Taken
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
TASK = mint_task_id(0, bytes(14))
SUBMITTED_MS = 1_700_000_000_000
OTHER = mint_task_id(0, bytes(13) + b"\1")
BROKEN = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
Make = Callable[..., Any]


@pytest.fixture
def room_of(Desk: Any, LateLog: Any, view_of: Callable[..., View]) -> Make:
    return lambda *members, **options: Desk(view_of(*members), LateLog(), is_prompt=False, **options)


@pytest.fixture
def room(room_of: Make, member: Callable[..., Member]) -> Any:
    """n0 owns and runs no agents; n1, n2 and n3 offer `echo` and `once`; nothing is decided by itself."""
    return room_of(member("n0", offers=()), member("n1"), member("n2"), member("n3"))


def order(effects: list[ToPeer]) -> tuple[str, Assign]:
    ((node, message),) = [(effect.node, effect.message) for effect in effects]
    assert isinstance(message, Assign)
    return node, message


def outcome(effects: list[ToPeer]) -> Settled:
    (effect,) = effects
    assert isinstance(effect.message, Settled)
    return effect.message


def running(room: Any, **fields: Any) -> str:
    """A task that runs; where."""
    room.place(**fields)
    return order(room.decide())[0]


def state(room: Any, task: bytes = TASK) -> State:
    return room.log.row(task).state


# -- decided first ------------------------------------------------------------------------------------


def test_an_order_leaves_when_its_attempt_is_decided(room: Any) -> None:
    assert room.place() == []
    (submitted,) = room.log.waiting
    assert isinstance(submitted, Submitted)
    executor, assign = order(room.decide())
    assert (assign.attempt, assign.term) == (1, 1)
    assert submitted.executor == f"{executor}/1"


def test_an_outcome_is_told_when_it_is_decided(room: Any) -> None:
    executor = running(room)
    assert room.ended(executor) == []
    assert room.ended(executor) == [], "and proposed once"
    assert [type(entry) for entry in room.log.waiting] == [AttemptEnded]
    assert outcome(room.decide()) == Settled(TASK, b"2", None, executor, 1)
    assert room.held() == (0, 0, 0)


def test_a_receipt_leaves_when_the_submission_is_decided(room: Any) -> None:
    assert room.place(receipt=True) == []
    assert room.place(receipt=True, gateway="g2") == []
    first, second, ordered = room.decide()
    assert (first, second) == (ToPeer("g1", Taken(TASK)), ToPeer("g2", Taken(TASK)))
    assert isinstance(ordered.message, Assign)


def test_a_next_attempt_leaves_when_it_is_decided(room: Any) -> None:
    executor = running(room)
    assert room.ended(executor, failure=BROKEN) == []
    (ended,) = room.log.waiting
    assert isinstance(ended, AttemptEnded)
    assert ended.follows is Follows.AGAIN
    second, assign = order(room.decide())
    assert (second, assign.attempt, assign.failures) == (ended.executor.split("/")[0], 2, (BROKEN,))
    assert second != executor


def test_a_task_costs_two_entries(room: Any) -> None:
    executor = running(room)
    room.ended(executor)
    room.decide()
    assert room.log.machine.applied == 2


# -- repeated placements ------------------------------------------------------------------------------


def test_a_placement_that_comes_again_before_the_decision_proposes_nothing(room: Any) -> None:
    room.place()
    assert room.place() == []
    assert len(room.log.waiting) == 1
    taken, ordered = room.decide()
    assert (taken, type(ordered.message)) == (ToPeer("g1", Taken(TASK)), Assign)


def test_another_gateway_hears_of_a_task_that_it_asked_for_before_the_decision(room: Any) -> None:
    room.place()
    room.place(gateway="g2")
    executor = room.decide()[-1].node
    room.ended(executor)
    assert {effect.node for effect in room.decide()} == {"g1", "g2"}


@pytest.mark.parametrize("fields", [{"payload": b"other"}, {"agent": "once"}])
def test_another_task_under_an_id_that_is_being_decided_is_refused(room: Any, fields: dict[str, Any]) -> None:
    room.place()
    told = outcome(room.place(gateway="g2", **fields))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("bad_input", Effect.NONE)
    executor, _ = order(room.decide())
    room.ended(executor)
    assert [effect.node for effect in room.decide()] == ["g1"]


# -- refused proposals --------------------------------------------------------------------------------


def test_a_task_that_the_log_does_not_take_leaves_nothing_behind(room: Any) -> None:
    room.log.is_open = False
    assert room.place(receipt=True) == []
    assert room.held() == (0, 0, 0)
    assert not room.owner.knows(TASK)
    room.log.is_open = True
    room.place()
    assert order(room.decide())


def test_nor_does_one_that_found_no_executor(room_of: Make, member: Callable[..., Member]) -> None:
    room = room_of(member("n0", offers=()))
    room.log.is_open = False
    room.place()
    assert room.view_changed() == []
    assert room.tick(60 * S) == []


@pytest.mark.parametrize("by_itself", [False, True])
def test_an_outcome_that_the_log_does_not_take_is_asked_for_again(
    room_of: Make, member: Callable[..., Member], by_itself: bool
) -> None:
    """Of this node's own executor, too: it keeps what it has told for a while."""
    room = room_of(member("n0"), own_room=1) if by_itself else room_of(member("n0", offers=()), member("n1"))
    executor = running(room)
    room.log.is_open = False
    assert room.ended(executor) == []
    assert room.held()[:2] == (1, 1)
    room.log.is_open = True
    again, assign = order(room.tick(1_100 * MS))
    assert (again, assign.attempt) == (executor, 1)
    room.ended(executor)
    assert outcome(room.decide()).payload == b"2"
    assert room.held() == (0, 0, 0)


def test_a_lost_attempt_that_the_log_does_not_take_is_lost_a_little_later(
    room: Any, member: Callable[..., Member]
) -> None:
    executor = running(room)
    room.view.learn(member(executor, condition=Condition.DEAD))
    room.log.is_open = False
    assert room.gone(executor) == []
    room.log.is_open = True
    room.tick(1_100 * MS)
    second, assign = order(room.decide())
    assert (second != executor, assign.attempt) == (True, 2)


def test_a_start_that_the_log_does_not_take_is_tried_again_soon(room: Any) -> None:
    room.log.is_open = False
    for node in ("n1", "n2", "n3"):
        room.view.learn(_busy(room, node))
    room.log.is_open = True
    room.place()
    room.decide()
    for node in ("n1", "n2", "n3"):
        room.view.learn(_alive(room, node))
    room.log.is_open = False
    assert room.view_changed() == []
    assert room.held() == (1, 0, 0)
    room.log.is_open = True
    room.tick(300 * MS)
    assert order(room.decide())[1].attempt == 1


def test_a_cancellation_that_the_log_does_not_take_changes_nothing(room: Any) -> None:
    executor = running(room)
    room.log.is_open = False
    assert room.cancel() == []
    room.log.is_open = True
    room.ended(executor)
    assert outcome(room.decide()).payload == b"2"


def test_an_expiry_that_the_log_does_not_take_comes_a_little_later(room: Any) -> None:
    executor = running(room, deadline_ms=400)
    room.log.is_open = False
    assert room.tick(500 * MS) == []
    due_ns = room.owner.next_deadline_ns()
    assert due_ns is not None
    assert due_ns > 500 * MS, "the owner does not spin"
    room.log.is_open = True
    assert room.tick(due_ns) == [ToPeer(executor, Recall(TASK, 1, 1))]
    told = outcome(room.decide())
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", Effect.MAYBE)


def _busy(room: Any, node: str) -> Member:
    return _with(room, node, Condition.BUSY)


def _alive(room: Any, node: str) -> Member:
    return _with(room, node, Condition.ALIVE)


def _with(room: Any, node: str, condition: Condition) -> Member:
    known = room.view.member(node)
    return Member(node, known.boot, 0, condition, known.address, known.meta, 0, 0)


# -- races --------------------------------------------------------------------------------------------


def test_an_outcome_that_was_proposed_before_a_cancellation_wins(room: Any) -> None:
    executor = running(room)
    room.ended(executor)
    assert room.cancel() == [], "nothing runs any more"
    told = outcome(room.decide())
    assert (told.payload, state(room)) == (b"2", State.SUCCEEDED)
    assert room.held() == (0, 0, 0)


def test_a_cancellation_that_was_proposed_before_an_outcome_wins(room: Any) -> None:
    executor = running(room)
    assert room.cancel() == [ToPeer(executor, Recall(TASK, 1, 1))]
    assert room.ended(executor) == []
    assert room.owner.counters.fenced == 1
    told = outcome(room.decide())
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("cancelled", Effect.MAYBE)


def test_a_task_that_is_cancelled_before_its_submission_is_decided_never_starts(room: Any) -> None:
    room.place(receipt=True)
    assert room.cancel() == []
    taken, told = room.decide()
    assert taken.message == Taken(TASK)
    assert isinstance(told.message, Settled)
    assert room.held() == (0, 0, 0)
    assert [type(entry) for entry in room.log.waiting] == []


def test_a_task_that_is_cancelled_while_its_next_attempt_is_decided_does_not_start_again(room: Any) -> None:
    executor = running(room)
    room.ended(executor, failure=BROKEN)
    room.cancel()
    assert room.decide(1) == []
    assert outcome(room.decide()).failure is not None
    assert (state(room), room.held()) == (State.CANCELLED, (0, 0, 0))


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


def test_an_outcome_that_was_proposed_before_the_deadline_wins(room: Any) -> None:
    executor = running(room, deadline_ms=400)
    room.ended(executor)
    assert room.tick(500 * MS) == []
    assert [type(entry) for entry in room.log.waiting] == [AttemptEnded]
    assert outcome(room.decide()).payload == b"2"


def test_a_deadline_that_was_proposed_before_the_outcome_wins(room: Any) -> None:
    executor = running(room, deadline_ms=400)
    assert room.tick(500 * MS) == [ToPeer(executor, Recall(TASK, 1, 1))]
    assert room.ended(executor) == []
    assert [type(entry) for entry in room.log.waiting] == [Expired]
    told = outcome(room.decide())
    assert told.failure is not None
    assert told.failure.code == "expired"
    assert room.held() == (0, 0, 0)


def test_an_expiry_is_proposed_once_however_long_it_takes_to_decide(room: Any) -> None:
    running(room, deadline_ms=400)
    for second in range(1, 60):
        room.tick(second * S)
    assert [type(entry) for entry in room.log.waiting] == [Expired]
    assert outcome(room.decide()).failure is not None


def test_a_task_that_is_decided_after_its_deadline_is_not_started(room: Any) -> None:
    room.place(deadline_ms=400)
    room.now_ns = 500 * MS
    assert room.decide() == []
    told = outcome(room.decide())
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", Effect.NONE)
    assert room.held() == (0, 0, 0)


def test_an_operator_s_retry_starts_when_it_is_decided(room: Any) -> None:
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
    assert state(room) is State.SUCCEEDED


def test_two_retries_at_a_time_are_one(room: Any) -> None:
    executor = running(room, agent="once")
    room.ended(executor, failure=BROKEN)
    room.decide()
    assert room.retry()
    assert room.retry()
    room.decide()
    assert [type(entry) for entry in room.log.waiting] == [AttemptStarted]
    assert order(room.decide())[1].attempt == 2


def test_what_succeeded_runs_or_is_unknown_is_not_retried(room: Any) -> None:
    assert not room.retry()
    executor = running(room)
    assert not room.retry()
    room.ended(executor)
    room.decide()
    assert not room.retry()


# -- nodes that die -----------------------------------------------------------------------------------


def test_a_node_that_dies_before_the_order_was_never_asked(room: Any, member: Callable[..., Member]) -> None:
    """Even an agent that runs only once may be started elsewhere."""
    room.place(agent="once")
    (submitted,) = room.log.waiting
    executor = submitted.executor.split("/")[0]
    room.view.learn(member(executor, condition=Condition.DEAD))
    assert room.gone(executor) == []
    assert room.decide() == []
    second, assign = order(room.decide())
    assert (second != executor, assign.attempt) == (True, 2)
    assert [failure.effect for failure in assign.failures] == [Effect.NONE]


def test_a_process_that_was_replaced_before_the_order_was_never_asked(
    room: Any, member: Callable[..., Member]
) -> None:
    room.place(agent="once")
    executor = room.log.waiting[0].executor.split("/")[0]
    room.view.learn(member(executor, boot=2))
    room.gone(executor)
    room.decide()
    assert order(room.decide())[1].attempt == 2


def test_a_node_that_dies_while_the_outcome_is_decided_changes_nothing(
    room: Any, member: Callable[..., Member]
) -> None:
    executor = running(room, agent="once")
    room.ended(executor)
    room.view.learn(member(executor, condition=Condition.DEAD))
    assert room.gone(executor) == []
    assert outcome(room.decide()).payload == b"2"


def test_a_node_that_dies_while_nothing_runs_there_changes_nothing(
    room_of: Make, member: Callable[..., Member]
) -> None:
    room = room_of(member("n0", offers=()))
    room.place()
    room.decide()
    assert room.gone("n1") == []
    assert room.held() == (1, 0, 0)


def test_a_node_that_dies_while_it_runs_the_attempt_loses_it_once(
    room: Any, member: Callable[..., Member]
) -> None:
    executor = running(room)
    room.view.learn(member(executor, condition=Condition.DEAD))
    room.gone(executor)
    assert room.gone(executor) == []
    assert len(room.log.waiting) == 1
    assert order(room.decide())[1].attempt == 2
    assert room.owner.counters.redispatched == 1


def test_a_dead_node_of_which_no_notice_came_loses_its_attempt_all_the_same(
    room: Any, member: Callable[..., Member]
) -> None:
    executor = running(room)
    room.view.learn(member(executor, condition=Condition.DEAD))
    room.tick(1_100 * MS)
    assert order(room.decide())[1].attempt == 2


def test_a_task_that_keeps_killing_workers_is_a_dead_letter(room: Any) -> None:
    executor, assign = running(room), Assign(TASK, 1, "echo", b"1", 1)
    while state(room) is State.RUNNING:
        assert room.ended(executor, assign.attempt, BROKEN) == []
        effects = room.decide()
        if state(room) is State.RUNNING:
            executor, assign = order(effects)
    told = outcome(effects)
    assert (told.failure, told.attempt, state(room)) == (BROKEN, 3, State.DEAD)
    assert room.log.row(TASK).failures == (BROKEN,) * 3
    assert room.held() == (0, 0, 0)


# -- waiting for an executor --------------------------------------------------------------------------


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
    assert order(room.decide()) == ("n1", Assign(TASK, 1, "echo", b"1", 30_000, (), 1, SUBMITTED_MS))


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
