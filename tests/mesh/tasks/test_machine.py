"""The task's state machine: one terminal outcome per id, whatever order entries come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubless.tasks.machine import (
    TERMINAL,
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Entry,
    Expired,
    Row,
    State,
    Submitted,
    apply,
)
from hubless_agents import Failure

TASKS = [bytes([number]) * 16 for number in range(3)]
FAILURE = Failure(code="worker_died", message="gone")


def _submitted(task: bytes = TASKS[0]) -> Submitted:
    return Submitted(task, "echo", "", b"payload", 1_000, 2)


tasks = st.sampled_from(TASKS)
attempts = st.integers(1, 4)
entries = st.one_of(
    tasks.map(_submitted),
    st.builds(AttemptStarted, tasks, attempts, st.sampled_from(["n1", "n2"])),
    st.builds(AttemptEnded, tasks, attempts, st.just(b"result"), st.none(), st.just(True)),
    st.builds(AttemptEnded, tasks, attempts, st.none(), st.just(FAILURE), st.booleans()),
    st.builds(Expired, tasks, st.just(FAILURE)),
    st.builds(Cancelled, tasks),
)


def _run(*log: Entry) -> tuple[dict[bytes, Row], list[bool]]:
    rows: dict[bytes, Row] = {}
    return rows, [apply(rows, entry) is not None for entry in log]


@given(st.lists(entries, max_size=40))
def test_a_terminal_row_never_changes_again(log: list[Entry]) -> None:
    rows: dict[bytes, Row] = {}
    final: dict[bytes, tuple] = {}
    for entry in log:
        row = apply(rows, entry)
        for task, outcome in final.items():
            known = rows[task]
            assert (known.state, known.result, known.failures, known.attempt) == outcome
        if row is not None and row.state in TERMINAL:
            assert row.task not in final
            final[row.task] = (row.state, row.result, row.failures, row.attempt)


@given(st.lists(entries, max_size=40))
def test_attempts_count_up_by_one_and_one_runs_at_a_time(log: list[Entry]) -> None:
    rows: dict[bytes, Row] = {}
    started: dict[bytes, int] = {}
    for entry in log:
        if apply(rows, entry) is not None and isinstance(entry, AttemptStarted):
            assert entry.attempt == started.get(entry.task, 0) + 1
            started[entry.task] = entry.attempt


@given(st.lists(entries, max_size=40))
def test_the_same_log_gives_the_same_rows(log: list[Entry]) -> None:
    assert _run(*log) == _run(*log)


def test_the_result_of_an_old_attempt_is_fenced_off() -> None:
    late = AttemptEnded(TASKS[0], 1, b"late", None, True)
    rows, taken = _run(
        _submitted(),
        AttemptStarted(TASKS[0], 1, "n1"),
        AttemptEnded(TASKS[0], 1, None, FAILURE, False),
        AttemptStarted(TASKS[0], 2, "n2"),
        late,
    )
    assert taken == [True, True, True, True, False]
    assert rows[TASKS[0]].state is State.RUNNING
    assert rows[TASKS[0]].result is None


def test_a_second_submission_of_an_id_changes_nothing() -> None:
    again = Submitted(TASKS[0], "other", "", b"other", 5, 0)
    rows, taken = _run(_submitted(), again)
    assert taken == [True, False]
    assert rows[TASKS[0]].agent == "echo"


def test_a_failed_attempt_that_is_not_final_queues_the_task_again() -> None:
    rows, _ = _run(
        _submitted(), AttemptStarted(TASKS[0], 1, "n1"), AttemptEnded(TASKS[0], 1, None, FAILURE, False)
    )
    row = rows[TASKS[0]]
    assert (row.state, row.failures, row.failure) == (State.QUEUED, (FAILURE,), None)


@pytest.mark.parametrize("end", [Expired(TASKS[0], FAILURE), Cancelled(TASKS[0])])
def test_a_finished_row_lets_go_of_its_payload(end: Entry) -> None:
    rows, _ = _run(_submitted(), end)
    assert rows[TASKS[0]].payload == b""
