"""Receipts come from the owner of a task, once, and go to those who asked for one."""

from __future__ import annotations

from gateway_room import ROUTE, Room, places, task_of

from hubless.effects import ToClient
from hubless.wire import Accepted


def test_a_receipt_is_given_once_when_the_owner_has_given_its_own(room: Room) -> None:
    task = room.owned_by("n1")
    ((_, place),) = places(room.submit(task, receipt=True))
    assert place.receipt
    assert room.taken("n1", task) == [ToClient(ROUTE, Accepted(task))]
    assert room.taken("n1", task) == []
    ((_, again),) = places(room.owns("n2", 2, task))
    assert not again.receipt


def test_a_receipt_is_given_to_none_who_did_not_ask(room: Room) -> None:
    task = room.owned_by("n1")
    ((_, place),) = places(room.submit(task))
    assert not place.receipt
    assert room.taken("n1", task) == []
    assert room.taken("n1", task_of(7)) == []


def test_a_client_that_comes_back_gets_its_receipt(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, receipt=True)
    assert room.submit(task, receipt=True) == []
    assert room.taken("n1", task) == [ToClient(ROUTE, Accepted(task))]
    assert room.submit(task, receipt=True) == [ToClient(ROUTE, Accepted(task))]
    assert room.submit(task) == []


def test_a_receipt_is_still_wanted_from_the_next_owner(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, receipt=True)
    ((_, place),) = places(room.owns("n2", 2, task))
    assert place.receipt
