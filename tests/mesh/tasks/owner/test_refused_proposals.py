"""What a log does not take has not happened: the owner tries it again, and loses nothing by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from owner_desk import TASK, Desk, order, outcome, running

from hubless.effects import ToPeer
from hubless.wire import Recall
from hubless_agents import Effect
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
Make = Callable[..., Desk]


def test_a_task_that_the_log_does_not_take_leaves_nothing_behind(room: Desk) -> None:
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
    room: Desk, member: Callable[..., Member]
) -> None:
    executor = running(room)
    room.view.learn(member(executor, condition=Condition.DEAD))
    room.log.is_open = False
    assert room.gone(executor) == []
    room.log.is_open = True
    room.tick(1_100 * MS)
    second, assign = order(room.decide())
    assert (second != executor, assign.attempt) == (True, 2)


def test_a_start_that_the_log_does_not_take_is_tried_again_soon(room: Desk) -> None:
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


def test_a_cancellation_that_the_log_does_not_take_changes_nothing(room: Desk) -> None:
    executor = running(room)
    room.log.is_open = False
    assert room.cancel() == []
    room.log.is_open = True
    room.ended(executor)
    assert outcome(room.decide()).payload == b"2"


def test_an_expiry_that_the_log_does_not_take_comes_a_little_later(room: Desk) -> None:
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


def _busy(room: Desk, node: str) -> Member:
    return _with(room, node, Condition.BUSY)


def _alive(room: Desk, node: str) -> Member:
    return _with(room, node, Condition.ALIVE)


def _with(room: Desk, node: str, condition: Condition) -> Member:
    known = room.view.member(node)
    return Member(node, known.boot, 0, condition, known.address, known.meta, 0, 0)
