"""Nobody is known to own a shard: its replicas are asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_room import Room, answer, places, questions, task_of

from hubless.effects import ToClient
from hubless.placement import shard_of_key, shard_of_task
from hubless.view import View
from hubless.wire import Refused, Whose
from hubless_agents import Effect
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
KEYED = task_of(shard_of_key("k", 16))
OTHER_KEYED = task_of(shard_of_key("k", 16), 1)


@pytest.fixture
def ignorant(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    """A gateway that knows of no owner."""
    return Room(view_of(member("n0"), member("n1"), member("n2")), term=0)


def test_its_replicas_are_asked_until_one_knows(ignorant: Room) -> None:
    asked = questions(ignorant.submit(KEYED, key="k"))
    assert {node for node, _ in asked} == {"n0", "n1", "n2"}
    assert {question for _, question in asked} == {Whose(shard_of_task(KEYED))}
    again = [tenth for tenth in range(1, 20) if questions(ignorant.tick(tenth * 100 * MS))]
    assert again == [1, 3, 7, 15]
    assert [node for node, _ in places(ignorant.hint("n1", KEYED, 4, "n2"))] == ["n2"]
    assert questions(ignorant.tick(5 * S)) == []


def test_when_none_knows_for_long_its_client_had_better_ask_another_gateway(ignorant: Room) -> None:
    ignorant.submit(KEYED, key="k")
    said = [effect for tenth in range(1, 40) for effect in ignorant.tick(tenth * 100 * MS)]
    (refused,) = [effect.message for effect in said if isinstance(effect, ToClient)]
    assert isinstance(refused, Refused)
    assert (refused.code, refused.task) == ("no_quorum", KEYED)
    assert len(ignorant.gateway) == 0


def test_they_are_asked_once_for_all_who_wait(ignorant: Room) -> None:
    assert len(questions(ignorant.submit(KEYED, key="k"))) == 3
    assert ignorant.submit(OTHER_KEYED, key="k") == []
    told = places(ignorant.hint("n2", KEYED, 4, "n2"))
    assert [(node, place.task) for node, place in told] == [("n2", KEYED), ("n2", OTHER_KEYED)]


def test_who_knows_nobody_changes_nothing(ignorant: Room) -> None:
    ignorant.submit(KEYED, key="k")
    assert ignorant.hint("n1", KEYED, 0, "") == []


def test_who_is_asked_and_was_thought_to_be_the_owner_is_believed(room: Room) -> None:
    task = room.owned_by("n1")
    assert room.hint("n1", task, 0, "") == []
    assert room.view.owner_of_shard(shard_of_task(task)) is None


def test_they_are_not_asked_for_what_nobody_waits_for(ignorant: Room) -> None:
    ignorant.submit(KEYED, key="k")
    ignorant.cancel(KEYED)
    assert ignorant.tick(60 * S) == []
    assert ignorant.gateway.next_deadline_ns() is None


def test_an_owner_that_is_there_again_needs_no_answer(room: Room, member: Callable[..., Member]) -> None:
    task = room.owned_by("n1")
    room.view.learn(member("n1", condition=Condition.DEAD))
    room.submit(task, again=True)
    room.view.learn(member("n1"))
    assert [node for node, _ in places(room.tick(100 * MS))] == ["n1"]


def test_what_was_only_asked_for_expires_without_effect(ignorant: Room) -> None:
    ignorant.submit(KEYED, key="k", deadline_ms=500)
    (told,) = [effect for effect in ignorant.tick(500 * MS) if isinstance(effect, ToClient)]
    failure = answer([told]).failure
    assert failure is not None
    assert (failure.code, failure.effect) == ("expired", Effect.NONE)


def test_a_task_that_nobody_could_be_asked_about_expires_without_effect(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    room = Room(view_of(member("n0", weight=0)), term=0)
    assert room.submit(task_of(shard_of_key("k", 16)), key="k", deadline_ms=100) == []
    told = answer(room.tick(200 * MS))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", Effect.NONE)
