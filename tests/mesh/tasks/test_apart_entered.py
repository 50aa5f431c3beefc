"""What a shard makes of outcomes that were come to apart from it: the first one counts, each is there once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hubless.placement import mint_task_id
from hubless.tasks.entries import AttemptEnded, Dropped, Entered, Submitted
from hubless.tasks.machine import Machine
from hubless.tasks.retention import Retention
from hubless.tasks.row import State, digest_of
from hubless_agents import Effect, Failure

TASK = mint_task_id(0, bytes(14))
SUBMITTED = Submitted(TASK, "run", "k", b"[1]", 1_000, 31_000, 2, "n1/1")
SUCCESS = Entered(TASK, "run", "k", b"", b"2", None, "n0", 5_000, digest_of(b"[1]"))
FAILURE = Entered(
    TASK, "run", "k", b"[1]", None, Failure(code="raised", message="no", effect=Effect.MAYBE), "n0", 5_000
)


def test_a_digest_stands_for_the_payload() -> None:
    machine = Machine()
    row = machine.follow(SUCCESS)
    assert row is not None
    assert (row.state, row.result, row.provisional_from) == (State.SUCCEEDED, b"2", "n0")
    assert row.is_same("run", "k", b"[1]")
    assert not row.is_same("run", "k", b"[2]")
    assert machine.follow(SUCCESS) is None
    assert len(row.superseded) == 0


def test_it_is_compared_with_that_of_a_task_under_way() -> None:
    machine = Machine()
    machine.follow(SUBMITTED)
    row = machine.follow(SUCCESS)
    assert row is not None
    assert (row.state, row.result) == (State.SUCCEEDED, b"2")
    assert row.is_same("run", "k", b"[1]")

    other = Machine()
    other.follow(SUBMITTED)
    row = other.follow(Entered(TASK, "run", "k", b"", b"2", None, "n0", 5_000, digest_of(b"[9]")))
    assert row is not None
    assert row.state is State.RUNNING
    assert [each.node for each in row.superseded] == ["n0"]


def test_an_outcome_of_the_shard_comes_first() -> None:
    machine = Machine()
    machine.follow(SUBMITTED)
    machine.follow(AttemptEnded(TASK, 1, b"7", None, 2_000))
    row = machine.follow(SUCCESS)
    assert row is not None
    assert (row.result, row.provisional_from) == (b"7", "")
    assert [each.result for each in row.superseded] == [b"2"]
    assert row.has(SUCCESS)
    assert machine.follow(SUCCESS) is None


@pytest.mark.parametrize(
    ("taken_ms", "in_doubt"),
    [(4_000, False), (2_999, True), (1_500, True), (0, False)],
    ids=["long after what is forgotten", "by another clock", "before", "not told"],
)
def test_it_is_in_doubt_if_the_shard_may_have_forgotten_an_earlier_one(taken_ms: int, in_doubt: bool) -> None:
    machine = Machine(retention=Retention(rows=1))
    other = mint_task_id(0, bytes(13) + b"1")
    for task, at_ms in ((TASK, 2_000), (other, 3_000)):
        machine.follow(Submitted(task, "run", "k", b"[1]", at_ms, 31_000, 2, "n1/1"))
        machine.follow(AttemptEnded(task, 1, b"7", None, at_ms))
    assert TASK not in machine.rows
    machine.follow(replace(SUCCESS, submitted_ms=taken_ms))
    row = machine.rows[TASK]
    assert (row.result, row.in_doubt) == (b"2", in_doubt)


def test_it_is_not_in_doubt_beside_the_first_one() -> None:
    machine = Machine()
    machine.follow(SUBMITTED)
    machine.follow(AttemptEnded(TASK, 1, b"7", None, 2_000))
    row = machine.follow(replace(SUCCESS, submitted_ms=500))
    assert row is not None
    assert not row.in_doubt


def test_a_failure_keeps_what_a_retry_needs() -> None:
    row = Machine().follow(FAILURE)
    assert row is not None
    assert (row.state, row.payload) == (State.FAILED, b"[1]")
    assert row.has(FAILURE)
    assert not row.has(SUCCESS)


def test_a_row_is_dropped_once_it_has_ended() -> None:
    machine = Machine()
    machine.follow(SUBMITTED)
    assert machine.follow(Dropped(TASK, 3_000)) is None
    machine.follow(AttemptEnded(TASK, 1, b"7", None, 2_000))
    assert machine.follow(Dropped(TASK, 3_000)) is not None
    assert machine.rows == {}
    assert machine.ended() == []
    assert machine.retained_bytes == 0
    assert sum(machine.counts.values()) == 0
    assert Machine.from_state(machine.state()).state() == machine.state()
