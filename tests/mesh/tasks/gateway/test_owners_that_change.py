"""Tasks go after the owner of their shard, as soon as a gateway hears of a new one."""

from __future__ import annotations

from collections.abc import Callable

from gateway_room import Room, places, questions

from hubless.effects import ToPeer
from hubless.view import View
from hubless.wire import Withdraw
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS


def test_a_task_that_comes_round_to_its_own_gateway_is_not_sent_the_same_way_at_once(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert places(room.moved("n0", task, 1, "n1")) == []


def test_tasks_of_a_shard_are_placed_with_its_next_owner_as_soon_as_there_is_one(
    room: Room, member: Callable[..., Member]
) -> None:
    task, other = room.owned_by("n1"), room.owned_by("n2")
    room.submit(task)
    room.submit(other)
    room.view.learn(member("n1", condition=Condition.DEAD))
    room.gateway.owner_gone("n1")
    ((node, place),) = places(room.owns("n2", 2, task))
    assert (node, place.task, place.again, place.once) == ("n2", task, False, False)


def test_news_that_are_old_place_nothing(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert places(room.owns("n2", 2, task))
    assert room.owns("n1", 2, task) == []
    assert room.owns("n1", 1, task) == []


def test_an_owner_that_was_deposed_and_owns_again_is_told_again(room: Room) -> None:
    """It has forgotten meanwhile who waits for the outcome."""
    task = room.owned_by("n1")
    room.submit(task)
    assert [node for node, _ in places(room.owns("n1", 2, task))] == ["n1"]


def test_a_task_stays_with_its_owner_when_the_ring_changes(
    room: Room, view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    bigger = view_of(*(member(f"n{number}") for number in range(12)))
    for number in range(3, 12):
        room.view.learn(member(f"n{number}"))
    room.view.ring_built(bigger.preferences)
    assert [node for node, _ in places(room.tick(1 * S))] == ["n1"]


def test_who_handed_a_task_on_is_replaced_by_who_took_it(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    room.taken("n2", task)
    assert room.cancel(task) == [ToPeer("n2", Withdraw(task))]


def test_a_task_moves_to_the_owner_that_the_asked_node_knows(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert [node for node, _ in places(room.moved("n1", task, 2, "n2"))] == ["n2"]


def test_all_tasks_of_a_shard_move_when_one_of_them_finds_its_next_owner(room: Room) -> None:
    """The owner's own word comes later, or not at all, and is no news then."""
    tasks = [room.owned_by("n1", number) for number in range(3)]
    for task in tasks:
        room.submit(task)
    moved = places(room.moved("n1", tasks[0], 2, "n2"))
    assert {(node, place.task) for node, place in moved} == {("n2", task) for task in tasks}


def test_nodes_that_point_at_each_other_are_not_asked_in_a_circle(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    asked = [node for node, _ in places(room.moved("n1", task, 2, "n2"))]
    asked += [node for node, _ in places(room.moved("n2", task, 1, "n1"))]
    asked += [node for node, _ in places(room.moved("n1", task, 1, "n2"))]
    assert asked == ["n2"]
    assert {node for node, _ in questions(room.tick(100 * MS))} == {"n0", "n1", "n2"}, "others may know"


def test_an_owner_that_is_not_ready_yet_is_asked_again_when_it_is(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert places(room.moved("n1", task)) == []
    assert [node for node, _ in places(room.owns("n1", 1, task))] == ["n1"]


def test_who_points_at_the_dead_points_at_nobody(room: Room, member: Callable[..., Member]) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    room.view.learn(member("n2", condition=Condition.DEAD))
    assert places(room.moved("n1", task, 2, "n2")) == []
