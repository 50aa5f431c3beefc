"""Whoever is chosen is counted and has leave to be asked, until the attempt has ended."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hubless.effects import NodeEffect
from hubless.guard import Breakers, Evidence, Permit
from hubless.placement import Chosen, NoExecutor
from hubless.tasks import Dispatch
from hubless.view import View
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

S = 1_000_000_000
GONE = Failure(code="unreachable", message="gone", effect=Effect.MAYBE)


class Room:
    def __init__(self, view: View, *, own_room: int = 0) -> None:
        self.view = view
        self.breakers = Breakers(rng=random.Random(1))
        self.breakers.watch(*view.pools())
        self.dispatch = Dispatch(me="n0", view=view, breakers=self.breakers, own_room=lambda _agent: own_room)

    def choose(self, key: bytes = b"k", avoid: frozenset[str] = frozenset()) -> Chosen:
        choice = self.dispatch.choose(0, "echo", key, b"1", avoid)
        assert isinstance(choice, Chosen)
        return choice

    def counted(self) -> tuple[int, int]:
        return len(self.dispatch), self.breakers.in_flight


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    return Room(view_of(member("n0", offers=()), member("n1"), member("n2"), member("n3")))


@pytest.mark.parametrize("failure", [None, GONE])
def test_an_attempt_is_counted_until_it_has_ended(room: Room, failure: Failure | None) -> None:
    chosen = room.choose()
    assert room.counted() == (0, 0), "choosing alone counts nothing"
    room.dispatch.started(0, "echo", chosen, S)
    assert room.counted() == (1, 1)
    room.dispatch.finished(0, "echo", chosen, failure, [])
    assert room.counted() == (0, 0)


def test_a_key_goes_to_the_same_node_and_the_avoided_get_nothing(room: Room) -> None:
    first = room.choose().node
    assert room.choose().node == first
    second = room.choose(avoid=frozenset({first})).node
    assert second != first
    nobody = room.dispatch.choose(0, "echo", b"k", b"1", frozenset({"n1", "n2", "n3"}))
    assert isinstance(nobody, NoExecutor)
    assert (nobody.offering, nobody.visited) == (3, 3)


def test_load_is_spread(room: Room) -> None:
    """At most a quarter more than the mean: 1.25 x 30 / 3 rounded up."""
    counts: dict[str, int] = {}
    for _ in range(30):
        chosen = room.choose(b"one key")
        room.dispatch.started(0, "echo", chosen, S)
        counts[chosen.node] = counts.get(chosen.node, 0) + 1
    assert sum(counts.values()) == 30
    assert max(counts.values()) <= 13


def test_this_node_needs_nobody_s_leave(view_of: Callable[..., View], member: Callable[..., Member]) -> None:
    room = Room(view_of(member("n0"), member("n1")), own_room=2)
    for _ in range(2):
        chosen = room.choose()
        assert chosen.node == "n0"
        room.dispatch.started(0, "echo", chosen, S)
    assert room.counted() == (2, 0)
    out: list[NodeEffect] = []
    room.dispatch.finished(0, "echo", chosen, GONE, out)
    assert (room.counted(), out) == ((1, 0), [])


@pytest.mark.parametrize("node", ["n0", "n1"])
def test_an_attempt_that_another_owner_ordered_is_counted_from_now_on(room: Room, node: str) -> None:
    resumed = room.dispatch.resumed(0, "echo", node, S)
    assert resumed.node == node
    assert room.counted() == (1, int(node != "n0"))
    room.dispatch.finished(0, "echo", resumed, None, [])
    assert room.counted() == (0, 0)


def test_even_where_no_breaker_would_let_another_one_in(room: Room) -> None:
    """It runs there already."""
    room.breakers.record_hard("n1", Evidence.REFUSED, 0)
    assert not isinstance(room.breakers.allows("n1", "echo", 0), Permit)
    resumed = room.dispatch.resumed(0, "echo", "n1", S)
    assert room.counted() == (1, 0)
    room.dispatch.finished(0, "echo", resumed, GONE, [])
    assert room.counted() == (0, 0)


def test_who_is_in_doubt_is_not_chosen(room: Room, member: Callable[..., Member]) -> None:
    for node in ("n1", "n2"):
        room.view.learn(member(node, condition=Condition.SUSPECT))
    assert room.choose().node == "n3"


def test_a_node_that_is_cut_off_gets_nothing_while_anybody_else_takes_work(
    room: Room, member: Callable[..., Member]
) -> None:
    far = room.choose().node
    room.view.learn_link(far, "n0", degraded=True)
    assert room.choose().node != far
    others = frozenset({"n1", "n2", "n3"} - {far})
    assert isinstance(room.dispatch.choose(0, "echo", b"k", b"1", others), NoExecutor)
    for node in others:
        room.view.learn(member(node, condition=Condition.BUSY))
    assert room.choose().node == far, "better than nobody"
