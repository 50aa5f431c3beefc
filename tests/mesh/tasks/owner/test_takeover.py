"""Whoever owns a shard next goes on where the last owner stopped, from the rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from owner_desk import TASK, Desk, another_owner, order, outcome, running

from hubless.effects import ToPeer
from hubless.placement import mint_task_id
from hubless.tasks.entries import AttemptStarted, Cancelled
from hubless.tasks.row import State
from hubless.view import View
from hubless.wire import Taken
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
ELSEWHERE = mint_task_id(1, bytes(14))


def test_an_attempt_in_a_living_process_is_ordered_again_under_its_own_number(room: Desk) -> None:
    executor = running(room)
    again, assign = order(another_owner(room))
    assert (again, assign.attempt, assign.term) == (executor, 1, 2)
    assert room.log.waiting == [], "which changes nothing that must be written down"
    assert room.place(gateway="g2") == [ToPeer("g2", Taken(TASK))]
    room.ended(executor)
    assert outcome(room.decide()).payload == b"2"
    assert room.held() == (0, 0, 0)


def test_an_agent_that_runs_once_is_ordered_again_where_it_runs(room: Desk) -> None:
    executor = running(room, agent="once")
    assert order(another_owner(room))[0] == executor


def test_a_task_that_waits_is_started(room: Desk, member: Callable[..., Member]) -> None:
    for node in ("n1", "n2", "n3"):
        room.view.learn(member(node, condition=Condition.BUSY))
    room.place()
    room.decide()
    for node in ("n1", "n2", "n3"):
        room.view.learn(member(node))
    assert another_owner(room) == []
    assert [type(entry) for entry in room.log.waiting] == [AttemptStarted]
    assert order(room.decide())[1].attempt == 1


@pytest.mark.parametrize("life", [{"condition": Condition.DEAD}, {"condition": Condition.LEFT}, {"boot": 2}])
def test_an_attempt_in_a_process_that_is_gone_is_followed_by_another(
    room: Desk, member: Callable[..., Member], life: dict[str, Any]
) -> None:
    executor = running(room)
    room.view.learn(member(executor, **life))
    assert another_owner(room) == []
    _, assign = order(room.decide())
    assert assign.attempt == 2
    assert [failure.code for failure in assign.failures] == ["unreachable"]
    assert [failure.effect for failure in assign.failures] == [Effect.MAYBE]


@pytest.mark.parametrize("life", [{"condition": Condition.DEAD}, {"boot": 2}])
def test_an_agent_that_runs_once_never_starts_twice(
    room: Desk, member: Callable[..., Member], life: dict[str, Any]
) -> None:
    """The last owner may have ordered the attempt; whether it did is nowhere written."""
    executor = running(room, agent="once")
    room.view.learn(member(executor, **life))
    another_owner(room)
    assert room.decide() == [], "nobody waits for it here yet"
    told = outcome(room.place(agent="once"))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("unreachable", Effect.MAYBE)
    assert room.held() == (0, 0, 0)


@pytest.mark.parametrize("is_lost", [True, False])
def test_what_the_last_owner_had_only_proposed_may_or_may_not_have_happened(
    room: Desk, is_lost: bool
) -> None:
    executor = running(room)
    room.ended(executor)
    if not is_lost:
        room.log.decide()
        room.log.take_decided()
    effects = another_owner(room)
    if is_lost:
        assert order(effects)[0] == executor
        room.ended(executor)
        room.place()
        assert outcome(room.decide()).payload == b"2"
    else:
        assert effects == []
        assert outcome(room.place()).payload == b"2"


def test_deadlines_are_kept_over_a_change_of_owners(room: Desk) -> None:
    running(room, deadline_ms=5_000)
    room.now_ns = 2 * S
    assert order(another_owner(room))[1].deadline_ms == 3_000
    room.place()
    assert [type(effect.message).__name__ for effect in room.tick(5_050 * MS)] == ["Recall"]
    told = outcome(room.decide())
    assert told.failure is not None
    assert told.failure.code == "expired"


def test_what_is_long_overdue_when_it_is_taken_over_is_not_started(
    room: Desk, member: Callable[..., Member]
) -> None:
    for node in ("n1", "n2", "n3"):
        room.view.learn(member(node, condition=Condition.BUSY))
    room.place(deadline_ms=400)
    room.decide()
    for node in ("n1", "n2", "n3"):
        room.view.learn(member(node))
    room.now_ns = 10 * S
    assert another_owner(room) == []
    room.place()
    assert room.tick() == []
    told = outcome(room.decide())
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", Effect.NONE)


def test_the_failures_of_earlier_owners_count(room: Desk) -> None:
    broken = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
    executor = running(room)
    room.ended(executor, 1, broken)
    room.decide()
    executor, assign = order(another_owner(room))
    assert (assign.attempt, assign.failures) == (2, (broken,))
    room.ended(executor, 2, broken)
    executor, assign = order(room.decide())
    assert assign.attempt == 3
    room.ended(executor, 3, broken)
    room.decide()
    assert room.log.row(TASK).state is State.DEAD


# -- an owner that has just started, and has not met everybody yet --------------------------------------


@pytest.fixture
def newcomer(room: Desk, view_of: Callable[..., View], member: Callable[..., Member]) -> Callable[..., str]:
    """Has an attempt run, and another owner take over which knows nobody but itself; who runs it."""

    def start(**fields: Any) -> str:
        executor = running(room, **fields)
        room.view = view_of(member("n0", offers=()))
        assert another_owner(room) == []
        assert room.log.waiting == []
        return executor

    return start


def meet(room: Desk, *members: Member) -> None:
    for member in members:
        room.view.learn(member)
    room.view.ring_built(room.view.preferences.changed(room.view.ring_members()))


@pytest.mark.parametrize("agent", ["echo", "once"])
def test_an_executor_that_nobody_has_met_yet_is_waited_for(
    room: Desk, newcomer: Callable[..., str], member: Callable[..., Member], agent: str
) -> None:
    executor = newcomer(agent=agent)
    assert room.tick(1 * S) == []
    assert room.log.waiting == []
    room.view.learn(member(executor))
    again, assign = order(room.tick(1_300 * MS))
    assert (again, assign.attempt) == (executor, 1)
    room.ended(executor)
    room.place(agent=agent)
    assert outcome(room.decide()).payload == b"2"


def test_its_outcome_counts_meanwhile(room: Desk, newcomer: Callable[..., str]) -> None:
    executor = newcomer(agent="once")
    room.ended(executor)
    room.place(agent="once")
    assert outcome(room.decide()).payload == b"2"


def test_an_executor_that_turns_out_to_be_another_process_is_gone(
    room: Desk, newcomer: Callable[..., str], member: Callable[..., Member]
) -> None:
    executor = newcomer()
    meet(room, member(executor, boot=2))
    assert room.tick(300 * MS) == []
    assert order(room.decide())[1].attempt == 2


def test_an_executor_that_nobody_ever_meets_is_gone_in_the_end(
    room: Desk, newcomer: Callable[..., str], member: Callable[..., Member]
) -> None:
    executor = newcomer()
    (other, *_) = {"n1", "n2", "n3"} - {executor}
    meet(room, member(other))
    for tenth in range(1, 51):
        room.tick(tenth * 100 * MS)
    assert order(room.decide())[0] == other


def test_a_deadline_does_not_wait_for_an_executor_that_nobody_has_met(
    room: Desk, newcomer: Callable[..., str]
) -> None:
    newcomer(deadline_ms=500)
    room.place()
    room.tick(600 * MS)
    told = outcome(room.decide())
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", Effect.MAYBE)


# -- giving up ----------------------------------------------------------------------------------------


def test_a_shard_that_is_lost_takes_loads_and_permits_with_it(room: Desk) -> None:
    running(room)
    room.place(ELSEWHERE)
    room.decide()
    assert room.held() == (2, 2, 2)
    assert room.gave_up(0) == []
    assert room.held() == (1, 1, 1)
    assert room.gave_up(1) == []
    assert room.held() == (0, 0, 0)
    assert room.owner.counters.given_up == 2


def test_nothing_is_done_for_tasks_of_a_lost_shard(room: Desk, member: Callable[..., Member]) -> None:
    executor = running(room, deadline_ms=400)
    room.gave_up()
    assert room.ended(executor) == []
    room.view.learn(member(executor, condition=Condition.DEAD))
    assert (room.gone(executor), room.view_changed(), room.tick(60 * S)) == ([], [], [])
    assert room.cancel() == []
    assert (room.owner.counters.fenced, room.log.waiting) == (1, [])


def test_a_shard_may_be_lost_before_anything_is_decided(room: Desk, member: Callable[..., Member]) -> None:
    room.place()
    for node in ("n1", "n2", "n3"):
        room.view.learn(member(node, condition=Condition.BUSY))
    room.place(mint_task_id(0, bytes(13) + b"\1"))
    room.gave_up()
    assert room.held() == (0, 0, 0)
    assert room.view_changed() == []


def test_a_shard_that_comes_back_is_taken_over_like_any_other(room: Desk) -> None:
    executor = running(room)
    room.ended(executor)
    room.log.lose()
    room.gave_up()
    room.log.current_term = 3
    again, assign = order(room.took_over())
    assert (again, assign.attempt, assign.term) == (executor, 1, 3)
    assert room.held() == (1, 1, 1)


def test_a_task_without_gateways_is_not_cancelled_by_somebody_else_s_withdrawal(room: Desk) -> None:
    running(room)
    another_owner(room)
    assert room.withdraw("g1") == []
    assert room.log.waiting == []
    room.place()
    room.withdraw("g1")
    assert [type(entry) for entry in room.log.waiting] == [Cancelled]
