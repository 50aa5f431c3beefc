"""The task's state machine: one terminal outcome per id, whatever order entries come in."""

import pytest

from hubless.tasks.entries import (
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Entered,
    Entry,
    Expired,
    Follows,
    Forked,
    Retried,
    Submitted,
    encode_entry,
)
from hubless.tasks.machine import MOST_FORKS, Machine
from hubless.tasks.row import MOST_FAILURE_BYTES, MOST_FAILURES, MOST_SUPERSEDED, TERMINAL, Row, State
from hubless_agents import Effect, Failure

A, B, C = (bytes([number]) * 16 for number in range(3))
DIED = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
BAD = Failure(code="bad_output", message="not JSON", effect=Effect.DONE)
LATE = Failure(code="expired", message="too late")


def submitted(task: bytes = A, *, executor: str = "", at_ms: int = 0) -> Submitted:
    return Submitted(task, "echo", "key", b"payload", at_ms, 1_000, 2, executor)


def failed(attempt: int, follows: Follows, failure: Failure = DIED, executor: str = "") -> AttemptEnded:
    return AttemptEnded(A, attempt, None, failure, 10, follows, executor)


def succeeded(attempt: int, result: bytes = b"result") -> AttemptEnded:
    return AttemptEnded(A, attempt, result, None, 10)


def entered(node: str, result: bytes | None, failure: Failure | None = None) -> Entered:
    return Entered(A, "echo", "key", b"payload", result, failure, node, 20)


def run(*log: Entry) -> tuple[Machine, list[bool]]:
    """The machine after a log, and which of its entries fitted."""
    machine = Machine()
    return machine, [machine.apply(encode_entry(entry))[1] is not None for entry in log]


def row_after(*log: Entry) -> Row:
    machine, fitted = run(*log)
    assert all(fitted)
    return machine.rows[A]


def test_a_submission_queues_the_task_or_starts_its_first_attempt() -> None:
    row = row_after(submitted())
    assert (row.state, row.attempt, row.executor, row.submitted_ms) == (State.QUEUED, 0, "", 0)
    row = row_after(submitted(executor="n1"))
    assert (row.state, row.attempt, row.executor) == (State.RUNNING, 1, "n1")


def test_apply_returns_the_entry_and_the_row_that_it_changed() -> None:
    machine = Machine()
    entry, row = machine.apply(encode_entry(submitted()))
    assert entry == submitted()
    assert row is machine.rows[A]
    entry, row = machine.apply(encode_entry(succeeded(1)))
    assert entry == succeeded(1)
    assert row is None
    assert (machine.applied, machine.counters.unfit) == (2, 1)


def test_the_result_of_an_old_attempt_is_fenced_off() -> None:
    machine, fitted = run(submitted(executor="n1"), failed(1, Follows.AGAIN, executor="n2"), succeeded(1))
    assert fitted == [True, True, False]
    assert (machine.rows[A].state, machine.rows[A].result) == (State.RUNNING, None)


def test_a_second_submission_of_an_id_changes_nothing() -> None:
    machine, fitted = run(submitted(), Submitted(A, "other", "", b"other", 1, 5, 0))
    assert fitted == [True, False]
    assert machine.rows[A].agent == "echo"


def test_attempts_count_up_by_one() -> None:
    _, fitted = run(
        submitted(),
        AttemptStarted(A, 2, "n1", 1),
        AttemptStarted(A, 1, "n1", 1),
        AttemptStarted(A, 2, "n2", 1),
        failed(1, Follows.AGAIN),
        AttemptStarted(A, 1, "n1", 1),
        AttemptStarted(A, 2, "n2", 1),
    )
    assert fitted == [True, False, True, False, True, False, True]


@pytest.mark.parametrize(
    ("follows", "executor", "state", "attempt"),
    [
        (Follows.DONE, "", State.FAILED, 1),
        (Follows.DEAD, "", State.DEAD, 1),
        (Follows.AGAIN, "", State.QUEUED, 1),
        (Follows.AGAIN, "n2", State.RUNNING, 2),
    ],
)
def test_what_follows_a_failed_attempt(follows: Follows, executor: str, state: State, attempt: int) -> None:
    row = row_after(submitted(executor="n1"), failed(1, follows, executor=executor))
    assert (row.state, row.attempt, row.failures, row.payload) == (state, attempt, (DIED,), b"payload")


@pytest.mark.parametrize(("executor", "effect"), [("n1", Effect.MAYBE), ("", Effect.NONE)])
def test_an_attempt_that_ran_when_its_task_was_cancelled_may_have_had_its_effect(
    executor: str, effect: Effect
) -> None:
    attempt = 2 if executor else 1
    late = Failure(code="expired", message="never began")
    row = row_after(
        submitted(executor=executor),
        Cancelled(A, 5),
        Retried(A, 6, 9_000),
        AttemptStarted(A, attempt, "n2", 7),
        failed(attempt, Follows.DONE, late),
    )
    assert row.failure is not None
    assert (row.failure.code, row.failure.effect) == ("expired", effect)


def test_the_failure_of_a_task_is_the_last_with_the_strongest_effect_of_all() -> None:
    row = row_after(
        submitted(executor="n1"),
        failed(1, Follows.AGAIN, BAD, "n2"),
        failed(2, Follows.AGAIN, DIED),
        Expired(A, LATE, 30),
    )
    assert row.state is State.EXPIRED
    assert row.failure == Failure(code="expired", message="too late", effect=Effect.DONE)
    assert row.ended_ms == 30


@pytest.mark.parametrize(
    "log", [(), (succeeded(1),), (Cancelled(A, 1),)], ids=["live", "succeeded", "cancelled"]
)
def test_a_task_that_has_not_failed_has_no_failure(log: tuple[Entry, ...]) -> None:
    assert row_after(submitted(executor="n1"), *log).failure is None


@pytest.mark.parametrize(
    "end",
    [succeeded(1), failed(1, Follows.DONE), failed(1, Follows.DEAD), Cancelled(A, 9), Expired(A, LATE, 9)],
    ids=["succeeded", "failed", "dead", "cancelled", "expired"],
)
def test_a_finished_task_takes_no_other_outcome(end: Entry) -> None:
    others = [succeeded(1), failed(1, Follows.DEAD), Cancelled(A, 50), Expired(A, LATE, 50), submitted()]
    machine, fitted = run(submitted(executor="n1"), end, *others, AttemptStarted(A, 2, "n2", 50))
    assert fitted == [True, True] + [False] * 6
    alone, _ = run(submitted(executor="n1"), end)
    assert machine.rows == alone.rows
    assert machine.rows[A].state in TERMINAL


def test_a_task_is_recognised_before_and_after_its_payload_is_let_go() -> None:
    row = row_after(submitted(executor="n1"))
    done = row_after(submitted(executor="n1"), succeeded(1))
    assert (row.payload, done.payload) == (b"payload", b"")
    for known in row, done:
        assert known.is_same("echo", "key", b"payload")
        assert not known.is_same("other", "key", b"payload")
        assert not known.is_same("echo", "", b"payload")
        assert not known.is_same("echo", "key", b"payloae")
        assert not known.is_same("echo", "key", b"")


class TestRetry:
    @pytest.mark.parametrize(
        "end",
        [failed(1, Follows.DONE), failed(1, Follows.DEAD), Cancelled(A, 9), Expired(A, LATE, 9)],
        ids=["failed", "dead", "cancelled", "expired"],
    )
    def test_a_task_without_a_result_is_queued_again_and_its_attempts_go_on(self, end: Entry) -> None:
        row = row_after(submitted(executor="n1"), end, Retried(A, 40, 9_000), AttemptStarted(A, 2, "n2", 41))
        assert (row.state, row.attempt, row.deadline_ms) == (State.RUNNING, 2, 9_000)
        assert (row.payload, row.tries, row.recent_failures) == (b"payload", 1, ())

    def test_neither_a_result_nor_an_unfinished_task_is_retried(self) -> None:
        _, fitted = run(submitted(executor="n1"), Retried(A, 5, 9), succeeded(1), Retried(A, 20, 90))
        assert fitted == [True, False, True, False]

    def test_earlier_failures_stay_as_evidence_but_count_against_no_retry(self) -> None:
        row = row_after(
            submitted(executor="n1"),
            failed(1, Follows.AGAIN, BAD, "n2"),
            failed(2, Follows.DEAD, BAD),
            Retried(A, 40, 9_000),
            AttemptStarted(A, 3, "n3", 41),
            failed(3, Follows.AGAIN, DIED, "n4"),
        )
        assert row.failures == (BAD, BAD, DIED)
        assert row.recent_failures == (DIED,)
        assert (row.attempt, row.tries) == (4, 2)

    def test_the_result_of_an_attempt_before_the_retry_is_fenced_off(self) -> None:
        _, fitted = run(submitted(executor="n1"), Expired(A, LATE, 9), Retried(A, 40, 900), succeeded(1))
        assert fitted == [True, True, True, False]


class TestEntered:
    def test_the_outcome_of_an_unknown_task_becomes_its_result(self) -> None:
        row = row_after(entered("n9", b"apart"))
        assert (row.state, row.result, row.provisional_from) == (State.SUCCEEDED, b"apart", "n9")
        assert row.is_same("echo", "key", b"payload")

    def test_it_ends_an_unfinished_task_and_fences_the_running_attempt(self) -> None:
        machine, fitted = run(submitted(executor="n1"), entered("n9", b"apart"), succeeded(1))
        assert fitted == [True, True, False]
        assert machine.rows[A].result == b"apart"

    def test_a_failure_is_an_outcome_too(self) -> None:
        row = row_after(submitted(executor="n1"), entered("n9", None, BAD))
        assert (row.state, row.failure, row.provisional_from) == (State.FAILED, BAD, "n9")

    def test_the_first_commit_wins_and_others_are_kept_as_superseded_within_a_bound(self) -> None:
        others = [entered(f"n{number}", b"%d" % number) for number in range(MOST_SUPERSEDED + 2)]
        machine, fitted = run(submitted(executor="n1"), succeeded(1), *others)
        assert fitted == [True, True] + [True] * MOST_SUPERSEDED + [False, False]
        row = machine.rows[A]
        assert (row.state, row.result, row.provisional_from) == (State.SUCCEEDED, b"result", "")
        assert [(other.node, other.result) for other in row.superseded] == [
            (f"n{number}", b"%d" % number) for number in range(MOST_SUPERSEDED)
        ]

    @pytest.mark.parametrize("failure", [None, BAD], ids=["result", "failure"])
    def test_an_outcome_that_is_entered_twice_is_one(self, failure: Failure | None) -> None:
        twice = entered("n9", None if failure else b"apart", failure)
        machine, fitted = run(twice, twice)
        assert fitted == [True, False]
        machine, fitted = run(submitted(executor="n1"), succeeded(1), twice, twice)
        assert fitted == [True, True, True, False]
        assert len(machine.rows[A].superseded) == 1

    def test_a_provisional_failure_does_not_come_back_after_a_retry(self) -> None:
        apart = entered("n9", None, BAD)
        machine, fitted = run(submitted(), apart, Retried(A, 40, 900), apart, entered("n8", b"other"))
        assert fitted == [True, True, True, False, True]
        assert machine.rows[A].result == b"other"
        assert [other.node for other in machine.rows[A].superseded] == ["n9"]

    def test_another_task_of_the_same_id_is_never_given_as_the_result(self) -> None:
        other = Entered(A, "echo", "key", b"something else", b"apart", None, "n9", 20)
        row = row_after(submitted(executor="n1"), other, succeeded(1))
        assert (row.result, [kept.result for kept in row.superseded]) == (b"result", [b"apart"])


def test_a_fork_marks_the_tasks_that_were_unfinished() -> None:
    machine, _ = run(
        submitted(A), submitted(B, executor="n1"), submitted(C), Cancelled(C, 5), Forked(6, "op")
    )
    assert [machine.rows[task].forked for task in (A, B, C)] == [True, True, False]
    machine.apply(encode_entry(AttemptEnded(B, 1, b"r", None, 7)))
    assert machine.rows[B].forked
    assert machine.forks == (Forked(6, "op"),)
    assert machine.counters.unfit == 0
    for number in range(10):
        machine.apply(encode_entry(Forked(10 + number, "op")))
    assert len(machine.forks) == MOST_FORKS


def test_live_tasks_come_in_the_order_of_submission_and_a_retried_one_last() -> None:
    machine, _ = run(
        *(submitted(A), submitted(B), submitted(C), AttemptStarted(A, 1, "n1", 1)),
        *(Cancelled(B, 2), Retried(B, 3, 99)),
    )
    assert [row.task for row in machine.live()] == [A, C, B]
    assert machine.counts[State.QUEUED] == 2
    assert machine.counts[State.RUNNING] == 1


def test_dead_letters_are_listed_until_they_are_retried() -> None:
    machine, _ = run(submitted(executor="n1"), failed(1, Follows.DEAD, BAD))
    assert [(row.task, row.failures) for row in machine.dead_letters()] == [(A, (BAD,))]
    assert machine.ended() == []
    machine.apply(encode_entry(Retried(A, 20, 900)))
    assert machine.dead_letters() == []
    assert machine.counts[State.DEAD] == 0


def test_the_failures_of_a_row_are_bounded_in_number_and_bytes_and_keep_the_strongest_effect() -> None:
    long = Failure(
        code="raised", message="m" * 10_000, where="w" * 10_000, effect=Effect.MAYBE, detail="d" * 10_000
    )
    log: list[Entry] = [submitted(executor="n1"), failed(1, Follows.AGAIN, BAD, "n1")]
    log += [failed(attempt, Follows.AGAIN, long, "n1") for attempt in range(2, 41)]
    row = row_after(*log)
    assert (row.attempt, len(row.failures), row.effect) == (41, MOST_FAILURES, Effect.DONE)
    kept = sum(len(one.message) + len(one.where) + len(one.detail) for one in row.failures)
    assert kept <= MOST_FAILURE_BYTES
    assert row.failures[-1].detail
    assert row.failures[0].detail == ""


def test_the_clock_never_goes_back() -> None:
    machine, _ = run(submitted(A, at_ms=500), submitted(B, at_ms=100), Cancelled(B, 90))
    assert machine.clock_ms == 500
    assert machine.rows[B].submitted_ms == 100
    assert machine.rows[B].ended_ms == 500
