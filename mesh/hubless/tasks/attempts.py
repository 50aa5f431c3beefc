"""What follows a failed attempt: nothing, or another one elsewhere. One rule, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from hubless_agents import Effect, Failure
from hubless_agents.failure import Code

MAX_ATTEMPTS = 16
"""Attempts of one task, whatever ended them: a task that outlives this many nodes is the more likely cause."""

LONGEST_DEADLINE_MS = 7 * 24 * 3600 * 1000
"""What a deadline is cut to, whoever asks for more."""

_FREE = frozenset({"overloaded", "quarantined", "no_executor", "unknown_agent", "unreachable"})
"""Refusals: the task did not start, so they cost none of its retries."""

_SAID_BY_ALL = frozenset({"overloaded", "quarantined", "unknown_agent"})
"""Refusals that are the mesh's answer when every node that offers the agent has given one."""

_RETRIED = frozenset({"worker_died", "out_of_memory", "deadline", "bad_output"})
"""The attempt broke: the next one may do better, as often as the agent's contract allows."""

_KILLING = frozenset({"worker_died", "out_of_memory"})
POISON = 2
"""Workers that one task may kill before it is held to be the cause."""

NODE_GONE: Code = "unreachable"
_SILENT = "the node that runs the attempt answers nobody; its effect may have happened"
_CUT_OFF = "the node that runs the attempt does not reach the task's owner; its effect may have happened"


class Verdict(Enum):
    """`ELSEWHERE` is another node if there is one."""

    FINAL = "final"
    ELSEWHERE = "elsewhere"


def node_gone(node: str) -> Failure:
    """The failure of an attempt whose node died."""
    return Failure(
        code=NODE_GONE,
        message="the node that ran the attempt is gone; its effect may have happened",
        where=node,
        effect=Effect.MAYBE,
    )


def node_silent(node: str) -> Failure:
    """The failure of an attempt whose node answers nobody."""
    return Failure(
        code=NODE_GONE,
        message=_SILENT,
        where=node,
        effect=Effect.MAYBE,
    )


def node_cut_off(node: str) -> Failure:
    """The failure of an attempt whose node only the owner of the task does not reach, or not be reached by."""
    return Failure(code=NODE_GONE, message=_CUT_OFF, where=node, effect=Effect.MAYBE)


def is_out_of_reach(failure: Failure) -> bool:
    """Whether an attempt was given up for what says nothing about its task: its node was there, and not heard."""
    return failure.code == NODE_GONE and failure.message in (_SILENT, _CUT_OFF)


def judge(failure: Failure, *, attempt: int, earlier: Sequence[Failure], retries: int) -> Verdict:
    """What follows attempt number `attempt`, which ended with `failure` after the `earlier` ones.

    An agent with no retries is never run a second time once its effect may have happened. With retries, a
    node's death is the mesh's doing and costs none; a broken attempt costs one.
    """
    lost = sum(map(is_out_of_reach, (*earlier, failure)))
    if attempt - lost >= MAX_ATTEMPTS and not (lost and len(earlier) + 1 - lost < MAX_ATTEMPTS):
        return Verdict.FINAL
    if failure.code in _FREE:
        may_have_run = failure.effect is not Effect.NONE
        return Verdict.FINAL if may_have_run and retries == 0 else Verdict.ELSEWHERE
    if failure.code in _RETRIED:
        spent = sum(1 for past in earlier if past.code in _RETRIED)
        return Verdict.ELSEWHERE if spent < retries else Verdict.FINAL
    return Verdict.FINAL


def is_poison(failures: Sequence[Failure]) -> bool:
    """Whether a task that ends with these failures belongs on the dead letter list: it keeps killing workers."""
    return (
        sum(1 for failure in failures if failure.code in _KILLING) >= POISON
        or sum(1 for failure in failures if not is_out_of_reach(failure)) >= MAX_ATTEMPTS
    )


def is_said_by_all(failure: Failure, avoid: frozenset[str], offering: frozenset[str]) -> bool:
    """Whether a refusal is final because nobody is left to ask."""
    return failure.code in _SAID_BY_ALL and avoid >= offering


def nodes_left_out(
    failure: Failure, avoid: frozenset[str], offering: frozenset[str], executor: str
) -> frozenset[str]:
    """Which nodes the next attempt should not go to, after `executor` failed the last one.

    When all have been tried, a broken attempt may go anywhere again, best not to the same node. Refusals keep
    all of them out for this once: asking again at once would bring the same answer.
    """
    tried = avoid | {executor}
    if not tried >= offering or (failure.code in _FREE and failure.effect is Effect.NONE):
        return tried
    return frozenset({executor}) if len(offering) > 1 else frozenset()
