"""What follows a failed attempt."""

import pytest

from hubless.tasks.attempts import (
    MAX_ATTEMPTS,
    POISON,
    Verdict,
    is_poison,
    is_said_by_all,
    judge,
    node_cut_off,
    node_gone,
    node_silent,
    nodes_left_out,
)
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


def test_a_node_that_is_there_and_not_heard_says_nothing_about_the_task() -> None:
    """A task that is given up on far nodes again and again goes on until its deadline, and is no dead letter."""
    unheard = [node_silent("n2"), node_cut_off("n2")] * (MAX_ATTEMPTS // 2)
    for count in range(len(unheard)):
        assert (
            judge(node_cut_off("n2"), attempt=count + 1, earlier=unheard[:count], retries=1)
            is Verdict.ELSEWHERE
        )
    assert judge(node_cut_off("n2"), attempt=90, earlier=unheard, retries=1) is Verdict.ELSEWHERE, (
        "only these are kept"
    )
    assert not is_poison([*unheard, node_gone("n1")])
    deaths = [node_gone("n1")] * (MAX_ATTEMPTS - 1)
    assert (
        judge(node_gone("n1"), attempt=MAX_ATTEMPTS + 4, earlier=[*unheard[:4], *deaths], retries=1)
        is Verdict.FINAL
    )


def test_a_refusal_that_may_have_had_an_effect_is_final_for_an_agent_without_retries() -> None:
    refused = _failure("no_executor")
    assert judge(refused, attempt=1, earlier=(), retries=0) is Verdict.FINAL
    assert judge(refused, attempt=1, earlier=(), retries=1) is Verdict.ELSEWHERE


def test_what_kills_workers_again_and_again_is_poison() -> None:
    killer, other = _failure("worker_died"), _failure("bad_output")
    assert not is_poison((killer, *[other] * 5))
    assert is_poison((killer, other, _failure("out_of_memory")))
    assert POISON == 2


def test_what_outlives_too_many_attempts_is_poison_whatever_ended_them() -> None:
    assert not is_poison([node_gone("n1")] * (MAX_ATTEMPTS - 1))
    assert is_poison([node_gone("n1")] * MAX_ATTEMPTS)


def test_a_refusal_is_the_mesh_s_when_nobody_is_left_to_ask() -> None:
    full = _failure("overloaded", Effect.NONE)
    offering = frozenset({"n1", "n2"})
    assert not is_said_by_all(full, frozenset({"n1"}), offering)
    assert is_said_by_all(full, offering, offering)
    assert not is_said_by_all(_failure("no_executor", Effect.NONE), offering, offering), "these come back"


def test_who_has_failed_a_task_is_left_out_until_all_have() -> None:
    two, broken, full = frozenset({"n1", "n2"}), _failure("worker_died"), _failure("overloaded", Effect.NONE)
    assert nodes_left_out(broken, frozenset(), two, "n1") == {"n1"}
    assert nodes_left_out(broken, frozenset({"n1"}), two, "n2") == {"n2"}, "not to the same one at once"
    assert nodes_left_out(full, frozenset({"n1"}), two, "n2") == two, "asking again brings the same answer"
    assert nodes_left_out(broken, frozenset(), frozenset({"n1"}), "n1") == frozenset()
