"""What follows a failed attempt."""

import pytest

from hubless.tasks.attempts import MAX_ATTEMPTS, Verdict, judge, node_gone
from hubless_agents import Effect, Failure


def _failure(code: str, effect: Effect = Effect.MAYBE) -> Failure:
    return Failure(code=code, message="", where="", effect=effect)


@pytest.mark.parametrize("code", ["raised", "bad_input", "payload_too_large", "cancelled", "expired"])
def test_what_would_fail_again_is_final(code: str) -> None:
    assert judge(_failure(code), attempt=1, earlier=(), retries=5) is Verdict.FINAL


@pytest.mark.parametrize("code", ["worker_died", "out_of_memory", "deadline", "bad_output"])
def test_a_broken_attempt_costs_one_retry(code: str) -> None:
    broken = _failure(code)
    assert judge(broken, attempt=1, earlier=(), retries=1) is Verdict.ELSEWHERE
    assert judge(broken, attempt=2, earlier=(broken,), retries=1) is Verdict.FINAL
    assert judge(broken, attempt=1, earlier=(), retries=0) is Verdict.FINAL


def test_a_refusal_costs_no_retry() -> None:
    refused = _failure("overloaded", Effect.NONE)
    assert judge(refused, attempt=3, earlier=(refused, refused), retries=0) is Verdict.ELSEWHERE


def test_a_dead_node_costs_no_retry_of_an_agent_that_may_be_repeated() -> None:
    gone = node_gone("n2")
    assert judge(gone, attempt=4, earlier=(gone, gone, gone), retries=1) is Verdict.ELSEWHERE


def test_an_agent_without_retries_never_runs_twice() -> None:
    assert judge(node_gone("n2"), attempt=1, earlier=(), retries=0) is Verdict.FINAL


def test_nothing_is_tried_for_ever() -> None:
    assert judge(node_gone("n2"), attempt=MAX_ATTEMPTS, earlier=(), retries=5) is Verdict.FINAL
