"""A node that is suspected answers nobody: what may be started twice does not wait for its death."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from owner_desk import TASK, Desk, running

from hubless.effects import ToPeer
from hubless.wire import Assign, Recall
from hubless_agents import Effect
from hubless_gossip import Condition, Member

Make = Callable[..., Member]


def fall_silent(room: Desk, member: Make, node: str) -> list[ToPeer]:
    room.view.learn(member(node, condition=Condition.SUSPECT))
    return room.said(room.owner.peer_silent, node)


def test_its_attempt_goes_elsewhere_when_that_is_decided(room: Desk, member: Make) -> None:
    """And is recalled no sooner: undecided, it is the one that counts, and the next owner may ask for it."""
    executor = running(room)
    assert fall_silent(room, member, executor) == []
    recalled, ordered = room.decide()
    assert recalled == ToPeer(executor, Recall(TASK, 1, 1))
    assert isinstance(ordered.message, Assign)
    assert (ordered.node != executor, ordered.message.attempt) == (True, 2)
    assert [failure.effect for failure in ordered.message.failures] == [Effect.MAYBE]
    assert room.ended(executor) == []
    assert room.owner.counters.fenced == 1


@pytest.mark.parametrize("pair", [("n0", "far"), ("far", "n0")])
def test_so_does_that_of_a_node_which_only_its_owner_does_not_reach(
    room: Desk, pair: tuple[str, str]
) -> None:
    executor = running(room)
    reporter, target = (executor if node == "far" else node for node in pair)
    room.view.learn_link(reporter, target, degraded=True)
    assert room.view_changed() == []
    recalled, ordered = room.decide()
    assert recalled == ToPeer(executor, Recall(TASK, 1, 1))
    assert (ordered.node != executor, ordered.message.attempt) == (True, 2)
    assert "does not reach the task's owner" in ordered.message.failures[0].message


def test_what_was_cut_off_and_is_within_reach_again_goes_on(room: Desk) -> None:
    executor = running(room, agent="once")
    room.view.learn_link("n0", executor, degraded=True)
    assert room.view_changed() == []
    room.view.learn_link("n0", executor, degraded=False)
    assert room.view_changed() == []
    room.ended(executor)
    assert [effect.message.payload for effect in room.decide()] == [b"2"]


def test_what_runs_once_waits_for_it(room: Desk, member: Make) -> None:
    executor = running(room, agent="once")
    assert fall_silent(room, member, executor) == []
    assert room.log.waiting == []
    room.ended(executor)
    assert [effect.message.payload for effect in room.decide()] == [b"2"]


def test_what_the_log_does_not_take_goes_on_where_it_runs(room: Desk, member: Make) -> None:
    executor = running(room)
    room.log.is_open = False
    assert fall_silent(room, member, executor) == []
    room.log.is_open = True
    room.ended(executor)
    assert [effect.message.payload for effect in room.decide()] == [b"2"]
    assert room.held() == (0, 0, 0)


@pytest.mark.parametrize(("agent", "waits"), [("echo", False), ("once", True)])
def test_a_new_owner_waits_for_it_no_more_than_the_last_one(
    room: Desk, member: Make, agent: str, waits: bool
) -> None:
    executor = running(room, agent=agent)
    room.view.learn(member(executor, condition=Condition.SUSPECT))
    room.new_owner()
    effects = room.took_over()
    assert [effect.node for effect in effects] == ([executor] if waits else [])
    assert len(room.log.waiting) == (not waits)


def alone(room: Desk, member: Make, executor: str) -> None:
    """Nobody but this executor can take work."""
    for node in {"n1", "n2", "n3"} - {executor}:
        room.view.learn(member(node, condition=Condition.BUSY))


def test_while_nobody_else_can_take_it_its_attempt_is_left_alone(room: Desk, member: Make) -> None:
    """To give it up would bring nothing, and a node that is suspected often would make a dead letter of it."""
    executor = running(room)
    alone(room, member, executor)
    for _ in range(20):
        assert fall_silent(room, member, executor) == []
        room.view.learn(member(executor))
    assert room.log.waiting == []
    room.ended(executor)
    assert [effect.message.payload for effect in room.decide()] == [b"2"]


def test_as_soon_as_somebody_else_can_take_it_it_goes_there(room: Desk, member: Make) -> None:
    executor = running(room)
    alone(room, member, executor)
    assert fall_silent(room, member, executor) == []
    other = min({"n1", "n2", "n3"} - {executor})
    room.view.learn(member(other))
    assert room.view_changed() == []
    recalled, ordered = room.decide()
    assert (recalled.node, ordered.node, ordered.message.attempt) == (executor, other, 2)


def test_a_new_owner_leaves_it_alone_as_well(room: Desk, member: Make) -> None:
    executor = running(room)
    alone(room, member, executor)
    room.view.learn(member(executor, condition=Condition.SUSPECT))
    room.new_owner()
    assert [effect.node for effect in room.took_over()] == [executor]
    assert room.log.waiting == []


def test_a_node_that_takes_less_is_nobody_to_go_to(room: Desk, member: Make) -> None:
    executor = running(room, payload=b"x" * 100)
    for node in {"n1", "n2", "n3"} - {executor}:
        room.view.learn(member(node, payload_bytes=99))
    assert fall_silent(room, member, executor) == []
    assert room.log.waiting == []
