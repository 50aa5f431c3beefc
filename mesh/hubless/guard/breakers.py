"""All breakers of one node: who may be sent work, and who may be cut off. Local, and never by hearsay.

Rules:

* A scope opens by its failure rate or by hard evidence, and only while its pool can spare the peer: after adding
  it, at most `max_open_share` of the pool is out and somebody is left. Otherwise it is *held*: counted, closed.
* The pool of a link is all peers; the pool of (peer, agent) is the nodes that offer the agent. In an agent's pool
  a peer is out if its link or its (peer, agent) is not closed.
* More than `panic_share` of a pool suspect (out or held), or the node's own loop or link in doubt: *panic*. Nothing
  opens there, everybody is let through, and `weights` says how much.
* So a pool with a member always yields somebody: without panic at most half are out, with it nobody is.
* Half-open lets one leased permit through; only its outcome, or the end of its lease, moves the breaker.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from hubless.guard.breaker import Breaker, BreakerView, Moved
from hubless.guard.config import BreakerConfig
from hubless.guard.flights import Flight, Flights
from hubless.guard.permit import Permit, Refused, State
from hubless.guard.pools import Gate, Pool, Pools, PoolView
from hubless.guard.states import CHARGES, Cause, Charge, Evidence
from hubless_gossip.marks import sometimes

Moves = tuple[Moved, ...]
_NONE: Final[Moves] = ()


@dataclass(slots=True)
class BreakerCounters:
    """What happened since the start."""

    opened: int = 0
    reopened: int = 0
    closed: int = 0
    probes: int = 0
    leases_expired: int = 0
    hard_evidence: int = 0
    held_by_share: int = 0
    held_by_last: int = 0
    held_by_panic: int = 0
    refused: int = 0
    let_through_by_panic: int = 0
    overdue: int = 0
    unwatched_calls: int = 0
    unjudged_calls: int = 0
    hints: int = 0


class Breakers:
    """Breakers of the links to all peers and of every (peer, agent) that calls went to.

    `watch` must be told the pools: a scope outside any pool is judged but never opens. Every permit that is used
    is handed back once, with its outcome; one that is not used may be dropped.

    Args:
        rng: jitter of waits and leases.
    """

    def __init__(self, *, rng: random.Random, config: BreakerConfig | None = None) -> None:
        self._config = config or BreakerConfig()
        self._rng = rng
        self._serial = 0
        self._pools = Pools(self._config)
        self._flights: Flights[Gate] = Flights(
            granularity_ns=self._config.granularity_ns, limit=self._config.max_flights
        )
        self._timers: list[tuple[int, int, Breaker]] = []
        self._timer_count = 0
        self.counters = BreakerCounters()

    # -- what the node knows of its peers --------------------------------------------------------------

    def watch(self, peers: Iterable[str], offers: Mapping[str, Iterable[str]]) -> None:
        """The pools of this view, replacing the last: `peers` without this node, offering nodes per agent.

        Breakers of peers that left go with them, unless they are not closed: those are kept until their wait is
        over, so that leaving and coming back does not wash anybody clean.
        """
        self._pools.replace(peers, offers)

    def forget(self, peer: str) -> None:
        """A process that ended is not held against the one that follows it: all its breakers start anew."""
        self._pools.forget(peer)

    def distrust_self(self, reason: str) -> None:
        """This node's own loop lags or its own link is down: panic everywhere until told "" (well again)."""
        self._pools.distrust(reason)

    def hint(self, peer: str, weight: float, now_ns: int) -> None:
        """Gossip speaks ill of a peer: its weight is lowered to at least `min_weight` for a while. Opens nothing."""
        if not 0.0 <= weight <= 1.0:
            raise ValueError(f"weight must be in [0, 1], got {weight}")
        self.counters.hints += self._pools.hint(peer, weight, now_ns)

    # -- the hot path ----------------------------------------------------------------------------------

    def allows(self, peer: str, agent: str, now_ns: int) -> Permit | Refused:
        """A permit for one call of the agent on the peer, or which breaker refuses it until when."""
        gate = self._pools.gates.get((peer, agent))
        if gate is None:
            gate = self._pools.gate(peer, agent, now_ns, self._serial)
        self._serial += 1
        if gate is None:
            self.counters.unjudged_calls += 1
            return Permit(self._serial, peer, agent)
        if gate.link.state is State.CLOSED and gate.agent.state is State.CLOSED:
            return Permit(self._serial, peer, agent)
        return self._guarded(gate, peer, agent, now_ns)

    def started(self, permit: Permit, now_ns: int, deadline_ns: int) -> None:
        """The call went out; from its deadline, or a multiple of the usual latency, on it counts as failing."""
        gate = self._pools.gates.get((permit.peer, permit.agent))
        if gate is None:
            return
        limit_ns = gate.latencies.limit_ns
        due_ns = deadline_ns
        if limit_ns is not None and now_ns + limit_ns < deadline_ns:
            due_ns = now_ns + limit_ns
        if not self._flights.started(permit.serial, gate, now_ns, due_ns):
            self.counters.unwatched_calls += 1
        if permit.probe:
            for breaker in (gate.link, gate.agent):
                if breaker.lease_serial == permit.serial:
                    breaker.lease_until_ns = max(breaker.lease_until_ns, due_ns)
                    self._wake(breaker, breaker.lease_until_ns)

    def record_success(self, permit: Permit, now_ns: int) -> Moves:
        """The call was answered."""
        serial = permit.serial
        flight = self._flights.finished(serial)
        gate = flight.owner if flight is not None else self._pools.gates.get((permit.peer, permit.agent))
        if gate is None:
            return _NONE
        if flight is not None:
            gate.latencies.add(now_ns - flight.started_ns)
            if flight.overdue:
                _land(flight)
        link, agent = gate.link, gate.agent
        if serial > link.fresh_serial:
            link.window.succeeded(now_ns)
        if serial > agent.fresh_serial:
            agent.window.succeeded(now_ns)
        if not permit.probe:
            return _NONE
        moves = _NONE
        for breaker in (link, agent):
            if breaker.lease_serial == serial:
                moves += self._probe_told(breaker, True, now_ns, "")
        return moves

    # -- other outcomes --------------------------------------------------------------------------------

    def record_failure(self, permit: Permit, code: str, now_ns: int) -> Moves:
        """The call failed with a failure code; `CHARGES` says who pays for it."""
        charge = CHARGES.get(code, Charge.ANSWERED)
        if charge is Charge.ANSWERED:
            return self.record_success(permit, now_ns)
        flight = self._flights.finished(permit.serial)
        gate = flight.owner if flight is not None else self._pools.gates.get((permit.peer, permit.agent))
        if gate is None:
            return _NONE
        if flight is not None and flight.overdue:
            _land(flight)
        link: bool | None = {Charge.LINK: False, Charge.NOTHING: None}.get(charge, True)
        agent = False if charge in (Charge.LINK, Charge.AGENT) else None
        return self._told(gate.link, permit, link, now_ns, code) + self._told(
            gate.agent, permit, agent, now_ns, code
        )

    def record_dismissed(self, permit: Permit, now_ns: int) -> Moves:
        """The caller gave up before there was an outcome: nobody's failure."""
        return self.record_failure(permit, "cancelled", now_ns)

    def record_hard(self, peer: str, evidence: Evidence, now_ns: int) -> Moves:
        """One observation that is enough: the link opens, or starts its wait again if a probe was on its way."""
        self.counters.hard_evidence += 1
        link = self._pools.link(peer, now_ns, self._serial)
        if link is None or link.state is State.OPEN:
            return _NONE
        if link.state is State.HALF_OPEN:
            return self._move(link, Cause.HARD, now_ns, evidence.value)
        link.evidence = evidence
        link.evidence_ns = now_ns
        return self._judge(link, now_ns)

    # -- time ------------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> Moves:
        """Does what is due: waits that are over, leases that ended, old calls, held breakers to judge again."""
        moves: list[Moved] = []
        for flight in self._flights.overdue(now_ns):
            self.counters.overdue += 1
            sometimes("a call counted as failing for its age alone")
            for breaker in (flight.owner.link, flight.owner.agent):
                if flight.serial > breaker.fresh_serial:
                    breaker.overdue += 1
                    moves += self._judge(breaker, now_ns)
        while self._timers and self._timers[0][0] <= now_ns:
            due_ns, _, breaker = heappop(self._timers)
            if breaker.wake_ns == due_ns:
                breaker.wake_ns = None
                moves += self._woken(breaker, now_ns)
        return tuple(moves)

    def next_deadline_ns(self) -> int | None:
        """When `tick` is due; None if never."""
        while self._timers and self._timers[0][2].wake_ns != self._timers[0][0]:
            heappop(self._timers)
        flights_ns = self._flights.next_due_ns()
        if not self._timers:
            return flights_ns
        due_ns = self._timers[0][0]
        return due_ns if flights_ns is None else min(due_ns, flights_ns)

    # -- what others see -------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Permits of started calls that have not been handed back."""
        return len(self._flights)

    def weights(self, agent: str, now_ns: int) -> Mapping[str, float]:
        """Weights in (0, 1] of the agent's pool for routing; nodes left out have 1. Empty in quiet times."""
        return self._pools.weights(agent, now_ns)

    def snapshot(self, now_ns: int) -> tuple[BreakerView, ...]:
        """Every breaker that has anything to show, links first, then by peer and agent."""
        views = (breaker.view(now_ns) for breaker in self._pools.breakers())
        return tuple(view for view in views if view.calls or view.held or view.state is not State.CLOSED)

    def pools(self, now_ns: int) -> tuple[PoolView, ...]:
        """The pools, that of the links first."""
        return self._pools.views(now_ns)

    # -- inside ----------------------------------------------------------------------------------------

    def _guarded(self, gate: Gate, peer: str, agent: str, now_ns: int) -> Permit | Refused:
        """The slow path of `allows`: some breaker on the way is not closed."""
        probes: list[Breaker] = []
        for breaker in (gate.link, gate.agent):
            if breaker.state is State.HALF_OPEN and not breaker.lease_serial:
                probes.append(breaker)
            elif breaker.state is not State.CLOSED and not self._pools.lets_through(breaker.scope, agent):
                self.counters.refused += 1
                waits_for_ns = (
                    breaker.next_probe_ns if breaker.state is State.OPEN else breaker.lease_until_ns
                )
                return Refused(breaker.scope, breaker.state, waits_for_ns)
        if not probes:
            self.counters.let_through_by_panic += 1
            return Permit(self._serial, peer, agent)
        for breaker in probes:
            self.counters.probes += 1
            breaker.grant_lease(self._serial, now_ns, self._rng)
            self._wake(breaker, breaker.lease_until_ns)
        return Permit(self._serial, peer, agent, True, min(breaker.lease_until_ns for breaker in probes))

    def _told(self, breaker: Breaker, permit: Permit, answer: bool | None, now_ns: int, reason: str) -> Moves:
        """What an outcome says of one breaker: success, failure, or None, nothing."""
        if answer is not None and permit.serial > breaker.fresh_serial:
            if answer:
                breaker.window.succeeded(now_ns)
            else:
                breaker.window.failed(now_ns)
        if breaker.lease_serial == permit.serial:
            return self._probe_told(breaker, answer, now_ns, reason)
        return _NONE if answer is not False else self._judge(breaker, now_ns)

    def _probe_told(self, breaker: Breaker, answer: bool | None, now_ns: int, reason: str) -> Moves:
        if breaker.orphan:
            return _NONE
        if answer is None:
            sometimes("a half-open probe told nothing, and the next one may go")
            breaker.end_lease()
            breaker.wake_ns = None
            return _NONE
        if answer:
            sometimes("half-open probe succeeded")
            return self._move(breaker, Cause.PROBE_SUCCEEDED, now_ns, "probe answered")
        sometimes("half-open probe failed")
        return self._move(breaker, Cause.PROBE_FAILED, now_ns, f"probe failed: {reason}")

    def _woken(self, breaker: Breaker, now_ns: int) -> Moves:
        """A breaker's timer is due: its wait, its lease or its time of being held is over."""
        if breaker.orphan:
            return _NONE
        match breaker.state:
            case State.OPEN:
                if self._pools.drop_if_departed(breaker):
                    sometimes("a breaker went with its peer when its wait was over")
                    return _NONE
                return self._move(breaker, Cause.DUE, now_ns, "waits for a probe")
            case State.HALF_OPEN:
                self.counters.leases_expired += 1
                return self._move(breaker, Cause.LEASE_EXPIRED, now_ns, "probe's outcome never came")
            case State.CLOSED:
                return self._judge(breaker, now_ns)

    def _judge(self, breaker: Breaker, now_ns: int) -> Moves:
        """Opens a closed breaker if it fails and its pool can spare the peer; holds it if the pool cannot."""
        if breaker.state is not State.CLOSED or breaker.orphan or breaker.wake_ns is not None:
            return _NONE
        pool = self._pools.pool_of(breaker.scope)
        failing = pool is not None and self._is_failing(breaker, pool, now_ns)
        if pool is None or not failing:
            breaker.evidence = None
            if breaker.held:
                breaker.held = False
                self._pools.refresh(breaker.scope.peer)
            return _NONE
        hindrance = self._pools.hindrance(pool, breaker.scope.peer)
        if hindrance:
            self._hold(breaker, hindrance, now_ns)
            return _NONE
        if breaker.evidence is not None:
            sometimes("cut off a link that was refused")
            return self._move(breaker, Cause.HARD, now_ns, breaker.evidence.value)
        sometimes("cut off who failed more often than the others")
        failures, calls = breaker.tally(now_ns)
        return self._move(breaker, Cause.RATE, now_ns, f"{failures} of {calls} calls failed")

    def _is_failing(self, breaker: Breaker, pool: Pool, now_ns: int) -> bool:
        if breaker.evidence is not None and now_ns - breaker.evidence_ns < self._config.window_ns:
            return True
        breaker.evidence = None
        excess = breaker.excess(now_ns)
        return excess > 0.0 and self._pools.exceeds_median(pool, excess, now_ns)

    def _hold(self, breaker: Breaker, hindrance: str, now_ns: int) -> None:
        """It should open and may not: it counts as suspect, and is judged again when the window has moved."""
        if not breaker.held:
            match hindrance:
                case "panic":
                    sometimes("panic kept a breaker closed that should have opened")
                    self.counters.held_by_panic += 1
                case "last":
                    sometimes("the last of a pool was not cut off")
                    self.counters.held_by_last += 1
                case _:
                    sometimes("a pool could not spare one more that fails")
                    self.counters.held_by_share += 1
        breaker.held = True
        breaker.reason = f"held: {hindrance}"
        self._pools.refresh(breaker.scope.peer)
        self._wake(breaker, (now_ns // self._config.bucket_ns + 1) * self._config.bucket_ns)

    def _move(self, breaker: Breaker, cause: Cause, now_ns: int, reason: str) -> Moves:
        moved = breaker.move(cause, now_ns, self._rng, serial=self._serial, reason=reason)
        breaker.wake_ns = None
        if moved.state is State.CLOSED:
            self.counters.closed += 1
        elif moved.state is State.OPEN:
            if moved.previous is State.CLOSED:
                self.counters.opened += 1
            else:
                self.counters.reopened += 1
            self._wake(breaker, breaker.next_probe_ns)
        self._pools.refresh(breaker.scope.peer)
        return (moved,)

    def _wake(self, breaker: Breaker, at_ns: int) -> None:
        breaker.wake_ns = at_ns
        self._timer_count += 1
        heappush(self._timers, (at_ns, self._timer_count, breaker))


def _land(flight: Flight[Gate]) -> None:
    """A call that counted as failing because of its age has ended: its outcome counts instead."""
    for breaker in (flight.owner.link, flight.owner.agent):
        if flight.serial > breaker.fresh_serial:
            breaker.overdue -= 1
