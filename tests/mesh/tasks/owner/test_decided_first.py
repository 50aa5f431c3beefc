"""An owner acts on what its log has decided, and on nothing that it has only proposed."""

from __future__ import annotations

from typing import Any

import pytest
from owner_desk import BROKEN, TASK, Desk, order, outcome, running

from hubless.effects import ToPeer
from hubless.tasks.entries import AttemptEnded, Follows, Submitted
from hubless.wire import Assign, Settled, Taken
from hubless_agents import Effect


def test_an_order_leaves_when_its_attempt_is_decided(room: Desk) -> None:
    assert room.place() == []
    (submitted,) = room.log.waiting
    assert isinstance(submitted, Submitted)
    executor, assign = order(room.decide())
    assert (assign.attempt, assign.term) == (1, 1)
    assert submitted.executor == f"{executor}/1"


def test_an_outcome_is_told_when_it_is_decided(room: Desk) -> None:
    executor = running(room)
    assert room.ended(executor) == []
    assert room.ended(executor) == [], "and proposed once"
    assert [type(entry) for entry in room.log.waiting] == [AttemptEnded]
    assert outcome(room.decide()) == Settled(TASK, b"2", None, executor, 1)
    assert room.held() == (0, 0, 0)


def test_a_receipt_leaves_when_the_submission_is_decided(room: Desk) -> None:
    assert room.place(receipt=True) == []
    assert room.place(receipt=True, gateway="g2") == []
    first, second, ordered = room.decide()
    assert (first, second) == (ToPeer("g1", Taken(TASK)), ToPeer("g2", Taken(TASK)))
    assert isinstance(ordered.message, Assign)


def test_a_next_attempt_leaves_when_it_is_decided(room: Desk) -> None:
    executor = running(room)
    assert room.ended(executor, failure=BROKEN) == []
    (ended,) = room.log.waiting
    assert isinstance(ended, AttemptEnded)
    assert ended.follows is Follows.AGAIN
    second, assign = order(room.decide())
    assert (second, assign.attempt, assign.failures) == (ended.executor.split("/")[0], 2, (BROKEN,))
    assert second != executor


def test_a_task_costs_two_entries(room: Desk) -> None:
    executor = running(room)
    room.ended(executor)
    room.decide()
    assert room.log.machine.applied == 2


def test_a_placement_that_comes_again_before_the_decision_proposes_nothing(room: Desk) -> None:
    room.place()
    assert room.place() == []
    assert len(room.log.waiting) == 1
    taken, ordered = room.decide()
    assert (taken, type(ordered.message)) == (ToPeer("g1", Taken(TASK)), Assign)


def test_another_gateway_hears_of_a_task_that_it_asked_for_before_the_decision(room: Desk) -> None:
    room.place()
    room.place(gateway="g2")
    executor = room.decide()[-1].node
    room.ended(executor)
    assert {effect.node for effect in room.decide()} == {"g1", "g2"}


@pytest.mark.parametrize("fields", [{"payload": b"other"}, {"agent": "once"}])
def test_another_task_under_an_id_that_is_being_decided_is_refused(
    room: Desk, fields: dict[str, Any]
) -> None:
    room.place()
    told = outcome(room.place(gateway="g2", **fields))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("bad_input", Effect.NONE)
    executor, _ = order(room.decide())
    room.ended(executor)
    assert [effect.node for effect in room.decide()] == ["g1"]
