"""Which node executes a task: its owner if it can, else the agent's ring within bounded load.

Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350): no node is given
more than ceil(c * mean) calls in flight, c = 1.25, the mean counting the new call; a task whose first choice
is full goes on clockwise. A node counts only calls that it dispatched itself, so the bound needs no messages.

Pure functions over what the caller keeps: nothing here remembers a call.
"""

import enum
from collections.abc import Callable, Container, Iterator, Mapping
from math import ceil
from types import MappingProxyType
from typing import Final

import msgspec

from hubless.guard.permit import Permit, Refused
from hubless.placement.preference import AgentRing

MAX_HOPS = 8
"""Nodes that one task may visit; gateway, owner and executor are three."""

_EVEN: Final[Mapping[str, float]] = MappingProxyType({})


class Loads:
    """Calls in flight per (agent, node), counted by whoever dispatches. Idle pairs take no memory."""

    __slots__ = ("_nodes", "_totals")

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, int]] = {}
        self._totals: dict[str, int] = {}

    def __len__(self) -> int:
        """Calls in flight, of all agents on all nodes."""
        return sum(self._totals.values())

    def started(self, agent: str, node: str) -> None:
        """One more call of the agent runs on the node."""
        counts = self._nodes.get(agent)
        if counts is None:
            counts = self._nodes[agent] = {}
        counts[node] = counts.get(node, 0) + 1
        self._totals[agent] = self._totals.get(agent, 0) + 1

    def finished(self, agent: str, node: str) -> None:
        """One call less; raises ValueError if none was counted."""
        counts = self._nodes.get(agent)
        count = counts.get(node, 0) if counts is not None else 0
        if counts is None or not count:
            raise ValueError(
                f"no call of agent {agent!r} is in flight on {node!r}; pair each finished with a started"
            )
        self._totals[agent] -= 1
        if count > 1:
            counts[node] = count - 1
            return
        del counts[node]
        if not counts:
            del self._nodes[agent]
            del self._totals[agent]

    def in_flight(self, agent: str, node: str) -> int:
        """Calls of the agent in flight on one node."""
        counts = self._nodes.get(agent)
        return counts.get(node, 0) if counts is not None else 0

    def total(self, agent: str) -> int:
        """Calls of the agent in flight on all nodes."""
        return self._totals.get(agent, 0)

    def counts(self, agent: str) -> Mapping[str, int]:
        """Calls in flight by node, nodes without any left out; a live view, valid until the next change."""
        return self._nodes.get(agent, _NO_COUNTS)


_NO_COUNTS: Final[dict[str, int]] = {}


def load_bound(total: int, nodes: int) -> int:
    """ceil(1.25 * mean) calls per node, the mean counting one more than `total` calls on `nodes` nodes."""
    return (5 * (total + 1) + 4 * nodes - 1) // (4 * nodes)


class Chosen(msgspec.Struct, frozen=True, gc=False):
    """The executor, with its breaker's permit (a probe's permit is spent by choosing it)."""

    node: str
    permit: Permit


class NoExecutor(msgspec.Struct, frozen=True, gc=False):
    """Nobody can take the task now. Counts say why, each offering node counted once.

    `retry_at_ns` is when the first refusing breaker may let a probe through, None if no breaker refused.
    """

    offering: int
    not_taking: int = 0
    visited: int = 0
    refused: int = 0
    retry_at_ns: int | None = None

    @property
    def not_offered(self) -> bool:
        """True if no member of the view offers the agent, so that waiting helps only if somebody joins."""
        return self.offering == 0


def choose_executor(
    agent_ring: AgentRing,
    key: bytes,
    *,
    own: str,
    loads: Loads,
    takes_work: Container[str],
    allows: Callable[[str], Permit | Refused],
    visited: Container[str] = (),
    weights: Mapping[str, float] = _EVEN,
    own_slots: int = 0,
) -> Chosen | NoExecutor:
    """The node that should execute one task of `agent_ring.agent`.

    The own node comes first, then the agent's ring from the position of `key` (a task id, or the agent key if
    calls of a key should meet the same node), as far as they are below their bound; if all are at their
    bound, the least loaded one. `allows` is asked only about the node about to be chosen.

    Args:
        takes_work: nodes that get new work: alive, neither busy, suspect nor leaving.
        visited: nodes that this task has been to, never chosen again.
        weights: 0 < weight <= 1 scales a node's bound; nodes left out have 1.
        own_slots: calls that the own node keeps even above its bound (its free workers, say).
    """
    agent = agent_ring.agent
    nodes = agent_ring.nodes
    if not nodes:
        return NoExecutor(offering=0)
    bound = load_bound(loads.total(agent), len(nodes))
    counts = loads.counts(agent)
    refusals: dict[str, Refused] | None = None
    for node in _candidates(agent_ring, key, own):
        limit = bound if node not in weights else _weighted(bound, weights[node])
        if node == own and own_slots > limit:
            limit = own_slots
        if counts.get(node, 0) >= limit or node not in takes_work or node in visited:
            continue
        answer = allows(node)
        if isinstance(answer, Permit):
            return Chosen(node, answer)
        refusals = {} if refusals is None else refusals
        refusals[node] = answer
    return _least_loaded(
        agent_ring,
        list(_candidates(agent_ring, key, own)),
        bound=bound,
        counts=counts,
        takes_work=takes_work,
        allows=allows,
        visited=visited,
        weights=weights,
        refusals={} if refusals is None else refusals,
    )


def _weighted(bound: int, weight: float) -> int:
    return max(1, ceil(bound * weight))


def _candidates(agent_ring: AgentRing, key: bytes, own: str) -> Iterator[str]:
    if own in agent_ring.nodes:
        yield own
    for node in agent_ring.order(key):
        if node != own:
            yield node


def _least_loaded(
    agent_ring: AgentRing,
    preferred: list[str],
    *,
    bound: int,
    counts: Mapping[str, int],
    takes_work: Container[str],
    allows: Callable[[str], Permit | Refused],
    visited: Container[str],
    weights: Mapping[str, float],
    refusals: dict[str, Refused],
) -> Chosen | NoExecutor:
    """All preferred nodes are full or excluded: of the others those below their bound, least loaded first."""
    rank = {node: index for index, node in enumerate(preferred)}
    not_taking = been_there = 0
    eligible: list[tuple[bool, float, int, str]] = []
    for node in agent_ring.nodes:
        if node in visited:
            been_there += 1
        elif node not in takes_work:
            not_taking += 1
        elif node not in refusals:
            count = counts.get(node, 0)
            weight = weights.get(node, 1.0)
            full = count >= _weighted(bound, weight)
            eligible.append((full, (count + 1) / weight, rank.get(node, len(rank)), node))
    for _, _, _, node in sorted(eligible):
        answer = allows(node)
        if isinstance(answer, Permit):
            return Chosen(node, answer)
        refusals[node] = answer
    return NoExecutor(
        offering=len(agent_ring.nodes),
        not_taking=not_taking,
        visited=been_there,
        refused=len(refusals),
        retry_at_ns=min((refused.retry_at_ns for refused in refusals.values()), default=None),
    )


class HopRefused(enum.Enum):
    """Why a task may not travel on."""

    HOP_LIMIT = "hop_limit"
    VISITED = "visited"


def take_hop(trail: tuple[str, ...], node: str, *, limit: int = MAX_HOPS) -> tuple[str, ...] | HopRefused:
    """The trail with `node` added, or why it may not go there. Its length is the hop count of the task."""
    if node in trail:
        return HopRefused.VISITED
    if len(trail) >= limit:
        return HopRefused.HOP_LIMIT
    return (*trail, node)
