"""A task without a key is sent back, to be given an id of a shard that can be reached."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_room import Room, task_of

from hubless.effects import ToClient
from hubless.guard import Admission
from hubless.guard.admission import AdmissionConfig
from hubless.view import View
from hubless.wire import Durability, Refused
from hubless_gossip import Condition, Member


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
