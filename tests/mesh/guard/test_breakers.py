"""The breakers' rule, clause by clause."""

import random

import pytest

from hubless.guard import (
    BreakerConfig,
    Breakers,
    BreakerView,
    Cause,
    Evidence,
    Link,
    Moved,
    PeerAgent,
    Permit,
    PoolView,
    Refused,
    Scope,
    State,
)

S = 1_000_000_000
PEERS = ["a", "b", "c", "d"]


class Bench:
    """Breakers of node "me" with a clock in hand."""

    def __init__(self, peers: list[str] = PEERS, config: BreakerConfig | None = None) -> None:
        self.now = 0
        self.breakers = Breakers(rng=random.Random(7), config=config)
        self.breakers.watch(peers, {"echo": [*peers, "me"]})

    def permit(self, peer: str, agent: str = "echo") -> Permit:
        answer = self.breakers.allows(peer, agent, self.now)
        assert isinstance(answer, Permit), answer
        return answer

    def refusal(self, peer: str, agent: str = "echo") -> Refused:
        answer = self.breakers.allows(peer, agent, self.now)
        assert isinstance(answer, Refused), answer
        return answer

    def succeed(self, peer: str, times: int = 1, agent: str = "echo") -> list[Moved]:
        moves: list[Moved] = []
        for _ in range(times):
            moves += self.breakers.record_success(self.permit(peer, agent), self.now)
        return moves

    def fail(self, peer: str, times: int = 1, code: str = "unreachable", agent: str = "echo") -> list[Moved]:
        """Fails calls that were all sent before the first outcome."""
        moves: list[Moved] = []
        for permit in [self.permit(peer, agent) for _ in range(times)]:
            moves += self.breakers.record_failure(permit, code, self.now)
        return moves

    def tick(self, by_ns: int) -> list[Moved]:
        """Time passes, with a tick at every deadline on the way."""
        until = self.now + by_ns
        moves: list[Moved] = []
        while (due := self.breakers.next_deadline_ns()) is not None and due <= until:
            self.now = max(self.now, due)
            moves += self.breakers.tick(self.now)
        self.now = until
        return moves

    def view(self, scope: Scope) -> BreakerView:
        return next(view for view in self.breakers.snapshot(self.now) if view.scope == scope)

    def pool(self, agent: str = "") -> PoolView:
        return next(pool for pool in self.breakers.pools(self.now) if pool.agent == agent)


def states(moves: list[Moved]) -> list[tuple[Scope, State]]:
    return [(move.scope, move.state) for move in moves]


def opened_link(config: BreakerConfig | None = None) -> Bench:
    bench = Bench(config=config)
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    return bench


# -- opening by rate -------------------------------------------------------------------------------


def test_silence_opens_link_and_agent_scope_at_the_fifth_call() -> None:
    bench = Bench()
    assert bench.fail("a", 4) == []
    moves = bench.fail("a")
    assert states(moves) == [(Link("a"), State.OPEN), (PeerAgent("a", "echo"), State.OPEN)]
    assert {move.cause for move in moves} == {Cause.RATE}
    assert moves[0].reason == "5 of 5 calls failed"
    assert bench.refusal("a").scope == Link("a")


def test_an_agent_that_breaks_does_not_cost_the_link() -> None:
    bench = Bench()
    moves = bench.fail("a", 5, code="worker_died")
    assert states(moves) == [(PeerAgent("a", "echo"), State.OPEN)]
    assert bench.refusal("a").scope == PeerAgent("a", "echo")
    assert isinstance(bench.breakers.allows("a", "other", 0), Permit)
    assert bench.view(Link("a")).failures == 0
    assert bench.view(Link("a")).calls == 5


def test_the_bound_must_exceed_ten_points_and_not_the_rate_alone() -> None:
    """2 of 8 is 25 %, but its 99 % lower bound is 5.8 %; that of 3 of 9 is 10.03 %."""
    bench = Bench()
    bench.succeed("a", 6)
    assert bench.fail("a", 2) == []
    assert bench.view(Link("a")).wilson_bound == pytest.approx(0.058, abs=1e-3)
    assert states(bench.fail("a"))[0] == (Link("a"), State.OPEN)


def test_what_ails_the_whole_pool_opens_nobody() -> None:
    """Every peer fails half of its calls, in turn: the median follows, no bound gets ten points above it."""
    bench = Bench()
    moves: list[Moved] = []
    for _ in range(200):
        for peer in [*PEERS, "me"]:
            moves += bench.succeed(peer)
            moves += bench.fail(peer)
    assert not any(pool.panic for pool in bench.breakers.pools(0))
    assert moves == []
    assert bench.pool("echo").median_rate == pytest.approx(0.5)


def test_the_one_that_is_worse_than_an_ailing_pool_opens() -> None:
    bench = Bench()
    for _ in range(50):
        for peer in PEERS:
            bench.succeed(peer, 4)
            bench.fail(peer)
    assert bench.pool().median_rate == pytest.approx(0.2)
    moves = bench.fail("a", 100)
    assert (Link("a"), State.OPEN) in states(moves)


def test_old_failures_are_forgotten() -> None:
    bench = Bench()
    bench.fail("a", 4)
    bench.tick(10 * S)
    assert bench.fail("a", 4) == []
    assert bench.view(Link("a")).failures == 4


@pytest.mark.parametrize(
    "code", ["overloaded", "cancelled", "no_executor", "raised", "bad_output", "made_up_later"]
)
def test_what_is_not_the_peers_failure_never_opens(code: str) -> None:
    bench = Bench()
    assert bench.fail("a", 200, code=code) == []
    assert all(view.failures == 0 for view in bench.breakers.snapshot(0))


def test_a_dismissed_call_leaves_no_trace() -> None:
    bench = Bench()
    for _ in range(9):
        bench.breakers.record_dismissed(bench.permit("a"), 0)
    assert bench.breakers.snapshot(0) == ()


# -- calls in flight -------------------------------------------------------------------------------


def test_calls_past_their_deadline_count_as_failing_before_they_end() -> None:
    bench = Bench()
    permits = [bench.permit("a") for _ in range(5)]
    for permit in permits:
        bench.breakers.started(permit, 0, 3 * S)
    assert bench.tick(3 * S - 1) == []
    moves = bench.tick(S)
    assert states(moves)[:2] == [(Link("a"), State.OPEN), (PeerAgent("a", "echo"), State.OPEN)]
    assert bench.breakers.counters.overdue == 5
    assert bench.view(Link("a")).overdue == 5


def test_a_late_answer_takes_the_suspicion_back() -> None:
    bench = Bench()
    permits = [bench.permit("a") for _ in range(4)]
    for permit in permits:
        bench.breakers.started(permit, 0, S)
    bench.tick(2 * S)
    assert bench.view(Link("a")).failures == 4
    for permit in permits:
        bench.breakers.record_success(permit, bench.now)
    view = bench.view(Link("a"))
    assert (view.failures, view.overdue, view.calls) == (0, 0, 4)


def test_calls_far_older_than_usual_count_as_failing_long_before_their_deadline() -> None:
    bench = Bench()
    for _ in range(64):
        permit = bench.permit("a")
        bench.breakers.started(permit, bench.now, bench.now + 60 * S)
        bench.now += 1_000_000
        bench.breakers.record_success(permit, bench.now)
    bench.tick(10 * S)
    for _ in range(5):
        bench.breakers.started(bench.permit("a"), bench.now, bench.now + 60 * S)
    moves = bench.tick(S + 100_000_000)
    assert (PeerAgent("a", "echo"), State.OPEN) in states(moves)


def test_calls_from_before_a_breaker_closed_are_its_past() -> None:
    bench = Bench()
    hung = [bench.permit("a") for _ in range(20)]
    for permit in hung:
        bench.breakers.started(permit, 0, S)
    bench.tick(3 * S)
    assert bench.succeed("a") != []
    assert isinstance(bench.breakers.allows("a", "echo", bench.now), Permit)
    for permit in hung:
        assert bench.breakers.record_failure(permit, "unreachable", bench.now) == ()
    assert all(view.failures == 0 for view in bench.breakers.snapshot(bench.now))


def test_a_breaker_that_closed_starts_from_nothing() -> None:
    bench = Bench()
    before = [bench.permit("a") for _ in range(20)]
    bench.fail("a", 5)
    bench.tick(S)
    bench.succeed("a")
    for permit in before:
        assert bench.breakers.record_failure(permit, "unreachable", bench.now) == ()
    assert bench.fail("a", 4) == []
    assert [move.reason for move in bench.fail("a")] == ["5 of 5 calls failed"] * 2


def test_calls_from_before_it_closed_may_grow_old() -> None:
    bench = Bench()
    for _ in range(20):
        bench.breakers.started(bench.permit("a"), 0, 5 * S)
    bench.fail("a", 5)
    bench.tick(S)
    bench.succeed("a")
    assert bench.tick(9 * S) == []
    assert bench.breakers.counters.overdue == 20


# -- limits: share, last peer, panic ---------------------------------------------------------------


def test_hard_evidence_opens_a_link_at_once() -> None:
    for evidence in Evidence:
        bench = Bench()
        (move,) = bench.breakers.record_hard("a", evidence, 0)
        assert (move.cause, move.state, move.reason) == (Cause.HARD, State.OPEN, evidence.value)
        assert bench.refusal("a").state is State.OPEN


def test_the_last_peer_is_never_cut_off() -> None:
    bench = Bench(peers=["a"])
    assert bench.breakers.record_hard("a", Evidence.GONE, 0) == ()
    assert bench.breakers.counters.held_by_last == 1
    assert bench.view(Link("a")).held
    assert isinstance(bench.breakers.allows("a", "echo", 0), Permit)


def test_half_a_pool_may_go_but_not_more() -> None:
    bench = Bench()
    for peer in ("a", "b"):
        assert bench.breakers.record_hard(peer, Evidence.GONE, 0) != ()
    assert bench.pool().out == ("a", "b")
    assert not bench.pool().panic
    assert bench.breakers.record_hard("c", Evidence.GONE, 0) == ()
    assert bench.breakers.counters.held_by_share == 1


def test_more_than_half_suspect_is_panic_everybody_is_let_through_by_weight() -> None:
    bench = Bench()
    for peer in ("a", "b", "c"):
        bench.breakers.record_hard(peer, Evidence.GONE, 0)
    assert bench.pool().panic
    assert bench.pool().suspects == ("a", "b", "c")
    for peer in PEERS:
        assert not bench.permit(peer).probe
    weights = bench.breakers.weights("echo", 0)
    assert dict(weights) == {"a": 0.05, "b": 0.05, "c": 0.05}
    bench.breakers.record_hard("d", Evidence.GONE, 0)
    assert bench.breakers.counters.held_by_panic == 1


def test_panic_ends_when_the_evidence_is_old() -> None:
    bench = Bench(config=BreakerConfig(jitter=0.0))
    for peer in ("a", "b", "c"):
        bench.breakers.record_hard(peer, Evidence.GONE, 0)
    bench.tick(9 * S)
    assert bench.pool().panic
    bench.tick(2 * S)
    assert bench.pool().suspects == ("a", "b")
    assert not bench.pool().panic
    assert dict(bench.breakers.weights("echo", bench.now)) == {}


def test_a_held_breaker_opens_when_the_pool_can_spare_it() -> None:
    bench = Bench(peers=["a"])
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    bench.breakers.watch(["a", "b", "c"], {"echo": ["a", "b", "c"]})
    moves = bench.tick(S)
    assert states(moves) == [(Link("a"), State.OPEN)]


def test_an_open_link_and_a_broken_agent_elsewhere_leave_no_black_hole() -> None:
    """Each pool spares one of two, together they would leave the agent nobody: its own pool panics."""
    bench = Bench()
    bench.breakers.watch(PEERS, {"echo": ["a", "b"]})
    bench.fail("b", 12, code="worker_died")
    assert isinstance(bench.breakers.allows("b", "echo", 0), Refused)
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    assert bench.pool("echo").panic
    assert not bench.pool().panic
    assert isinstance(bench.breakers.allows("a", "echo", 0), Permit)
    assert isinstance(bench.breakers.allows("b", "echo", 0), Permit)
    assert isinstance(bench.breakers.allows("a", "other", 0), Refused)


def test_a_shrinking_pool_ends_in_panic_and_not_in_a_black_hole() -> None:
    bench = Bench()
    for peer in ("a", "b"):
        bench.breakers.record_hard(peer, Evidence.GONE, 0)
    bench.breakers.watch(["a", "b"], {"echo": ["a", "b"]})
    assert bench.pool().panic
    assert isinstance(bench.breakers.allows("a", "echo", 0), Permit)


def test_a_node_that_doubts_itself_opens_nothing_and_refuses_nobody() -> None:
    bench = opened_link()
    bench.breakers.distrust_self("own loop lags 900 ms")
    assert isinstance(bench.breakers.allows("a", "echo", 0), Permit)
    assert bench.fail("b", 50) == []
    assert 0.0 < bench.breakers.weights("echo", 0)["b"] <= 0.05
    bench.breakers.distrust_self("")
    assert isinstance(bench.breakers.allows("a", "echo", 0), Refused)
    assert (Link("b"), State.OPEN) in states(bench.tick(S))


def test_scopes_outside_every_pool_are_judged_but_never_open() -> None:
    bench = Bench()
    bench.breakers.watch([], {})
    assert bench.fail("a", 50) == []
    assert bench.breakers.record_hard("a", Evidence.GONE, 0) == ()
    assert bench.view(Link("a")).failures == 50


# -- waiting, probing, closing ---------------------------------------------------------------------


def test_after_its_wait_exactly_one_probe_goes_through_and_closes_on_success() -> None:
    bench = opened_link()
    assert states(bench.tick(S)) == [(Link("a"), State.HALF_OPEN)]
    probe = bench.permit("a")
    assert probe.probe
    for _ in range(3):
        assert bench.refusal("a").state is State.HALF_OPEN
    moves = bench.breakers.record_success(probe, bench.now)
    assert [(move.cause, move.state) for move in moves] == [(Cause.PROBE_SUCCEEDED, State.CLOSED)]
    assert not bench.permit("a").probe


def test_the_wait_is_jittered_below_its_bound_and_differs_between_nodes() -> None:
    waits = set()
    for seed in range(20):
        breakers = Breakers(rng=random.Random(seed))
        breakers.watch(PEERS, {})
        breakers.record_hard("a", Evidence.GONE, 0)
        due = breakers.next_deadline_ns()
        assert due is not None
        assert S // 2 <= due <= S
        waits.add(due)
    assert len(waits) == 20


def test_reopening_doubles_the_wait_up_to_its_bound() -> None:
    config = BreakerConfig(jitter=0.0, backoff_ns=S, backoff_max_ns=8 * S)
    bench = opened_link(config)
    waits = []
    for _ in range(6):
        due = bench.breakers.next_deadline_ns()
        assert due is not None
        waits.append((due - bench.now) // S)
        bench.tick(due - bench.now)
        assert states(bench.fail("a")) == [(Link("a"), State.OPEN)]
    assert waits == [1, 2, 4, 8, 8, 8]


def test_closing_for_a_moment_does_not_reset_the_wait_but_a_calm_time_does() -> None:
    config = BreakerConfig(jitter=0.0, backoff_ns=S, backoff_max_ns=8 * S)
    bench = opened_link(config)
    bench.tick(S)
    bench.succeed("a")
    bench.breakers.record_hard("a", Evidence.GONE, bench.now)
    assert bench.breakers.next_deadline_ns() == bench.now + 2 * S
    bench.tick(2 * S)
    bench.succeed("a")
    bench.now += 8 * S
    bench.breakers.record_hard("a", Evidence.GONE, bench.now)
    assert bench.breakers.next_deadline_ns() == bench.now + S


def test_a_probe_that_is_never_used_or_answered_loses_its_lease() -> None:
    bench = opened_link()
    bench.tick(S)
    probe = bench.permit("a")
    assert bench.breakers.next_deadline_ns() == probe.lease_until_ns
    assert S <= probe.lease_until_ns - bench.now <= 2 * S
    moves = bench.breakers.tick(probe.lease_until_ns)
    assert [(move.cause, move.state) for move in moves] == [(Cause.LEASE_EXPIRED, State.OPEN)]
    assert bench.breakers.record_success(probe, probe.lease_until_ns) == ()
    assert bench.refusal("a").state is State.OPEN


def test_a_probe_that_started_has_until_its_call_is_due() -> None:
    bench = opened_link()
    bench.tick(S)
    probe = bench.permit("a")
    bench.breakers.started(probe, bench.now, bench.now + 30 * S)
    assert bench.tick(29 * S) == []
    assert states(list(bench.breakers.record_success(probe, bench.now))) == [(Link("a"), State.CLOSED)]


def test_a_dismissed_probe_makes_way_for_the_next() -> None:
    bench = opened_link()
    bench.tick(S)
    assert bench.breakers.record_dismissed(bench.permit("a"), bench.now) == ()
    assert bench.permit("a").probe


def test_an_overloaded_probe_proves_the_link_but_not_the_agent() -> None:
    bench = Bench()
    bench.fail("a", 5)
    bench.tick(S)
    probe = bench.permit("a")
    moves = bench.breakers.record_failure(probe, "overloaded", bench.now)
    assert states(list(moves)) == [(Link("a"), State.CLOSED)]
    again = bench.permit("a")
    assert again.probe
    assert states(list(bench.breakers.record_success(again, bench.now))) == [
        (PeerAgent("a", "echo"), State.CLOSED)
    ]


def test_hard_evidence_while_probing_starts_the_wait_again() -> None:
    bench = opened_link()
    bench.tick(S)
    probe = bench.permit("a")
    (move,) = bench.breakers.record_hard("a", Evidence.REFUSED, bench.now)
    assert (move.previous, move.cause, move.state) == (State.HALF_OPEN, Cause.HARD, State.OPEN)
    assert bench.breakers.record_hard("a", Evidence.REFUSED, bench.now) == ()
    assert bench.breakers.record_success(probe, bench.now) == ()


def test_outcomes_of_ordinary_calls_do_not_move_a_breaker_that_waits() -> None:
    bench = Bench()
    permits = [bench.permit("a") for _ in range(3)]
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    assert bench.breakers.record_success(permits[0], 0) == ()
    bench.tick(S)
    assert bench.breakers.record_success(permits[1], bench.now) == ()
    assert bench.breakers.record_failure(permits[2], "unreachable", bench.now) == ()
    assert bench.view(Link("a")).state is State.HALF_OPEN


# -- coming, going, hearsay ------------------------------------------------------------------------


def test_leaving_and_coming_back_keeps_an_open_breaker() -> None:
    bench = opened_link()
    bench.breakers.watch(["b", "c", "d"], {})
    bench.breakers.watch(PEERS, {"echo": PEERS})
    assert bench.refusal("a").state is State.OPEN


def test_an_open_breaker_of_a_peer_that_stays_away_is_dropped_after_its_wait() -> None:
    bench = opened_link()
    bench.breakers.watch(["b", "c", "d"], {})
    assert bench.tick(S) == []
    assert bench.breakers.snapshot(bench.now) == ()
    assert bench.breakers.next_deadline_ns() is None


def test_leaving_and_coming_back_keeps_an_open_agent_scope() -> None:
    bench = Bench()
    bench.fail("a", 5, code="deadline")
    bench.breakers.watch(PEERS, {"echo": ["b", "c", "d"]})
    bench.breakers.watch(PEERS, {"echo": PEERS})
    assert bench.refusal("a").scope == PeerAgent("a", "echo")


def test_the_probe_of_a_forgotten_peer_closes_nothing() -> None:
    bench = opened_link()
    bench.tick(S)
    probe = bench.permit("a")
    bench.breakers.started(probe, bench.now, bench.now + 9 * S)
    bench.breakers.forget("a")
    assert bench.breakers.record_success(probe, bench.now) == ()
    assert bench.breakers.counters.closed == 0


@pytest.mark.parametrize("watched", [True, False])
def test_calls_to_a_process_that_ended_are_not_charged_to_the_next(watched: bool) -> None:
    bench = Bench()
    calls = [bench.permit("a") for _ in range(10)]
    for call in calls:
        if watched:
            bench.breakers.started(call, 0, 9 * S)
    bench.breakers.forget("a")
    bench.succeed("a")
    for call in calls:
        assert bench.breakers.record_failure(call, "unreachable", bench.now) == ()
    assert bench.view(Link("a")).failures == 0


def test_a_new_process_starts_with_a_clean_slate() -> None:
    bench = Bench()
    late = bench.permit("a")
    bench.fail("a", 5)
    bench.breakers.forget("a")
    assert not bench.permit("a").probe
    assert bench.breakers.record_failure(late, "unreachable", 0) == ()
    assert bench.pool().suspects == ()


def test_hints_lower_a_weight_for_a_while_and_open_nothing() -> None:
    bench = Bench()
    for _ in range(50):
        bench.breakers.hint("a", 0.0, 0)
    bench.breakers.hint("b", 0.5, 0)
    bench.breakers.hint("stranger", 0.1, 0)
    assert dict(bench.breakers.weights("echo", 0)) == {"a": 0.05, "b": 0.5}
    assert isinstance(bench.breakers.allows("a", "echo", 0), Permit)
    assert bench.breakers.snapshot(0) == ()
    assert dict(bench.breakers.weights("echo", 30 * S)) == {}
    with pytest.raises(ValueError, match="weight must be"):
        bench.breakers.hint("a", 1.5, 0)


def test_quiet_times_weigh_everybody_the_same() -> None:
    bench = Bench()
    bench.fail("a", 2)
    assert dict(bench.breakers.weights("echo", 0)) == {}
    assert dict(bench.breakers.weights("unheard of", 0)) == {}


def test_bounds_on_memory_let_calls_through_and_count_them() -> None:
    bench = Bench(config=BreakerConfig(max_scopes=2, max_flights=1))
    for peer in ("a", "b", "c"):
        permit = bench.permit(peer)
        bench.breakers.started(permit, 0, S)
        bench.breakers.record_failure(permit, "deadline", 0) if peer == "c" else None
    assert bench.breakers.counters.unjudged_calls == 1
    assert bench.breakers.counters.unwatched_calls == 1


def test_the_snapshot_lists_links_first_and_tells_what_is_known() -> None:
    bench = Bench(config=BreakerConfig(jitter=0.0))
    bench.succeed("b")
    bench.fail("a", 5, code="deadline")
    links, agents = bench.breakers.snapshot(0)[:2], bench.breakers.snapshot(0)[2:]
    assert [view.scope for view in links] == [Link("a"), Link("b")]
    assert [view.scope for view in agents] == [PeerAgent("a", "echo"), PeerAgent("b", "echo")]
    view = agents[0]
    assert (view.state, view.calls, view.failures, view.failure_rate) == (State.OPEN, 5, 5, 1.0)
    assert (view.since_ns, view.next_probe_ns, view.reason) == (0, S, "5 of 5 calls failed")
    assert view.wilson_bound == pytest.approx(5 / (5 + 2.3263478740408408**2))


def test_evidence_against_a_stranger_is_not_kept_for_later() -> None:
    bench = Bench(peers=["b", "c", "d"])
    assert bench.breakers.record_hard("a", Evidence.GONE, 0) == ()
    bench.breakers.watch(PEERS, {"echo": PEERS})
    assert bench.fail("a") == []
    assert bench.view(Link("a")).state is State.CLOSED


def test_a_peer_that_leaves_the_links_keeps_its_breakers_in_other_pools() -> None:
    bench = opened_link()
    bench.fail("b", 5, code="deadline")
    bench.breakers.record_hard("b", Evidence.GONE, 0)
    bench.breakers.watch(["c", "d"], {"echo": ["b", "c", "d"]})
    bench.tick(S)
    assert bench.view(PeerAgent("b", "echo")).state is State.HALF_OPEN
    assert bench.pool("echo").out == ("b",)


def test_forgetting_a_failing_peer_lowers_the_median_at_once() -> None:
    bench = Bench(config=BreakerConfig(min_calls=2))
    bench.fail("b", code="deadline")
    bench.fail("c", code="deadline")
    bench.fail("a", code="deadline")
    assert bench.fail("d", 2, code="deadline") == []
    for peer in ("b", "c"):
        bench.breakers.forget(peer)
    assert states(bench.fail("a", code="deadline")) == [(PeerAgent("a", "echo"), State.OPEN)]


def test_in_a_large_pool_the_worst_opens_and_a_common_failure_does_not() -> None:
    peers = [f"node-{i:03d}" for i in range(100)]
    bench = Bench(peers=peers)
    for peer in peers:
        bench.succeed(peer, 4)
        bench.fail(peer)
    for peer in peers:
        assert bench.fail(peer) == []
    assert (Link(peers[0]), State.OPEN) in states(bench.fail(peers[0], 30))
    assert bench.pool().out == (peers[0],)
