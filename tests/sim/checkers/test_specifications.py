"""What tasks may say one call after the other, and what they may not."""

from typing import Any

import pytest

from hubless_sim.checkers import REJECTED, UNKNOWN, Cancel, Outcome, Result, Status, Submit, TaskSpec

T = "task"
DONE = Result("succeeded", 42)

TRUE_RUNS: list[list[tuple[Any, Any]]] = [
    [(Status(T), "unknown"), (Cancel(T), False), (Submit(T), None), (Submit(T), None), (Status(T), "queued")],
    [
        (Submit(T), None),
        (Status(T), "running"),
        (Status(T), "queued"),
        (Outcome(T), DONE),
        (Outcome(T), DONE),
    ],
    [(Submit(T), None), (Status(T), "succeeded"), (Outcome(T), DONE), (Submit(T), None), (Outcome(T), DONE)],
    [(Submit(T), None), (Cancel(T), True), (Cancel(T), True), (Status(T), "cancelled")],
    [(Submit(T), None), (Cancel(T), True), (Outcome(T), Result("cancelled", "why")), (Submit(T), None)],
    [(Submit(T), None), (Cancel(T), False), (Status(T), "failed"), (Outcome(T), Result("failed", 1))],
    [(Submit(T), None), (Cancel(T), UNKNOWN), (Status(T), "cancelled")],
    [
        (Submit(T), UNKNOWN),
        (Status(T), "queued"),
        (Outcome(T), UNKNOWN),
        (Status(T), UNKNOWN),
        (Outcome(T), DONE),
    ],
    [(Submit(T), None), (Outcome(T), DONE), (Cancel(T), UNKNOWN), (Outcome(T), DONE)],
]
FALSE_RUNS: list[list[tuple[Any, Any]]] = [
    [(Outcome(T), DONE)],
    [(Status(T), "queued")],
    [(Status(T), "succeeded")],
    [(Cancel(T), True)],
    [(Submit(T), None), (Status(T), "unknown")],
    [(Submit(T), None), (Outcome(T), DONE), (Status(T), "running")],
    [(Submit(T), None), (Outcome(T), DONE), (Status(T), "unknown")],
    [(Submit(T), None), (Outcome(T), DONE), (Outcome(T), Result("succeeded", 43))],
    [(Submit(T), None), (Outcome(T), DONE), (Outcome(T), Result("failed", 42))],
    [(Submit(T), None), (Outcome(T), DONE), (Status(T), "failed")],
    [(Submit(T), None), (Outcome(T), DONE), (Cancel(T), True)],
    [(Submit(T), None), (Status(T), "failed"), (Outcome(T), DONE)],
    [(Submit(T), None), (Cancel(T), True), (Outcome(T), DONE)],
    [(Submit(T), None), (Cancel(T), True), (Cancel(T), False)],
    [(Submit(T), None), (Cancel(T), True), (Status(T), "running")],
    [(Submit(T), None), (Cancel(T), False), (Status(T), "running")],
    [(Submit(T), None), (Cancel(T), False), (Status(T), "cancelled")],
    [(Submit(T), None), (Cancel(T), False), (Cancel(T), True)],
    [(Submit(T), None), (Outcome(T), DONE), (Submit(T), None), (Status(T), "queued")],
]


def steps(run: list[tuple[Any, Any]]) -> list[bool]:
    """Which of the answers could be, up to the first that could not."""
    specification = TaskSpec()
    state: Any = specification.initial()
    could_be = []
    for op_input, output in run:
        state = specification.step(state, op_input, output)
        could_be.append(state is not REJECTED)
        if state is REJECTED:
            break
    return could_be


@pytest.mark.parametrize("run", TRUE_RUNS)
def test_what_tasks_may_say(run: list[tuple[Any, Any]]) -> None:
    assert steps(run) == [True] * len(run)


@pytest.mark.parametrize("run", FALSE_RUNS)
def test_what_tasks_may_not_say(run: list[tuple[Any, Any]]) -> None:
    assert steps(run) == [True] * (len(run) - 1) + [False]


def test_answers_of_another_kind_are_refused() -> None:
    specification = TaskSpec()
    live: Any = specification.step(specification.initial(), Submit(T), None)
    with pytest.raises(ValueError, match="got 'paused'"):
        specification.step(live, Status(T), "paused")
    with pytest.raises(TypeError, match="is a Result, got 42"):
        specification.step(live, Outcome(T), 42)
