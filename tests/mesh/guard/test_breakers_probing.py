"""How an open breaker waits, probes and closes; peers that come and go; what others are shown."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from hubless.guard import (
    BreakerConfig,
    Breakers,
    Cause,
    Evidence,
    Link,
    Moved,
    PeerAgent,
    Permit,
    Scope,
    State,
)

S = 1_000_000_000
PEERS = ["a", "b", "c", "d"]
BenchOf = Callable[..., Any]


def states(moves: list[Moved]) -> list[tuple[Scope, State]]:
    return [(move.scope, move.state) for move in moves]


# -- waiting, probing, closing ---------------------------------------------------------------------


def test_after_its_wait_exactly_one_probe_goes_through_and_closes_on_success(opened: Any) -> None:
    assert states(opened.tick(S)) == [(Link("a"), State.HALF_OPEN)]
    probe = opened.permit("a")
    assert probe.probe
    for _ in range(3):
        assert opened.refusal("a").state is State.HALF_OPEN
    moves = opened.breakers.record_success(probe, opened.now)
    assert [(move.cause, move.state) for move in moves] == [(Cause.PROBE_SUCCEEDED, State.CLOSED)]
    assert not opened.permit("a").probe


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


def test_reopening_doubles_the_wait_up_to_its_bound(bench_of: BenchOf) -> None:
    config = BreakerConfig(jitter=0.0, backoff_ns=S, backoff_max_ns=8 * S)
    bench = bench_of(config=config)
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    waits = []
    for _ in range(6):
        due = bench.breakers.next_deadline_ns()
        assert due is not None
        waits.append((due - bench.now) // S)
        bench.tick(due - bench.now)
        assert states(bench.fail("a")) == [(Link("a"), State.OPEN)]
    assert waits == [1, 2, 4, 8, 8, 8]


def test_closing_for_a_moment_does_not_reset_the_wait_but_a_calm_time_does(bench_of: BenchOf) -> None:
    config = BreakerConfig(jitter=0.0, backoff_ns=S, backoff_max_ns=8 * S)
    bench = bench_of(config=config)
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    bench.tick(S)
    bench.succeed("a")
    bench.breakers.record_hard("a", Evidence.GONE, bench.now)
    assert bench.breakers.next_deadline_ns() == bench.now + 2 * S
    bench.tick(2 * S)
    bench.succeed("a")
    bench.now += 8 * S
    bench.breakers.record_hard("a", Evidence.GONE, bench.now)
    assert bench.breakers.next_deadline_ns() == bench.now + S


def test_a_probe_that_is_never_used_or_answered_loses_its_lease(opened: Any) -> None:
    opened.tick(S)
    probe = opened.permit("a")
    assert opened.breakers.next_deadline_ns() == probe.lease_until_ns
    assert S <= probe.lease_until_ns - opened.now <= 2 * S
    moves = opened.breakers.tick(probe.lease_until_ns)
    assert [(move.cause, move.state) for move in moves] == [(Cause.LEASE_EXPIRED, State.OPEN)]
    assert opened.breakers.record_success(probe, probe.lease_until_ns) == ()
    assert opened.refusal("a").state is State.OPEN


def test_a_probe_that_started_has_until_its_call_is_due(opened: Any) -> None:
    opened.tick(S)
    probe = opened.permit("a")
    opened.breakers.started(probe, opened.now, opened.now + 30 * S)
    assert opened.tick(29 * S) == []
    assert states(list(opened.breakers.record_success(probe, opened.now))) == [(Link("a"), State.CLOSED)]


def test_a_dismissed_probe_makes_way_for_the_next(opened: Any) -> None:
    opened.tick(S)
    assert opened.breakers.record_dismissed(opened.permit("a"), opened.now) == ()
    assert opened.permit("a").probe


def test_an_overloaded_probe_proves_the_link_but_not_the_agent(bench_of: BenchOf) -> None:
    bench = bench_of()
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


def test_hard_evidence_while_probing_starts_the_wait_again(opened: Any) -> None:
    opened.tick(S)
    probe = opened.permit("a")
    (move,) = opened.breakers.record_hard("a", Evidence.REFUSED, opened.now)
    assert (move.previous, move.cause, move.state) == (State.HALF_OPEN, Cause.HARD, State.OPEN)
    assert opened.breakers.record_hard("a", Evidence.REFUSED, opened.now) == ()
    assert opened.breakers.record_success(probe, opened.now) == ()


def test_outcomes_of_ordinary_calls_do_not_move_a_breaker_that_waits(bench_of: BenchOf) -> None:
    bench = bench_of()
    permits = [bench.permit("a") for _ in range(3)]
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    assert bench.breakers.record_success(permits[0], 0) == ()
    bench.tick(S)
    assert bench.breakers.record_success(permits[1], bench.now) == ()
    assert bench.breakers.record_failure(permits[2], "unreachable", bench.now) == ()
    assert bench.view(Link("a")).state is State.HALF_OPEN


# -- coming, going, hearsay ------------------------------------------------------------------------


def test_leaving_and_coming_back_keeps_an_open_breaker(opened: Any) -> None:
    opened.breakers.watch(["b", "c", "d"], {})
    opened.breakers.watch(PEERS, {"echo": PEERS})
    assert opened.refusal("a").state is State.OPEN


def test_an_open_breaker_of_a_peer_that_stays_away_is_dropped_after_its_wait(opened: Any) -> None:
    opened.breakers.watch(["b", "c", "d"], {})
    assert opened.tick(S) == []
    assert opened.breakers.snapshot(opened.now) == ()
    assert opened.breakers.next_deadline_ns() is None


def test_leaving_and_coming_back_keeps_an_open_agent_scope(bench_of: BenchOf) -> None:
    bench = bench_of()
    bench.fail("a", 5, code="deadline")
    bench.breakers.watch(PEERS, {"echo": ["b", "c", "d"]})
    bench.breakers.watch(PEERS, {"echo": PEERS})
    assert bench.refusal("a").scope == PeerAgent("a", "echo")


def test_the_probe_of_a_forgotten_peer_closes_nothing(opened: Any) -> None:
    opened.tick(S)
    probe = opened.permit("a")
    opened.breakers.started(probe, opened.now, opened.now + 9 * S)
    opened.breakers.forget("a")
    assert opened.breakers.record_success(probe, opened.now) == ()
    assert opened.breakers.counters.closed == 0


@pytest.mark.parametrize("watched", [True, False])
def test_calls_to_a_process_that_ended_are_not_charged_to_the_next(bench_of: BenchOf, watched: bool) -> None:
    bench = bench_of()
    calls = [bench.permit("a") for _ in range(10)]
    for call in calls:
        if watched:
            bench.breakers.started(call, 0, 9 * S)
    bench.breakers.forget("a")
    bench.succeed("a")
    for call in calls:
        assert bench.breakers.record_failure(call, "unreachable", bench.now) == ()
    assert bench.view(Link("a")).failures == 0


def test_a_new_process_starts_with_a_clean_slate(bench_of: BenchOf) -> None:
    bench = bench_of()
    late = bench.permit("a")
    bench.fail("a", 5)
    bench.breakers.forget("a")
    assert not bench.permit("a").probe
    assert bench.breakers.record_failure(late, "unreachable", 0) == ()
    assert bench.pool().suspects == ()


def test_hints_lower_a_weight_for_a_while_and_open_nothing(bench_of: BenchOf) -> None:
    bench = bench_of()
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


def test_quiet_times_weigh_everybody_the_same(bench_of: BenchOf) -> None:
    bench = bench_of()
    bench.fail("a", 2)
    assert dict(bench.breakers.weights("echo", 0)) == {}
    assert dict(bench.breakers.weights("unheard of", 0)) == {}


def test_bounds_on_memory_let_calls_through_and_count_them(bench_of: BenchOf) -> None:
    bench = bench_of(config=BreakerConfig(max_scopes=2, max_flights=1))
    for peer in ("a", "b", "c"):
        permit = bench.permit(peer)
        bench.breakers.started(permit, 0, S)
        bench.breakers.record_failure(permit, "deadline", 0) if peer == "c" else None
    assert bench.breakers.counters.unjudged_calls == 1
    assert bench.breakers.counters.unwatched_calls == 1


def test_the_snapshot_lists_links_first_and_tells_what_is_known(bench_of: BenchOf) -> None:
    bench = bench_of(config=BreakerConfig(jitter=0.0))
    bench.succeed("b")
    bench.fail("a", 5, code="deadline")
    links, agents = bench.breakers.snapshot(0)[:2], bench.breakers.snapshot(0)[2:]
    assert [view.scope for view in links] == [Link("a"), Link("b")]
    assert [view.scope for view in agents] == [PeerAgent("a", "echo"), PeerAgent("b", "echo")]
    view = agents[0]
    assert (view.state, view.calls, view.failures, view.failure_rate) == (State.OPEN, 5, 5, 1.0)
    assert (view.since_ns, view.next_probe_ns, view.reason) == (0, S, "5 of 5 calls failed")
    assert view.wilson_bound == pytest.approx(5 / (5 + 2.3263478740408408**2))


def test_evidence_against_a_stranger_is_not_kept_for_later(bench_of: BenchOf) -> None:
    bench = bench_of(peers=["b", "c", "d"])
    assert bench.breakers.record_hard("a", Evidence.GONE, 0) == ()
    bench.breakers.watch(PEERS, {"echo": PEERS})
    assert bench.fail("a") == []
    assert bench.view(Link("a")).state is State.CLOSED


def test_a_peer_that_leaves_the_links_keeps_its_breakers_in_other_pools(opened: Any) -> None:
    opened.fail("b", 5, code="deadline")
    opened.breakers.record_hard("b", Evidence.GONE, 0)
    opened.breakers.watch(["c", "d"], {"echo": ["b", "c", "d"]})
    opened.tick(S)
    assert opened.view(PeerAgent("b", "echo")).state is State.HALF_OPEN
    assert opened.pool("echo").out == ("b",)


def test_forgetting_a_failing_peer_lowers_the_median_at_once(bench_of: BenchOf) -> None:
    bench = bench_of(config=BreakerConfig(min_calls=2))
    bench.fail("b", code="deadline")
    bench.fail("c", code="deadline")
    bench.fail("a", code="deadline")
    assert bench.fail("d", 2, code="deadline") == []
    for peer in ("b", "c"):
        bench.breakers.forget(peer)
    assert states(bench.fail("a", code="deadline")) == [(PeerAgent("a", "echo"), State.OPEN)]


def test_in_a_large_pool_the_worst_opens_and_a_common_failure_does_not(bench_of: BenchOf) -> None:
    peers = [f"node-{i:03d}" for i in range(100)]
    bench = bench_of(peers=peers)
    for peer in peers:
        bench.succeed(peer, 4)
        bench.fail(peer)
    for peer in peers:
        assert bench.fail(peer) == []
    assert (Link(peers[0]), State.OPEN) in states(bench.fail(peers[0], 30))
    assert bench.pool().out == (peers[0],)
