"""No black holes: an executor that fails what others do well soon gets no more than probes.

Who fails calls fast has the least to do, so that placement by load would give it ever more of them. The rule is seen
from outside, of one owner and one agent: an executor has failed ``ENOUGH`` attempts in a row, these are at least half
of what it was given within ``LATELY_NS``, and meanwhile all others have failed nothing and done as many well. From
``GRACE_NS`` after that is known it begins at most ``MOST_PROBES`` within ``PROBED_NS``, until it does one well.

What an executor fails is what has cost a worker or the contract's time. What agents raise, or answer wrongly, is held
against their version wherever it runs, and against no node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from hubless.tasks.row import Row, State
from hubless_sim.faults import MS, AgentFault, Fault
from hubless_sim.tapes.operations import Leave, Operation, Query
from hubless_sim.verdict import Violation

LATELY_NS = 10_000 * MS
ENOUGH = 6
GRACE_NS = 1_500 * MS
"""What was ordered before the last of the failures was heard of has begun by then."""
PROBED_NS = 2_000 * MS
MOST_PROBES = 3
"""A breaker waits 0.5 s at least before its first probe, 1 s before the second, 2 s before the third."""

_FAILED_BY_NODE = {"worker_died", "out_of_memory", "deadline"}


class Process(NamedTuple):
    """A node in one of its lives."""

    node: str
    boot: int


class Began(NamedTuple):
    """An attempt whose task had one owner when it began."""

    at_ns: int
    task: bytes
    attempt: int
    agent: str
    owner: Process
    executor: Process


class Attempt(NamedTuple):
    """One that has come to something; its outcome was known at ``known_ns``, about."""

    at_ns: int
    agent: str
    owner: Process
    executor: Process
    has_failed: bool
    known_ns: int


def until_ns(faults: Sequence[Fault], operations: Sequence[Operation]) -> float:
    """How long nothing is wrong with anybody but with agents, and nobody leaves: till then breakers forget nobody."""
    at_ms = [fault.at_ms for fault in faults if not isinstance(fault, AgentFault)]
    at_ms += [each.at_ms for each in operations if isinstance(each, Leave) or _is_drain(each)]
    return min(at_ms, default=float("inf")) * MS


def _is_drain(operation: Operation) -> bool:
    return isinstance(operation, Query) and operation.what == "drain"


def outcomes(
    began: Iterable[Began], rows: Mapping[bytes, Row], deadlines_ns: Mapping[str, int]
) -> Iterator[Attempt]:
    """What came of attempts by the rows of their tasks; left out where that cannot be told for certain."""
    for each in began:
        row = rows.get(each.task)
        if row is None or row.retried or row.merged or row.provisional_from or each.agent not in deadlines_ns:
            continue
        has_succeeded = row.state is State.SUCCEEDED
        if len(row.failures) != row.attempt - has_succeeded:
            continue
        if each.attempt <= len(row.failures):
            code = row.failures[each.attempt - 1].code
            took_ns = deadlines_ns[each.agent] if code == "deadline" else 0
            has_failed = code in _FAILED_BY_NODE
        else:
            took_ns, has_failed = 0, False
        yield Attempt(each.at_ns, each.agent, each.owner, each.executor, has_failed, each.at_ns + took_ns)


def black_holes(attempts: Iterable[Attempt]) -> Iterator[Violation]:
    """The executors that were given more than probes although they fail; each is named once for an owner and agent."""
    groups: dict[tuple[Process, str], list[Attempt]] = {}
    for each in sorted(attempts):
        groups.setdefault((each.owner, each.agent), []).append(each)
    for (owner, agent), group in groups.items():
        for executor in sorted({each.executor for each in group if each.executor.node != owner.node}):
            found = _swallowed(group, executor)
            if found is not None:
                at_ns, begun, failures = found
                text = (
                    f"{owner.node} gave {executor.node} {begun} attempts of {agent} within {PROBED_NS // MS} ms, "
                    f"after {failures} that failed there in a row and none elsewhere"
                )
                yield Violation("no black holes", text, at_ns, (owner.node, executor.node))


def _swallowed(group: Sequence[Attempt], executor: Process) -> tuple[int, int, int] | None:
    """When an executor was given one too many, how many those were, and how many had failed before."""
    own: list[Attempt] = []
    others: list[Attempt] = []
    since_success = -1
    begun: list[int] = []
    for each in group:
        if each.executor != executor:
            others.append(each)
            continue
        now_ns = each.at_ns
        own = _lately(own, now_ns)
        others = _lately(others, now_ns)
        told = [past for past in own if past.known_ns + GRACE_NS <= now_ns]
        failures = [past for past in told if past.at_ns > since_success and past.has_failed]
        is_sink = len(failures) >= ENOUGH and 2 * len(failures) >= len(told)
        if is_sink and len(others) >= ENOUGH and not any(other.has_failed for other in others):
            begun = [at_ns for at_ns in begun if now_ns - at_ns < PROBED_NS] + [now_ns]
            if len(begun) > MOST_PROBES:
                return now_ns, len(begun), len(failures)
        if not each.has_failed:
            since_success = now_ns
            begun = []
        own.append(each)
    return None


def _lately(attempts: list[Attempt], now_ns: int) -> list[Attempt]:
    return [each for each in attempts if now_ns - each.at_ns < LATELY_NS]
