"""The owner: keeps the tasks of its shards, gives each attempt to an executor, and decides the one outcome.

Every change of a task is an entry; `_propose` hands it to the shard's log and `_committed` acts on it. Here the log
is this process's memory, in which an entry is committed as soon as it is proposed: a node that dies takes its rows
along, and the gateways, which still hold the submissions, place them with the next owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hubless import notices
from hubless.effects import NodeEffect, ToPeer
from hubless.guard import Breakers, Permit
from hubless.placement import AgentRing, Chosen, Loads, NoExecutor, choose_executor
from hubless.tasks.attempts import (
    LONGEST_DEADLINE_MS,
    Verdict,
    is_said_by_all,
    judge,
    node_gone,
    nodes_left_out,
)
from hubless.tasks.machine import (
    TERMINAL,
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Entry,
    Expired,
    Row,
    State,
    Submitted,
    apply,
)
from hubless.tasks.wheel import Wheel
from hubless.view import View
from hubless.wire import Assign, Ended, Place, Settled, Taken, Withdraw
from hubless_agents import Effect, Failure

_MS = 1_000_000
_FIRST_RESEND_NS = 1_000 * _MS
_LONGEST_RESEND_NS = 8_000 * _MS
_PARKED_RETRY_NS = 200 * _MS
_LONGEST_PARKED_NS = 2_000 * _MS
_WHEEL_WIDTH_NS = 50 * _MS
_KEPT_NS = 60_000 * _MS
_KEPT_ROWS = 20_000
_KEPT_BYTES = 16 * 1024 * 1024
_MOST_LIVE = 100_000
_MOST_GATEWAYS = 4
_RETRY_AFTER_MS = 1_000


_OWN = Permit(0, "", "")
"""Leave to ask this node itself: nobody breaks the circuit to himself, the supervisor's quarantine does that."""

_DISMISSED = Failure(code="cancelled", message="nobody waits any more")
"""What a breaker is told of an attempt that was given up: it is no fault of the executor's."""


@dataclass(slots=True)
class _Running:
    """What this owner knows of a running attempt beside the row: lost with the owner, and rightly so."""

    permit: Permit
    resend_ns: int
    resend_after_ns: int = _FIRST_RESEND_NS


@dataclass(slots=True)
class OwnerCounters:
    """What became of the tasks that gateways placed here.

    `recognised` counts placements of a task that is here already, `fenced` outcomes of another attempt than the
    current one, `redispatched` attempts that were lost with their node.
    """

    placed: int = 0
    recognised: int = 0
    attempts: int = 0
    fenced: int = 0
    refused: int = 0
    redispatched: int = 0
    settled: int = 0
    expired: int = 0


class Owner:
    """The tasks whose shards this node owns.

    Args:
        own_room: how many tasks of an agent this node itself should hold before others are asked; 0 if
            these should be asked first.
    """

    def __init__(
        self, *, me: str, view: View, breakers: Breakers, own_room: Callable[[str], int] = lambda _agent: 0
    ) -> None:
        self._me = me
        self._own_room = own_room
        self._here = Chosen(me, _OWN)
        self._view = view
        self._breakers = breakers
        self._loads = Loads()
        self._rows: dict[bytes, Row] = {}
        self._gateways: dict[bytes, tuple[str, ...]] = {}
        self._running: dict[bytes, _Running] = {}
        self._by_executor: dict[str, dict[bytes, None]] = {}
        self._avoid: dict[bytes, frozenset[str]] = {}
        self._parked: dict[bytes, int] = {}
        self._ended: deque[tuple[bytes, int, int]] = deque()
        self._ended_bytes = 0
        self._wheel: Wheel[bytes] = Wheel(width_ns=_WHEEL_WIDTH_NS)
        self.counters = OwnerCounters()

    def __len__(self) -> int:
        return len(self._rows) - len(self._ended)

    def place(self, now_ns: int, place: Place, out: list[NodeEffect]) -> None:
        """Accepts a task, or recognises it and repeats what is known of it. All gateways that ask are told."""
        row = self._rows.get(place.task)
        if row is not None:
            self.counters.recognised += 1
            if row.state in TERMINAL:
                self._settle(row, place.gateway, out)
            else:
                gateways = self._gateways[place.task]
                if place.gateway not in gateways:
                    self._gateways[place.task] = (*gateways, place.gateway)[-_MOST_GATEWAYS:]
                self._receipt(place, out)
            return
        refusal = self._refusal(place)
        if refusal is not None:
            self.counters.refused += 1
            out.append(ToPeer(place.gateway, Settled(place.task, None, refusal, "", 0)))
            return
        self.counters.placed += 1
        self._gateways[place.task] = (place.gateway,)
        self._receipt(place, out)
        offer = self._view.offer(place.agent)
        retries = 0 if offer is None else offer.retries
        deadline_ns = now_ns + min(place.deadline_ms, LONGEST_DEADLINE_MS) * _MS
        self._propose(
            now_ns, Submitted(place.task, place.agent, place.key, place.payload, deadline_ns, retries), out
        )

    def ended(self, now_ns: int, executor: str, ended: Ended, out: list[NodeEffect]) -> None:
        """Takes the outcome of an attempt; one that is not the current attempt's is fenced off and counted."""
        row = self._rows.get(ended.task)
        if (
            row is None
            or row.state is not State.RUNNING
            or row.attempt != ended.attempt
            or row.executor != executor
        ):
            self.counters.fenced += 1
            return
        self._conclude(now_ns, row, ended.payload, ended.failure, out)

    @property
    def in_flight(self) -> int:
        """Attempts that this owner counts as running somewhere."""
        return len(self._loads)

    def knows(self, task: bytes) -> bool:
        """Whether the task is, or lately was, this owner's."""
        return task in self._rows

    def withdraw(self, now_ns: int, gateway: str, task: bytes, out: list[NodeEffect]) -> None:
        """A gateway no longer waits for the task. When none does it is cancelled."""
        row = self._rows.get(task)
        gateways = self._gateways.get(task, ())
        if row is None or gateway not in gateways:
            return
        rest = tuple(other for other in gateways if other != gateway)
        if rest:
            self._gateways[task] = rest
        else:
            self._stop_attempt(now_ns, row, _DISMISSED, out)
            self._propose(now_ns, Cancelled(task), out)

    def peer_gone(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """Gives the attempts that ran on a dead node to others, at once."""
        for task in list(self._by_executor.pop(node, {})):
            row = self._rows[task]
            self.counters.redispatched += 1
            self._conclude(now_ns, row, None, node_gone(node), out)

    def view_changed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Tries again to place what found no executor."""
        for task in list(self._parked):
            self._dispatch(now_ns, self._rows[task], out)

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Expires, repeats orders that have been silent for long, retries what is parked, forgets what is old."""
        for task in self._wheel.take_due(now_ns):
            row = self._rows.get(task)
            if row is None or row.state in TERMINAL:
                continue
            if now_ns >= row.deadline_ns:
                self._expire(now_ns, row, out)
            elif row.state is State.RUNNING:
                self._repeat_order(now_ns, row, out)
            elif now_ns >= self._parked[task]:
                del self._parked[task]
                self._dispatch(now_ns, row, out)
        self._forget_old(now_ns)

    def next_deadline_ns(self) -> int | None:
        return self._wheel.next_deadline_ns()

    # -- the log ----------------------------------------------------------------------------------------

    def _propose(self, now_ns: int, entry: Entry, out: list[NodeEffect]) -> None:
        """Hands an entry to the shard's log. In memory there is nothing to wait for."""
        self._committed(now_ns, entry, out)

    def _committed(self, now_ns: int, entry: Entry, out: list[NodeEffect]) -> None:
        """Acts on an entry that can no longer be lost (as far as this log can tell)."""
        row = apply(self._rows, entry)
        if row is None:
            return
        match entry:
            case Submitted():
                self._dispatch(now_ns, row, out)
            case AttemptStarted():
                self._order(now_ns, row, out)
            case AttemptEnded() if row.state is State.QUEUED:
                self._dispatch(now_ns, row, out)
            case AttemptEnded() | Expired() | Cancelled():
                for gateway in self._gateways.pop(row.task):
                    if row.state is not State.CANCELLED:
                        self._settle(row, gateway, out)
                self._keep_for_a_while(now_ns, row)

    # -- attempts ---------------------------------------------------------------------------------------

    def _dispatch(self, now_ns: int, row: Row, out: list[NodeEffect]) -> None:
        """Finds an executor for the next attempt, or parks the task until there is one."""
        agent = row.agent
        ring = self._view.agent_ring(agent)
        own_room = self._own_room(agent)
        choice: Chosen | NoExecutor
        if (
            self._loads.in_flight(agent, self._me) < own_room
            and row.task not in self._avoid
            and self._me in ring.nodes
            and self._me in self._view.takers
        ):
            choice = self._here  # what `choose_executor` would say, at a fraction of its price
        else:
            choice = self._choose(now_ns, row, ring, own_room)
        match choice:
            case Chosen(node=node, permit=permit):
                self._parked.pop(row.task, None)
                # `_order` finds it here: that an entry is committed at once is what this log is relied on for.
                self._running[row.task] = _Running(permit, 0)
                self._propose(now_ns, AttemptStarted(row.task, row.attempt + 1, node), out)
            case NoExecutor():
                self._park(now_ns, row, choice)

    def _choose(self, now_ns: int, row: Row, ring: AgentRing, own_room: int) -> Chosen | NoExecutor:
        avoid = self._avoid.get(row.task, frozenset()) | self._view.too_small_for(row.payload)
        if own_room == 0 and len(ring.nodes) > 1 and self._me in ring.nodes:
            choice = self._choose_but(now_ns, row, ring, avoid | {self._me}, own_room)
            if isinstance(choice, Chosen):
                return choice
        return self._choose_but(now_ns, row, ring, avoid, own_room)

    def _choose_but(
        self, now_ns: int, row: Row, ring: AgentRing, avoid: frozenset[str], own_room: int
    ) -> Chosen | NoExecutor:
        me, breakers, agent = self._me, self._breakers, row.agent
        return choose_executor(
            ring,
            row.key.encode() or row.task,
            own=me,
            loads=self._loads,
            takes_work=self._view.takers,
            allows=lambda node: _OWN if node == me else breakers.allows(node, agent, now_ns),
            visited=avoid,
            weights=breakers.weights(agent, now_ns),
            own_slots=own_room,
        )

    def _park(self, now_ns: int, row: Row, why: NoExecutor) -> None:
        """Keeps the task until somebody can take it; a task that waits already keeps the one timer that it has."""
        self._avoid.pop(row.task, None)
        if row.task in self._parked:
            return
        due_ns = now_ns + _PARKED_RETRY_NS
        if why.not_offered:
            due_ns = row.deadline_ns  # whoever comes to offer it is a change of the view
        elif why.retry_at_ns is not None and why.refused == why.offering:
            due_ns = min(max(due_ns, why.retry_at_ns), now_ns + _LONGEST_PARKED_NS)
        self._parked[row.task] = min(due_ns, row.deadline_ns)
        self._wheel.add(self._parked[row.task], row.task)

    def _order(self, now_ns: int, row: Row, out: list[NodeEffect]) -> None:
        self.counters.attempts += 1
        running = self._running[row.task]
        running.resend_ns = min(now_ns + running.resend_after_ns, row.deadline_ns)
        self._wheel.add(running.resend_ns, row.task)
        if running.permit is not _OWN:
            self._breakers.started(running.permit, now_ns, row.deadline_ns)
        self._loads.started(row.agent, row.executor)
        self._by_executor.setdefault(row.executor, {})[row.task] = None
        out.append(ToPeer(row.executor, self._assign(now_ns, row)))

    def _repeat_order(self, now_ns: int, row: Row, out: list[NodeEffect]) -> None:
        """A long silence: the order may be lost, or the answer. The executor runs the attempt, or knows its end."""
        running = self._running[row.task]
        if now_ns < running.resend_ns:
            return
        running.resend_after_ns = min(2 * running.resend_after_ns, _LONGEST_RESEND_NS)
        running.resend_ns = min(now_ns + running.resend_after_ns, row.deadline_ns)
        self._wheel.add(running.resend_ns, row.task)
        if row.executor != self._me:
            out.append(ToPeer(row.executor, self._assign(now_ns, row)))

    def _assign(self, now_ns: int, row: Row) -> Assign:
        remaining_ms = max(1, (row.deadline_ns - now_ns) // _MS)
        return Assign(row.task, row.attempt, row.agent, row.payload, remaining_ms, row.failures)

    def _conclude(
        self, now_ns: int, row: Row, payload: bytes | None, failure: Failure | None, out: list[NodeEffect]
    ) -> None:
        """Ends the current attempt and decides whether another follows."""
        executor = row.executor
        self._release(now_ns, row, failure, out)
        final = False
        if failure is not None:
            offer = self._view.offer(row.agent)
            # Nobody may have offered the agent yet when the task came.
            retries = row.retries if offer is None else offer.retries
            verdict = judge(failure, attempt=row.attempt, earlier=row.failures, retries=retries)
            offering = self._view.agent_ring(row.agent).nodes
            avoid = self._avoid.get(row.task, frozenset())
            final = verdict is Verdict.FINAL or is_said_by_all(failure, avoid | {executor}, offering)
            if not final:
                self._avoid[row.task] = nodes_left_out(failure, avoid, offering, executor)
        self._propose(now_ns, AttemptEnded(row.task, row.attempt, payload, failure, final), out)

    def _release(self, now_ns: int, row: Row, failure: Failure | None, out: list[NodeEffect]) -> None:
        """Gives back what the current attempt, if any, holds: its load and its breaker's permit."""
        running = self._running.pop(row.task, None)
        self._parked.pop(row.task, None)
        if running is None:
            return
        self._loads.finished(row.agent, row.executor)
        tasks = self._by_executor.get(row.executor)
        if tasks is not None:
            tasks.pop(row.task, None)
            if not tasks:
                del self._by_executor[row.executor]
        if running.permit is _OWN:
            return
        if failure is None:
            moves = self._breakers.record_success(running.permit, now_ns)
        else:
            moves = self._breakers.record_failure(running.permit, failure.code, now_ns)
        out += (notices.of_breaker(self._view, moved) for moved in moves)

    def _expire(self, now_ns: int, row: Row, out: list[NodeEffect]) -> None:
        self.counters.expired += 1
        failure = Failure(
            code="expired",
            message="no outcome before the deadline of the call",
            where=f"owner {self._me}",
            effect=Effect.MAYBE if row.state is State.RUNNING else Effect.NONE,
        )
        self._stop_attempt(now_ns, row, failure, out)
        self._propose(now_ns, Expired(row.task, failure), out)

    def _stop_attempt(self, now_ns: int, row: Row, failure: Failure, out: list[NodeEffect]) -> None:
        """Tells the executor, if one is at work, that nobody waits any more. A breaker is told `failure`."""
        if row.state is State.RUNNING:
            out.append(ToPeer(row.executor, Withdraw(row.task)))
        self._release(now_ns, row, failure, out)

    # -- outcomes ---------------------------------------------------------------------------------------

    def _settle(self, row: Row, gateway: str, out: list[NodeEffect]) -> None:
        self.counters.settled += 1
        failure = _cancelled(self._me, row) if row.state is State.CANCELLED else row.failure
        out.append(ToPeer(gateway, Settled(row.task, row.result, failure, row.executor, row.attempt)))

    def _receipt(self, place: Place, out: list[NodeEffect]) -> None:
        """A gateway that was handed on to this owner asks here from now on."""
        if place.trail:
            out.append(ToPeer(place.gateway, Taken(place.task)))

    def _refusal(self, place: Place) -> Failure | None:
        """Why a task that this owner does not know is not taken, or None."""
        where = f"owner {self._me}"
        if place.again and place.once:
            return Failure(
                code="unreachable",
                message="the node that owned the task is gone; its effect may have happened, and it runs only once",
                where=where,
                effect=Effect.MAYBE,
            )
        offering = self._view.agent_ring(place.agent).nodes
        if offering and self._view.too_small_for(place.payload).issuperset(offering):
            return Failure(
                code="payload_too_large",
                message=f"no node with {place.agent!r} takes {len(place.payload)} bytes: send a reference instead",
                where=where,
            )
        if len(self) >= _MOST_LIVE:
            return Failure(
                code="overloaded",
                message=f"this node owns {_MOST_LIVE} unfinished tasks already: try again later",
                where=where,
                retry_after_ms=_RETRY_AFTER_MS,
            )
        return None

    def _keep_for_a_while(self, now_ns: int, row: Row) -> None:
        """A finished row answers submissions that come again, within bounds of time, number and bytes."""
        told = (len(failure.message) + len(failure.detail) for failure in row.failures)
        size = len(row.result or b"") + sum(told)
        self._avoid.pop(row.task, None)
        self._ended.append((row.task, now_ns, size))
        self._ended_bytes += size
        while len(self._ended) > _KEPT_ROWS or self._ended_bytes > _KEPT_BYTES:
            self._forget_oldest()

    def _forget_old(self, now_ns: int) -> None:
        while self._ended and now_ns - self._ended[0][1] > _KEPT_NS:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        task, _, size = self._ended.popleft()
        self._ended_bytes -= size
        del self._rows[task]


def _cancelled(owner: str, row: Row) -> Failure:
    """What a gateway hears that asks for a task after all others have withdrawn it."""
    return Failure(
        code="cancelled",
        message="the task was withdrawn by who had submitted it",
        where=f"owner {owner}",
        effect=Effect.MAYBE if row.attempt else Effect.NONE,
    )
