"""What follows a failed attempt: nothing, another one here, or another one elsewhere. One rule, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from hubless_agents import Effect, Failure
from hubless_agents.failure import Code

MAX_ATTEMPTS = 16
"""Attempts of one task, whatever ended them: a task that outlives this many nodes is the more likely cause."""

_FREE = frozenset({"overloaded", "quarantined", "no_executor", "unreachable"})
"""Refusals: the task did not start, so they cost none of its retries."""

_RETRIED = frozenset({"worker_died", "out_of_memory", "deadline", "bad_output"})
"""The attempt broke: the next one may do better, as often as the agent's contract allows."""

NODE_GONE: Code = "unreachable"


class Verdict(Enum):
    FINAL = "final"
    AGAIN = "again"
    ELSEWHERE = "elsewhere"


def node_gone(node: str) -> Failure:
    """The failure of an attempt whose node died."""
    return Failure(
        code=NODE_GONE,
        message="the node that ran the attempt is gone; its effect may have happened",
        where=node,
        effect=Effect.MAYBE,
    )


def judge(failure: Failure, *, attempt: int, earlier: Sequence[Failure], retries: int) -> Verdict:
    """What follows attempt number `attempt`, which ended with `failure` after the `earlier` ones.

    An agent with no retries is never run a second time once its effect may have happened. With retries, a
    node's death is the mesh's doing and costs none; a broken attempt costs one.
    """
    if attempt >= MAX_ATTEMPTS:
        return Verdict.FINAL
    if failure.code in _FREE:
        may_have_run = failure.effect is not Effect.NONE
        return Verdict.FINAL if may_have_run and retries == 0 else Verdict.ELSEWHERE
    if failure.code in _RETRIED:
        spent = sum(1 for past in earlier if past.code in _RETRIED)
        return Verdict.ELSEWHERE if spent < retries else Verdict.FINAL
    return Verdict.FINAL
