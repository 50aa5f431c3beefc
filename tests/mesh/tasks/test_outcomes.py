"""What an owner tells of a task."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hubless.placement import mint_task_id
from hubless.tasks.entries import AttemptEnded, Cancelled, Expired, Follows, Submitted
from hubless.tasks.machine import Machine
from hubless.tasks.outcomes import expired, never_ordered, refusal, settled
from hubless.tasks.row import Row
from hubless.view import View
from hubless.wire import Place, Settled
from hubless_agents import Effect, Failure
from hubless_gossip import Member

TASK = mint_task_id(0, bytes(14))
DIED = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
FULL = Failure(code="overloaded", message="full", effect=Effect.NONE)


def row_after(*entries: object, executor: str = "n1/4") -> Row:
    machine = Machine()
    machine.follow(Submitted(TASK, "echo", "", b"1", 0, 1_000, 2, executor))
    for entry in entries:
        assert machine.follow(entry) is not None  # type: ignore[arg-type]
    return machine.rows[TASK]


@pytest.mark.parametrize("result", [b"2", b""])
def test_a_success_is_told_with_who_ran_it(result: bytes) -> None:
    assert settled("n0", row_after(AttemptEnded(TASK, 1, result, None, 5))) == Settled(
        TASK, result, None, "n1", 1
    )


def test_a_failure_is_told_with_the_strongest_effect_of_all_attempts() -> None:
    row = row_after(
        AttemptEnded(TASK, 1, None, DIED, 5, Follows.AGAIN, "n2/1"), AttemptEnded(TASK, 2, None, FULL, 6)
    )
    told = settled("n0", row)
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect, told.node, told.attempt) == (
        "overloaded",
        Effect.MAYBE,
        "n2",
        2,
    )


@pytest.mark.parametrize(("executor", "effect"), [("", Effect.NONE), ("n1/4", Effect.MAYBE)])
def test_a_cancelled_task_may_have_run_if_it_was_ever_started(executor: str, effect: Effect) -> None:
    told = settled("n0", row_after(Cancelled(TASK, 5), executor=executor))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect, told.payload) == ("cancelled", effect, None)


@pytest.mark.parametrize(("is_running", "effect"), [(False, Effect.NONE), (True, Effect.MAYBE)])
def test_an_expired_task_may_have_run_if_it_was_running(is_running: bool, effect: Effect) -> None:
    told = settled("n0", row_after(Expired(TASK, expired("n0", is_running=is_running), 5)))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", effect)


def test_an_attempt_that_was_never_ordered_had_no_effect() -> None:
    assert (never_ordered("n1").code, never_ordered("n1").effect) == ("unreachable", Effect.NONE)


def test_an_owner_refuses_what_is_too_much(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    view = view_of(member("n0", offers=()), member("n1", payload_bytes=4))
    small, large = (Place(TASK, "echo", "", b"x" * size, 1_000, "g1") for size in (4, 5))
    assert refusal("n0", view, small, 9, 10) is None
    failure = refusal("n0", view, small, 10, 10)
    assert failure is not None
    assert (failure.code, failure.effect, bool(failure.retry_after_ms)) == ("overloaded", Effect.NONE, True)
    failure = refusal("n0", view, large, 0, 10)
    assert failure is not None
    assert failure.code == "payload_too_large"
    unheard = Place(TASK, "rare", "", b"x" * 5, 1_000, "g1")
    assert refusal("n0", view, unheard, 0, 10) is None, "whoever comes to offer it may take more"
