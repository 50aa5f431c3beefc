"""Executors that die while their order, or its outcome, is being decided."""

from __future__ import annotations

from collections.abc import Callable

from owner_desk import BROKEN, TASK, Desk, order, outcome, running

from hubless.tasks.row import State
from hubless.wire import Assign
from hubless_agents import Effect
from hubless_gossip import Condition, Member

MS = 1_000_000
Make = Callable[..., Desk]


def test_a_node_that_dies_before_the_order_was_never_asked(room: Desk, member: Callable[..., Member]) -> None:
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
    room: Desk, member: Callable[..., Member]
) -> None:
    room.place(agent="once")
    executor = room.log.waiting[0].executor.split("/")[0]
    room.view.learn(member(executor, boot=2))
    room.gone(executor)
    room.decide()
    assert order(room.decide())[1].attempt == 2


def test_a_node_that_dies_while_the_outcome_is_decided_changes_nothing(
    room: Desk, member: Callable[..., Member]
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
    room: Desk, member: Callable[..., Member]
) -> None:
    executor = running(room)
    room.view.learn(member(executor, condition=Condition.DEAD))
    room.gone(executor)
    assert room.gone(executor) == []
    assert len(room.log.waiting) == 1
    assert order(room.decide())[1].attempt == 2
    assert room.owner.counters.redispatched == 1


def test_a_dead_node_of_which_no_notice_came_loses_its_attempt_all_the_same(
    room: Desk, member: Callable[..., Member]
) -> None:
    executor = running(room)
    room.view.learn(member(executor, condition=Condition.DEAD))
    room.tick(1_100 * MS)
    assert order(room.decide())[1].attempt == 2


def test_a_task_that_keeps_killing_workers_is_a_dead_letter(room: Desk) -> None:
    executor, assign = running(room), Assign(TASK, 1, "echo", b"1", 1)
    while room.log.row(TASK).state is State.RUNNING:
        assert room.ended(executor, assign.attempt, BROKEN) == []
        effects = room.decide()
        if room.log.row(TASK).state is State.RUNNING:
            executor, assign = order(effects)
    told = outcome(effects)
    assert (told.failure, told.attempt, room.log.row(TASK).state) == (BROKEN, 3, State.DEAD)
    assert room.log.row(TASK).failures == (BROKEN,) * 3
    assert room.held() == (0, 0, 0)
