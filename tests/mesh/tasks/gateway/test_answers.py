"""What a gateway owes its clients: one answer for each task, in time, and true."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_room import ROUTE, Room, answer, places, task_of

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.meta import Offer
from hubless.view import View
from hubless.wire import Durability, Place, Submit, Withdraw
from hubless_agents import Effect, Failure
from hubless_gossip import Member

MS = 1_000_000
S = 1_000 * MS


def test_a_task_goes_to_the_owner_of_its_shard_and_its_outcome_to_the_client(room: Room) -> None:
    task = room.owned_by("n1")
    assert places(room.submit(task)) == [("n1", Place(task, "echo", "", b"1", 30_000, "n0"))]
    told = answer(room.settle(task))
    assert (told.payload, told.failure, told.node, told.attempt) == (b"2", None, "n1", 1)
    assert len(room.gateway) == 0


def test_an_outcome_is_told_once(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    room.settle(task)
    assert room.settle(task) == []


def test_every_connection_that_a_task_was_submitted_over_is_told(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    out: list[NodeEffect] = []
    room.gateway.submit(S, b"other", Submit(task, "echo", "", b"1", 30_000), out)
    assert out == []
    told = [effect.route for effect in room.settle(task) if isinstance(effect, ToClient)]
    assert told == [ROUTE, b"other"]


def test_an_owner_that_says_nothing_is_asked_again_at_growing_intervals(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, deadline_ms=60_000)
    asked_s = [second for second in range(40) if places(room.tick(second * S))]
    assert asked_s == [1, 3, 7, 15, 23, 31, 39]


def test_how_long_ago_an_owner_may_have_had_it_travels(room: Room) -> None:
    first, other, third = (room.owned_by("n1", number) for number in range(3))
    ((_, place),) = places(room.submit(first))
    assert place.age_ms == 0
    ((_, again),) = places(room.tick(1 * S))
    assert again.age_ms == 1_000
    ((_, place),) = places(room.submit(other, now_ns=2 * S, again=True, age_ms=700))
    assert place.age_ms == 700
    room.submit(third, now_ns=3 * S)
    room.moved("n1", third)
    ages = {place.task: place.age_ms for _, place in places(room.owns("n1", 2, third, now_ns=4 * S))}
    assert (ages[first], ages[other], ages[third]) == (4_000, 2_700, 0)


def test_what_remains_of_the_deadline_travels(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    ((_, again),) = places(room.tick(1_000 * MS))
    assert again.deadline_ms == 29_000


@pytest.mark.parametrize(
    ("durability", "withdrawn"), [(Durability.REPLICATED, 0), (Durability.NONE, 1)], ids=["kept", "not kept"]
)
def test_a_task_without_outcome_expires_and_a_shard_sees_that_by_itself(
    room: Room, durability: Durability, withdrawn: int
) -> None:
    task = room.owned_by("n1")
    room.submit(task, deadline_ms=500, durability=durability)
    *others, told = room.tick(500 * MS)
    assert others == withdrawn * [ToPeer("n0", Withdraw(task))]
    assert answer([told]).failure.code == "expired"  # type: ignore[union-attr]
    assert answer([told]).failure.effect is Effect.MAYBE  # type: ignore[union-attr]
    assert len(room.gateway) == 0
    assert room.tick(60 * S) == []


def test_a_submission_without_deadline_gets_that_of_all_attempts_of_the_agent(room: Room) -> None:
    task = room.owned_by("n1")
    ((_, place),) = places(room.submit(task, deadline_ms=0))
    assert place.deadline_ms == 3 * 5_000


def test_a_task_that_no_shard_keeps_is_owned_here(room: Room) -> None:
    task = room.owned_by("n1")
    ((node, place),) = places(room.submit(task, durability=Durability.NONE))
    assert (node, place.is_kept) == ("n0", False)
    assert room.owns("n2", 2, task) == [], "whoever owns the shard"
    assert room.moved("n1", task, 3, "n2") == []
    assert room.cancel(task) == [ToPeer("n0", Withdraw(task))]


@pytest.mark.parametrize(
    ("durability", "agent", "expected"),
    [
        (Durability.OF_AGENT, "echo", True),
        (Durability.OF_AGENT, "fleeting", False),
        (Durability.REPLICATED, "fleeting", True),
        (Durability.NONE, "echo", False),
    ],
)
def test_who_keeps_a_task_says_the_call_or_else_its_agent(
    view_of: Callable[..., View],
    member: Callable[..., Member],
    durability: Durability,
    agent: str,
    expected: bool,
) -> None:
    offers = (Offer("echo", "1", 1, 5_000, 2), Offer("fleeting", "1", 1, 5_000, 2, is_kept=False))
    room = Room(view_of(member("n0", offers=offers)))
    ((_, place),) = places(room.submit(task_of(1), agent=agent, durability=durability))
    assert place.is_kept is expected


def test_a_submission_that_was_taken_before_is_placed_though_nobody_offers_its_agent(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    """Its owner may have it, or wait for somebody who offers it."""
    room = Room(view_of(member("n0", offers=())))
    ((_, place),) = places(room.submit(task_of(1), agent="rare", again=True))
    assert (place.again, place.once) == (True, True)


def test_a_failure_of_a_task_that_was_with_another_owner_is_never_without_effect(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, again=True)
    told = answer(room.settle(task, Failure(code="overloaded", message="full", retry_after_ms=7), attempt=0))
    assert told.failure is not None
    assert (told.failure.effect, told.failure.retry_after_ms) == (Effect.MAYBE, 7)


def test_a_log_that_has_attempts_of_a_task_has_all_of_them(room: Room) -> None:
    """So its word on their effects is good, wherever the task was before; nobody's memory is as good."""
    failure = Failure(code="overloaded", message="full")
    kept, fleeting = room.owned_by("n1", 1), room.owned_by("n1", 2)
    room.submit(kept, again=True)
    room.submit(fleeting, again=True, durability=Durability.NONE)
    told = [answer(room.settle(task, failure)).failure for task in (kept, fleeting)]
    assert [failure and failure.effect for failure in told] == [Effect.NONE, Effect.MAYBE]
