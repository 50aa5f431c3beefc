"""Who runs the next attempt of a task, and what that takes: a share of the load, and a breaker's permit."""

from __future__ import annotations

from collections.abc import Callable

from hubless import notices
from hubless.effects import NodeEffect
from hubless.guard import Breakers, Permit
from hubless.placement import AgentRing, Chosen, Loads, NoExecutor, choose_executor
from hubless.view import View
from hubless_agents import Failure

_OWN = Permit(0, "", "")
"""Leave to ask this node itself: nobody breaks the circuit to himself, the supervisor's quarantine does that."""

_NOBODY: frozenset[str] = frozenset()


class Dispatch:
    """The choice of executors, for all tasks that this node owns.

    Args:
        own_room: how many tasks of an agent this node itself should hold before others are asked; 0 if
            these should be asked first.
    """

    def __init__(
        self, *, me: str, view: View, breakers: Breakers, own_room: Callable[[str], int] = lambda _agent: 0
    ) -> None:
        self._me = me
        self._view = view
        self._breakers = breakers
        self._own_room = own_room
        self._here = Chosen(me, _OWN)
        self._loads = Loads()

    def __len__(self) -> int:
        """Attempts that are counted as running somewhere."""
        return len(self._loads)

    def choose(
        self, now_ns: int, agent: str, key: bytes, payload: bytes, avoid: frozenset[str] = _NOBODY
    ) -> Chosen | NoExecutor:
        """An executor for the next attempt of a task. `key` is the task's own key, or its id.

        What is chosen must be `started`, in the end `finished`.
        """
        ring = self._view.agent_ring(agent)
        own_room = self._own_room(agent)
        is_free = self._loads.in_flight(agent, self._me) < own_room
        if is_free and not avoid and self._me in ring.nodes and self._me in self._view.takers:
            return self._here  # what `choose_executor` would say, at a fraction of its price
        avoid |= self._view.too_small_for(payload)
        if self._view.cut_off and self.can_go_elsewhere(agent, payload):
            avoid = avoid.union(self._view.cut_off)
        if own_room == 0 and len(ring.nodes) > 1 and self._me in ring.nodes:
            choice = self._choose_but(now_ns, ring, key, avoid | {self._me}, own_room)
            if isinstance(choice, Chosen):
                return choice
        return self._choose_but(now_ns, ring, key, avoid, own_room)

    def can_go_elsewhere(self, agent: str, payload: bytes, node: str = "") -> bool:
        """Whether anybody but `node` takes work of that agent and size, within reach; breakers are not asked."""
        too_small, view = self._view.too_small_for(payload), self._view
        return any(
            other != node and other in view.takers and other not in view.cut_off and other not in too_small
            for other in view.agent_ring(agent).nodes
        )

    def started(self, now_ns: int, agent: str, chosen: Chosen, deadline_ns: int) -> None:
        """The attempt is on its way to the chosen node."""
        if chosen.permit is not _OWN:
            self._breakers.started(chosen.permit, now_ns, deadline_ns)
        self._loads.started(agent, chosen.node)

    def resumed(self, now_ns: int, agent: str, node: str, deadline_ns: int) -> Chosen:
        """An attempt that another owner had ordered is counted here from now on, whatever a breaker thinks of it."""
        permit = _OWN if node == self._me else self._breakers.allows(node, agent, now_ns)
        chosen = Chosen(node, permit if isinstance(permit, Permit) else _OWN)
        self.started(now_ns, agent, chosen, deadline_ns)
        return chosen

    def finished(
        self, now_ns: int, agent: str, chosen: Chosen, failure: Failure | None, out: list[NodeEffect]
    ) -> None:
        """The attempt has ended, or was given up; a breaker is told how."""
        self._loads.finished(agent, chosen.node)
        if chosen.permit is _OWN:
            return
        if failure is None:
            moves = self._breakers.record_success(chosen.permit, now_ns)
        else:
            moves = self._breakers.record_failure(chosen.permit, failure.code, now_ns)
        out += (notices.of_breaker(self._view, moved) for moved in moves)

    def _choose_but(
        self, now_ns: int, ring: AgentRing, key: bytes, avoid: frozenset[str], own_room: int
    ) -> Chosen | NoExecutor:
        me, breakers, agent = self._me, self._breakers, ring.agent
        return choose_executor(
            ring,
            key,
            own=me,
            loads=self._loads,
            takes_work=self._view.takers,
            allows=lambda node: _OWN if node == me else breakers.allows(node, agent, now_ns),
            visited=avoid,
            weights=breakers.weights(agent, now_ns),
            own_slots=own_room,
        )
