"""A task without a key is sent back, to be given an id of a shard that can be reached."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_room import Room, places, questions, task_of

from hubless.effects import ToClient, ToPeer
from hubless.guard import Admission
from hubless.guard.admission import AdmissionConfig
from hubless.placement import shard_of_key
from hubless.view import View
from hubless.wire import Durability, Refused, ShardChoice, Whose
from hubless_gossip import Condition, Member

KEY = next(key for key in map(str, range(100)) if shard_of_key(key, 16) % 3 == 1)
KEYED = task_of(shard_of_key(KEY, 16))
"""Its shard is owned by n1."""


def test_a_task_without_a_key_is_steered_to_a_shard_that_can_be_reached(
    room: Room, member: Callable[..., Member]
) -> None:
    task = room.owned_by("n1")
    room.view.learn(member("n1", condition=Condition.DEAD))
    (effect,) = room.submit(task)
    assert isinstance(effect, ToClient)
    assert isinstance(effect.message, Refused)
    assert (effect.message.code, effect.message.task) == ("no_quorum", task)
    assert (len(room.gateway), room.gateway.counters.steered) == (0, 1)


def test_who_does_not_want_to_wait_for_the_shard_of_a_key_is_told_at_once(
    room: Room, member: Callable[..., Member]
) -> None:
    room.view.learn(member("n1", condition=Condition.DEAD))
    assert room.submit(KEYED, key=KEY, shard=ShardChoice.FIXED) != []
    assert len(room.gateway) == 1
    effect, *_ = room.submit(
        task_of(shard_of_key(KEY, 16), 7), key=KEY, shard=ShardChoice.AT_ONCE, again=True
    )
    assert isinstance(effect, ToClient)
    assert isinstance(effect.message, Refused)
    assert effect.message.code == "no_quorum"


def test_the_owner_of_a_name_s_shard_is_looked_for_while_its_task_is_with_the_client(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    room = Room(view_of(member("n0"), member("n1"), member("n2")), term=0)
    room.view.learn_owner(task_of(4)[1], 1, "n0")
    refused, *asked = room.submit(KEYED, shard=ShardChoice.FIXED)
    assert isinstance(refused, ToClient)
    assert isinstance(refused.message, Refused)
    assert {message for _, message in questions(asked)} == {Whose(KEYED[1])}
    room.hint("n2", KEYED, 1, "n2")
    assert [node for node, _ in places(room.submit(KEYED, shard=ShardChoice.FIXED))] == ["n2"]


def test_who_waits_for_no_shard_gets_one_that_is_there(room: Room) -> None:
    (effect,) = room.submit(KEYED, key=KEY, shard=ShardChoice.AT_ONCE)
    assert isinstance(effect, ToPeer)
    assert effect.node == "n1"


def test_steered_tasks_take_no_room(view_of: Callable[..., View], member: Callable[..., Member]) -> None:
    room = Room(view_of(member("n0")), Admission(AdmissionConfig(total=1)), term=0)
    for number in range(5):
        room.submit(task_of(1, number))
    assert room.gateway.counters.steered == 5


@pytest.mark.parametrize("fields", [{"again": True}, {"durability": Durability.NONE}])
def test_what_may_be_somewhere_or_needs_no_shard_is_not_steered(
    view_of: Callable[..., View], member: Callable[..., Member], fields: dict[str, object]
) -> None:
    room = Room(view_of(member("n0")), term=0)
    room.submit(task_of(1), **fields)
    assert len(room.gateway) == 1
