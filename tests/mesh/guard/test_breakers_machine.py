"""Breakers under arbitrary sequences of calls, outcomes, evidence, views and time.

The model only remembers what it was told by moves and permits; rates are taken from the snapshot and judged
again by plain arithmetic: Wilson's bound by bisection, the median by sorting.
"""

import random
import statistics
from math import sqrt

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hubless.guard import (
    CHARGES,
    TRANSITIONS,
    BreakerConfig,
    Breakers,
    Cause,
    Charge,
    Evidence,
    Link,
    Moved,
    PeerAgent,
    Permit,
    Refused,
    Scope,
    State,
)

S = 1_000_000_000
PEERS = ["a", "b", "c", "d", "e"]
AGENTS = ["echo", "parse"]
CONFIG = BreakerConfig(min_calls=2)
PEER = st.sampled_from([*PEERS, "me"])
AGENT = st.sampled_from(AGENTS)
Z = 2.3263478740408408


def bisected(failures: int, calls: int) -> float:
    if not failures:
        return 0.0
    rate = failures / calls
    low, high = 0.0, rate
    for _ in range(60):
        p = (low + high) / 2
        low, high = (p, high) if rate - p > Z * sqrt(p * (1 - p) / calls) else (low, p)
    return low


class BreakersMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.states: dict[Scope, State] = {}
        self.probes: dict[Scope, Permit] = {}
        self.calls: list[Permit] = []
        self.distrusted = False

    @initialize(seed=st.integers(0, 1000))
    def start(self, seed: int) -> None:
        self.breakers = Breakers(rng=random.Random(seed), config=CONFIG)
        self.watch(list(PEERS), {agent: [*PEERS, "me"] for agent in AGENTS})

    # -- the model -----------------------------------------------------------------------------------

    def state(self, scope: Scope) -> State:
        return self.states.get(scope, State.CLOSED)

    def pool(self, scope: Scope) -> list[str]:
        return self.peers if isinstance(scope, Link) else self.offers.get(scope.agent, [])

    def out(self, agent: str | None) -> set[str]:
        """Peers of a pool that are not closed, from the model's states."""
        peers = self.peers if agent is None else self.offers.get(agent, [])
        return {
            peer
            for peer in peers
            if self.state(Link(peer)) is not State.CLOSED
            or (agent is not None and self.state(PeerAgent(peer, agent)) is not State.CLOSED)
        }

    def panics(self) -> dict[str, bool]:
        return {pool.agent: pool.panic for pool in self.breakers.pools(self.now)}

    def follow(self, moves: tuple[Moved, ...], panics: dict[str, bool]) -> None:
        """Checks every move against table, pool and lease, and takes it over."""
        for move in moves:
            assert move.previous is self.state(move.scope)
            assert TRANSITIONS[move.previous][move.cause] is move.state
            self.states[move.scope] = move.state
            self.probes.pop(move.scope, None)
            if move.previous is not State.CLOSED:
                continue
            agent = move.scope.agent if isinstance(move.scope, PeerAgent) else None
            pool = self.pool(move.scope)
            assert move.scope.peer in pool
            assert len(self.out(agent)) <= 0.5 * len(pool)
            assert len(self.out(agent)) < len(pool)
            assert not panics[agent or ""]
            assert not self.distrusted

    def settle_departed(self) -> None:
        """Breakers outside every pool may have been dropped: believe the snapshot."""
        known = {view.scope: view.state for view in self.breakers.snapshot(self.now)}
        for scope in list(self.states):
            if scope.peer not in self.pool(scope):
                self.states[scope] = known.get(scope, State.CLOSED)
                if self.states[scope] is not State.HALF_OPEN:
                    self.probes.pop(scope, None)

    # -- calls ---------------------------------------------------------------------------------------

    def ask(self, peer: str, agent: str) -> Permit | Refused:
        scopes: tuple[Scope, ...] = (Link(peer), PeerAgent(peer, agent))
        panics = self.panics()
        answer = self.breakers.allows(peer, agent, self.now)
        waiting = [s for s in scopes if self.state(s) is State.HALF_OPEN and s not in self.probes]
        blocked = [s for s in scopes if self.state(s) is not State.CLOSED and s not in waiting]
        overridden = self.distrusted or (peer in self.offers.get(agent, []) and panics[agent])
        links_overridden = peer in self.peers and panics[""]
        blocking = [s for s in blocked if not overridden and not (links_overridden and isinstance(s, Link))]
        match answer:
            case Refused():
                assert answer.scope in blocking
                assert answer.state is self.state(answer.scope)
                assert answer.retry_at_ns >= self.now or self.breakers.next_deadline_ns() is not None
            case Permit():
                assert not blocking
                assert answer.probe == bool(waiting)
                for scope in waiting:
                    self.probes[scope] = answer
        return answer

    @rule(peer=PEER, agent=AGENT, deadline_s=st.sampled_from([None, 1, 5, 40]))
    def call(self, peer: str, agent: str, deadline_s: int | None) -> None:
        answer = self.ask(peer, agent)
        if isinstance(answer, Permit):
            self.calls.append(answer)
            if deadline_s is not None:
                self.breakers.started(answer, self.now, self.now + deadline_s * S)

    @rule(peer=PEER, agent=AGENT, times=st.integers(1, 12), code=st.sampled_from(sorted(CHARGES)))
    def burst_of_failures(self, peer: str, agent: str, times: int, code: str) -> None:
        permits = [self.ask(peer, agent) for _ in range(times)]
        for permit in permits:
            if isinstance(permit, Permit):
                self.end(permit, code)

    @rule(peer=PEER, agent=AGENT, times=st.integers(1, 12))
    def burst_of_successes(self, peer: str, agent: str, times: int) -> None:
        permits = [self.ask(peer, agent) for _ in range(times)]
        for permit in permits:
            if isinstance(permit, Permit):
                self.end(permit, None)

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 10_000), code=st.sampled_from([None, *sorted(CHARGES)]))
    def outcome(self, which: int, code: str | None) -> None:
        self.end(self.calls.pop(which % len(self.calls)), code)

    def end(self, permit: Permit, code: str | None) -> None:
        scopes: tuple[Scope, ...] = (Link(permit.peer), PeerAgent(permit.peer, permit.agent))
        charge = Charge.ANSWERED if code is None else CHARGES[code]
        charged = {Charge.LINK: scopes, Charge.AGENT: scopes[1:]}.get(charge, ())
        before = {view.scope: view for view in self.breakers.snapshot(self.now)}
        judged = [
            s
            for s in charged
            if permit.peer in self.pool(s) and self.state(s) is State.CLOSED
            and not (s in before and before[s].held)
        ]  # fmt: skip
        panics = self.panics()
        if code is None:
            moves = self.breakers.record_success(permit, self.now)
        else:
            moves = self.breakers.record_failure(permit, code, self.now)
        for move in moves:
            probe_moves = (Cause.PROBE_SUCCEEDED, Cause.PROBE_FAILED)
            if move.cause in probe_moves:
                assert self.probes[move.scope] == permit
            else:
                assert move.cause in (Cause.RATE, Cause.HARD)
                assert move.scope in charged
        self.follow(moves, panics)
        for scope in scopes:
            if self.probes.get(scope) == permit:
                del self.probes[scope]
        for scope in judged:
            self.check_rule(scope)

    def check_rule(self, scope: Scope) -> None:
        """A failure was just charged to a closed breaker: it is out or held if, and only if, the rule says so."""
        views = {view.scope: view for view in self.breakers.snapshot(self.now)}
        view = views.get(scope)
        if view is None:
            assert self.state(scope) is State.CLOSED
            return
        others: list[Scope] = [
            Link(peer) if isinstance(scope, Link) else PeerAgent(peer, scope.agent)
            for peer in self.pool(scope)
        ]
        median = statistics.median(views[s].failure_rate if s in views else 0.0 for s in others)
        excess = bisected(view.failures, view.calls) - CONFIG.margin - median
        if abs(excess) > 1e-9 and not view.reason.startswith("gone"):
            failing = view.calls >= CONFIG.min_calls and excess > 0
            assert (view.held or view.state is State.OPEN) == failing

    # -- everything else -----------------------------------------------------------------------------

    @rule(peer=st.sampled_from(PEERS), evidence=st.sampled_from(Evidence))
    def hard(self, peer: str, evidence: Evidence) -> None:
        panics = self.panics()
        before = self.state(Link(peer))
        moves = self.breakers.record_hard(peer, evidence, self.now)
        self.follow(moves, panics)
        assert len(moves) <= 1
        if before is State.HALF_OPEN:
            assert self.state(Link(peer)) is State.OPEN

    @rule(seconds=st.sampled_from([0.01, 0.3, 1, 1, 3, 12, 70]))
    def passes(self, seconds: float) -> None:
        until = self.now + int(seconds * S)
        while (due := self.breakers.next_deadline_ns()) is not None and due <= until:
            self.now = max(self.now, due)
            self.tick()
        self.now = until

    def tick(self) -> None:
        for move in self.breakers.tick(self.now):
            self.follow((move,), {"": False, **dict.fromkeys(AGENTS, False)})
        self.settle_departed()

    @rule(
        peers=st.lists(st.sampled_from(PEERS), unique=True),
        echo=st.lists(PEER, unique=True),
        parse=st.lists(PEER, unique=True),
    )
    def view_changes(self, peers: list[str], echo: list[str], parse: list[str]) -> None:
        self.watch(peers, {"echo": echo, "parse": parse})

    def watch(self, peers: list[str], offers: dict[str, list[str]]) -> None:
        self.peers, self.offers = peers, offers
        self.breakers.watch(peers, offers)
        self.settle_departed()

    @rule(peer=st.sampled_from(PEERS))
    def process_ended(self, peer: str) -> None:
        self.breakers.forget(peer)
        for scope in [scope for scope in self.states if scope.peer == peer]:
            del self.states[scope]
            self.probes.pop(scope, None)
        for scope in [scope for scope in self.probes if scope.peer == peer]:
            del self.probes[scope]

    @rule(doubt=st.booleans())
    def doubt(self, doubt: bool) -> None:
        self.distrusted = doubt
        self.breakers.distrust_self("loop lag" if doubt else "")

    @rule(peer=PEER, weight=st.floats(0, 1))
    def hearsay(self, peer: str, weight: float) -> None:
        self.breakers.hint(peer, weight, self.now)

    @rule(agent=AGENT)
    def whole_pool_is_asked(self, agent: str) -> None:
        """No black hole: somebody of a pool that has a member is always let through."""
        members = self.offers[agent]
        answers = [self.ask(peer, agent) for peer in members]
        assert not members or any(isinstance(answer, Permit) for answer in answers)

    # -- always --------------------------------------------------------------------------------------

    @invariant()
    def states_are_what_the_moves_said(self) -> None:
        if not hasattr(self, "breakers"):
            return
        shown = {
            view.scope: view.state
            for view in self.breakers.snapshot(self.now)
            if view.state is not State.CLOSED
        }
        assert shown == {s: state for s, state in self.states.items() if state is not State.CLOSED}

    @invariant()
    def pools_are_out_only_so_far_or_in_panic(self) -> None:
        if not hasattr(self, "breakers"):
            return
        for pool in self.breakers.pools(self.now):
            assert set(pool.out) == self.out(pool.agent or None)
            assert set(pool.out) <= set(pool.suspects)
            assert pool.panic == (self.distrusted or len(pool.suspects) > 0.5 * pool.peers)

    @invariant()
    def weights_stay_within_bounds(self) -> None:
        if not hasattr(self, "breakers"):
            return
        for agent in AGENTS:
            weights = self.breakers.weights(agent, self.now)
            assert set(weights) <= set(self.offers[agent])
            assert all(CONFIG.min_weight <= weight < 1.0 for weight in weights.values())

    def teardown(self) -> None:
        """When everything is told and time has passed, nothing wants to be woken any more."""
        if not hasattr(self, "breakers"):
            return
        self.distrusted = False
        self.breakers.distrust_self("")
        for permit in list(self.calls):
            self.end(permit, None)
        for _ in range(400):
            due = self.breakers.next_deadline_ns()
            if due is None:
                break
            self.now = max(self.now, due)
            self.tick()
        assert self.breakers.next_deadline_ns() is None
        assert all(view.overdue == 0 for view in self.breakers.snapshot(self.now))


TestBreakers = BreakersMachine.TestCase
TestBreakers.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
