"""A merged result takes the place of the first one, once for each superseded result of the same task."""

from __future__ import annotations

from msgspec.structs import replace

from hubless.placement import mint_task_id
from hubless.tasks.entries import AttemptEnded, Entered, Entry, Merged, Retried, Submitted, encode_entry
from hubless.tasks.machine import Machine
from hubless.tasks.retention import Retention
from hubless.tasks.row import State, digest_of
from hubless_agents import Failure

TASK = mint_task_id(0, bytes(14))
OTHER = mint_task_id(0, bytes(13) + b"\1")
SUBMITTED = Submitted(TASK, "run", "k", b"[1]", 1_000, 31_000, 2, "n1/1")
ENDED = AttemptEnded(TASK, 1, b"7", None, 2_000)
APART = Entered(TASK, "run", "k", b"", b"2", None, "n0", 5_000, digest_of(b"[1]"))
AT_MS = 6_000


def run(*log: Entry) -> tuple[Machine, list[bool]]:
    machine = Machine()
    return machine, [machine.apply(encode_entry(entry))[1] is not None for entry in log]


def test_a_merged_result_takes_the_place_of_the_first_once() -> None:
    machine, fitted = run(
        SUBMITTED, ENDED, APART, Merged(TASK, 0, b"72", AT_MS), Merged(TASK, 0, b"9", AT_MS)
    )
    assert fitted == [True, True, True, True, False]
    row = machine.rows[TASK]
    assert (row.state, row.result, row.merged, row.ended_ms) == (State.SUCCEEDED, b"72", 1, 2_000)
    assert [other.result for other in row.superseded] == [b"2"]
    assert machine.unmerged() == []


def test_it_waits_for_a_merge_until_it_has_had_one() -> None:
    machine, _ = run(SUBMITTED, ENDED)
    assert machine.unmerged() == []
    machine.follow(APART)
    assert [row.task for row in machine.unmerged()] == [TASK]
    machine.follow(replace(APART, node="n5"))
    machine.follow(Merged(TASK, 0, b"72", AT_MS))
    assert [row.task for row in machine.unmerged()] == [TASK]
    machine.follow(Merged(TASK, 1, b"722", AT_MS))
    assert machine.unmerged() == []
    assert (machine.rows[TASK].result, machine.rows[TASK].merged) == (b"722", 2)


def test_what_is_no_result_of_this_task_is_not_merged() -> None:
    failure = replace(
        APART, payload=b"[1]", result=None, failure=Failure(code="raised", message="no"), digest=0
    )
    for entered in (
        failure,
        replace(APART, digest=digest_of(b"[9]")),
        replace(APART, agent="walk"),
        replace(APART, key=""),
    ):
        machine, fitted = run(SUBMITTED, ENDED, entered, Merged(TASK, 0, b"72", AT_MS))
        assert fitted == [True, True, True, False]
        assert machine.unmerged() == []
        assert machine.rows[TASK].result == b"7"


def test_a_merge_fits_nothing_else() -> None:
    assert run(Merged(TASK, 0, b"72", AT_MS))[1] == [False]
    assert run(SUBMITTED, Merged(TASK, 0, b"72", AT_MS))[1] == [True, False]
    for number in (1, -1):
        assert run(SUBMITTED, ENDED, APART, Merged(TASK, number, b"72", AT_MS))[1][-1] is False


def test_a_result_that_came_too_soon_is_merged_once_the_task_has_succeeded() -> None:
    failed = AttemptEnded(TASK, 1, None, Failure(code="raised", message="no"), 2_000)
    machine, _ = run(SUBMITTED, failed, APART)
    assert machine.unmerged() == []
    machine.follow(Merged(TASK, 0, b"72", AT_MS))
    machine.follow(Retried(TASK, 5_500, 50_000))
    assert machine.rows[TASK].merged == 0
    machine.follow(replace(APART, node="n5", result=b"5"))
    assert machine.rows[TASK].result == b"5"
    assert [row.task for row in machine.unmerged()] == [TASK]


def test_a_node_whose_outcome_was_the_first_is_recognised_after_a_merge() -> None:
    machine, _ = run(APART, replace(APART, node="n5", result=b"5"), Merged(TASK, 0, b"25", AT_MS))
    row = machine.rows[TASK]
    assert row.has(APART)
    assert not row.has(replace(APART, result=b"25"))
    assert machine.follow(APART) is None
    machine.follow(replace(APART, node="n6", result=b"6"))
    machine.follow(Merged(TASK, 1, b"256", AT_MS))
    assert row.has(APART)
    assert row.merged == 2


def test_a_snapshot_has_what_is_merged_and_what_is_to_be() -> None:
    machine, _ = run(SUBMITTED, ENDED, APART, replace(APART, node="n5"), Merged(TASK, 0, b"72", AT_MS))
    machine.follow(replace(APART, task=OTHER))
    again = Machine.from_state(machine.state())
    assert again.rows == machine.rows
    assert again.state() == machine.state()
    assert [row.task for row in again.unmerged()] == [TASK]
    for one in (machine, again):
        one.follow(Merged(TASK, 1, b"722", AT_MS))
    assert again.state() == machine.state()
    assert again.retained_bytes == sum(row.measure() for row in again.rows.values())


def test_what_is_forgotten_is_not_merged() -> None:
    machine = Machine(retention=Retention(kept_ms=1_000))
    for entry in (SUBMITTED, ENDED, replace(APART, at_ms=2_500)):
        machine.follow(entry)
    assert machine.unmerged()
    machine.follow(replace(SUBMITTED, task=OTHER, at_ms=4_000))
    assert machine.unmerged() == []
    assert TASK not in machine.rows
