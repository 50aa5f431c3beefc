"""A task that nobody waits for any more is withdrawn from its owner, whoever that is by then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_room import ROUTE, Room, answer, places

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.wire import Place, Submit, Withdraw
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS


def test_a_task_is_withdrawn_when_the_last_of_its_clients_goes(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    out: list[NodeEffect] = []
    room.gateway.submit(S, b"other", Submit(task, "echo", "", b"1", 30_000), out)
    room.gateway.cancel(task, out, route=ROUTE)
    assert out == []
    room.gateway.cancel(task, out, route=b"other")
    assert out == [ToPeer("n1", Withdraw(task))]


def test_who_has_the_id_alone_withdraws_it_over_whatever_connection(room: Room) -> None:
    """The others are connections that it lost, here and to other gateways."""
    task = room.owned_by("n1")
    room.submit(task)
    out: list[NodeEffect] = []
    room.gateway.submit(S, b"again", Submit(task, "echo", "", b"1", 30_000), out)
    room.gateway.cancel(task, out, route=b"again", alone=True)
    assert out == [ToPeer("n1", Withdraw(task, alone=True))]
    assert len(room.gateway) == 0


def test_a_cancelled_task_is_withdrawn_and_never_answered(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert room.cancel(task) == [ToPeer("n1", Withdraw(task))]
    assert room.settle(task) == []
    assert room.cancel(task) == []


@pytest.fixture
def bereft(room: Room, member: Callable[..., Member]) -> bytes:
    """A task whose owner has died."""
    task = room.owned_by("n1")
    room.submit(task)
    room.view.learn(member("n1", condition=Condition.DEAD))
    room.gateway.owner_gone("n1")
    return task


def test_a_cancellation_reaches_the_next_owner(room: Room, bereft: bytes) -> None:
    """Who lets withdraw but those who asked it for the task."""
    assert room.cancel(bereft) == []
    place, withdraw = room.owns("n2", 2, bereft)
    assert [to for to, _ in places([place])] == ["n2"]
    assert withdraw == ToPeer("n2", Withdraw(bereft))
    assert len(room.gateway) == 0
    assert room.settle(bereft) == []


def test_so_does_one_that_nobody_else_can_undo(room: Room, bereft: bytes) -> None:
    room.gateway.cancel(bereft, [], alone=True)
    _, withdraw = room.owns("n2", 2, bereft)
    assert withdraw == ToPeer("n2", Withdraw(bereft, alone=True))


def test_who_wants_it_again_before_that_gets_it(room: Room, bereft: bytes) -> None:
    room.cancel(bereft)
    room.submit(bereft)
    assert [type(effect.message) for effect in room.owns("n2", 2, bereft)] == [Place]  # type: ignore[union-attr]
    assert answer(room.settle(bereft)).payload == b"2"


def test_a_cancellation_that_reaches_nobody_ends_with_the_deadline(room: Room, bereft: bytes) -> None:
    room.cancel(bereft)
    for second in range(1, 40):
        assert [effect for effect in room.tick(second * S) if isinstance(effect, ToClient)] == []
    assert len(room.gateway) == 0
