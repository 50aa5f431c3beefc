"""When a breaker opens, and when its pool cannot spare the peer: the rule clause by clause."""

from collections.abc import Callable
from typing import Any

import pytest

from hubless.guard import (
    BreakerConfig,
    Cause,
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
PEERS = ["a", "b", "c", "d"]
BenchOf = Callable[..., Any]


def states(moves: list[Moved]) -> list[tuple[Scope, State]]:
    return [(move.scope, move.state) for move in moves]


# -- opening by rate -------------------------------------------------------------------------------


def test_silence_opens_link_and_agent_scope_at_the_fifth_call(bench_of: BenchOf) -> None:
    bench = bench_of()
    assert bench.fail("a", 4) == []
    moves = bench.fail("a")
    assert states(moves) == [(Link("a"), State.OPEN), (PeerAgent("a", "echo"), State.OPEN)]
    assert {move.cause for move in moves} == {Cause.RATE}
    assert moves[0].reason == "5 of 5 calls failed"
    assert bench.refusal("a").scope == Link("a")


def test_an_agent_that_breaks_does_not_cost_the_link(bench_of: BenchOf) -> None:
    bench = bench_of()
    moves = bench.fail("a", 5, code="worker_died")
    assert states(moves) == [(PeerAgent("a", "echo"), State.OPEN)]
    assert bench.refusal("a").scope == PeerAgent("a", "echo")
    assert isinstance(bench.breakers.allows("a", "other", 0), Permit)
    assert bench.view(Link("a")).failures == 0
    assert bench.view(Link("a")).calls == 5


def test_the_bound_must_exceed_ten_points_and_not_the_rate_alone(bench_of: BenchOf) -> None:
    """2 of 8 is 25 %, but its 99 % lower bound is 5.8 %; that of 3 of 9 is 10.03 %."""
    bench = bench_of()
    bench.succeed("a", 6)
    assert bench.fail("a", 2) == []
    assert bench.view(Link("a")).wilson_bound == pytest.approx(0.058, abs=1e-3)
    assert states(bench.fail("a"))[0] == (Link("a"), State.OPEN)


def test_what_ails_the_whole_pool_opens_nobody(bench_of: BenchOf) -> None:
    """Every peer fails half of its calls, in turn: the median follows, no bound gets ten points above it."""
    bench = bench_of()
    moves: list[Moved] = []
    for _ in range(200):
        for peer in [*PEERS, "me"]:
            moves += bench.succeed(peer)
            moves += bench.fail(peer)
    assert not any(pool.panic for pool in bench.breakers.pools(0))
    assert moves == []
    assert bench.pool("echo").median_rate == pytest.approx(0.5)


def test_the_one_that_is_worse_than_an_ailing_pool_opens(bench_of: BenchOf) -> None:
    bench = bench_of()
    for _ in range(50):
        for peer in PEERS:
            bench.succeed(peer, 4)
            bench.fail(peer)
    assert bench.pool().median_rate == pytest.approx(0.2)
    moves = bench.fail("a", 100)
    assert (Link("a"), State.OPEN) in states(moves)


def test_old_failures_are_forgotten(bench_of: BenchOf) -> None:
    bench = bench_of()
    bench.fail("a", 4)
    bench.tick(10 * S)
    assert bench.fail("a", 4) == []
    assert bench.view(Link("a")).failures == 4


@pytest.mark.parametrize(
    "code", ["overloaded", "cancelled", "no_executor", "raised", "bad_output", "made_up_later"]
)
def test_what_is_not_the_peers_failure_never_opens(bench_of: BenchOf, code: str) -> None:
    bench = bench_of()
    assert bench.fail("a", 200, code=code) == []
    assert all(view.failures == 0 for view in bench.breakers.snapshot(0))


def test_a_dismissed_call_leaves_no_trace(bench_of: BenchOf) -> None:
    bench = bench_of()
    for _ in range(9):
        bench.breakers.record_dismissed(bench.permit("a"), 0)
    assert bench.breakers.snapshot(0) == ()


# -- calls in flight -------------------------------------------------------------------------------


def test_calls_past_their_deadline_count_as_failing_before_they_end(bench_of: BenchOf) -> None:
    bench = bench_of()
    permits = [bench.permit("a") for _ in range(5)]
    for permit in permits:
        bench.breakers.started(permit, 0, 3 * S)
    assert bench.tick(3 * S - 1) == []
    moves = bench.tick(S)
    assert states(moves)[:2] == [(Link("a"), State.OPEN), (PeerAgent("a", "echo"), State.OPEN)]
    assert bench.breakers.counters.overdue == 5
    assert bench.view(Link("a")).overdue == 5


def test_a_late_answer_takes_the_suspicion_back(bench_of: BenchOf) -> None:
    bench = bench_of()
    permits = [bench.permit("a") for _ in range(4)]
    for permit in permits:
        bench.breakers.started(permit, 0, S)
    bench.tick(2 * S)
    assert bench.view(Link("a")).failures == 4
    for permit in permits:
        bench.breakers.record_success(permit, bench.now)
    view = bench.view(Link("a"))
    assert (view.failures, view.overdue, view.calls) == (0, 0, 4)


def test_calls_far_older_than_usual_count_as_failing_long_before_their_deadline(bench_of: BenchOf) -> None:
    bench = bench_of()
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


def test_calls_from_before_a_breaker_closed_are_its_past(bench_of: BenchOf) -> None:
    bench = bench_of()
    hung = [bench.permit("a") for _ in range(20)]
    for permit in hung:
        bench.breakers.started(permit, 0, S)
    bench.tick(3 * S)
    assert bench.succeed("a") != []
    assert isinstance(bench.breakers.allows("a", "echo", bench.now), Permit)
    for permit in hung:
        assert bench.breakers.record_failure(permit, "unreachable", bench.now) == ()
    assert all(view.failures == 0 for view in bench.breakers.snapshot(bench.now))


def test_a_breaker_that_closed_starts_from_nothing(bench_of: BenchOf) -> None:
    bench = bench_of()
    before = [bench.permit("a") for _ in range(20)]
    bench.fail("a", 5)
    bench.tick(S)
    bench.succeed("a")
    for permit in before:
        assert bench.breakers.record_failure(permit, "unreachable", bench.now) == ()
    assert bench.fail("a", 4) == []
    assert [move.reason for move in bench.fail("a")] == ["5 of 5 calls failed"] * 2


def test_calls_from_before_it_closed_may_grow_old(bench_of: BenchOf) -> None:
    bench = bench_of()
    for _ in range(20):
        bench.breakers.started(bench.permit("a"), 0, 5 * S)
    bench.fail("a", 5)
    bench.tick(S)
    bench.succeed("a")
    assert bench.tick(9 * S) == []
    assert bench.breakers.counters.overdue == 20


# -- limits: share, last peer, panic ---------------------------------------------------------------


def test_hard_evidence_opens_a_link_at_once(bench_of: BenchOf) -> None:
    for evidence in Evidence:
        bench = bench_of()
        (move,) = bench.breakers.record_hard("a", evidence, 0)
        assert (move.cause, move.state, move.reason) == (Cause.HARD, State.OPEN, evidence.value)
        assert bench.refusal("a").state is State.OPEN


def test_the_last_peer_is_never_cut_off(bench_of: BenchOf) -> None:
    bench = bench_of(peers=["a"])
    assert bench.breakers.record_hard("a", Evidence.GONE, 0) == ()
    assert bench.breakers.counters.held_by_last == 1
    assert bench.view(Link("a")).held
    assert isinstance(bench.breakers.allows("a", "echo", 0), Permit)


def test_half_a_pool_may_go_but_not_more(bench_of: BenchOf) -> None:
    bench = bench_of()
    for peer in ("a", "b"):
        assert bench.breakers.record_hard(peer, Evidence.GONE, 0) != ()
    assert bench.pool().out == ("a", "b")
    assert not bench.pool().panic
    assert bench.breakers.record_hard("c", Evidence.GONE, 0) == ()
    assert bench.breakers.counters.held_by_share == 1


def test_more_than_half_suspect_is_panic_everybody_is_let_through_by_weight(bench_of: BenchOf) -> None:
    bench = bench_of()
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


def test_panic_ends_when_the_evidence_is_old(bench_of: BenchOf) -> None:
    bench = bench_of(config=BreakerConfig(jitter=0.0))
    for peer in ("a", "b", "c"):
        bench.breakers.record_hard(peer, Evidence.GONE, 0)
    bench.tick(9 * S)
    assert bench.pool().panic
    bench.tick(2 * S)
    assert bench.pool().suspects == ("a", "b")
    assert not bench.pool().panic
    assert dict(bench.breakers.weights("echo", bench.now)) == {}


def test_a_held_breaker_opens_when_the_pool_can_spare_it(bench_of: BenchOf) -> None:
    bench = bench_of(peers=["a"])
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    bench.breakers.watch(["a", "b", "c"], {"echo": ["a", "b", "c"]})
    moves = bench.tick(S)
    assert states(moves) == [(Link("a"), State.OPEN)]


def test_an_open_link_and_a_broken_agent_elsewhere_leave_no_black_hole(bench_of: BenchOf) -> None:
    """Each pool spares one of two, together they would leave the agent nobody: its own pool panics."""
    bench = bench_of()
    bench.breakers.watch(PEERS, {"echo": ["a", "b"]})
    bench.fail("b", 12, code="worker_died")
    assert isinstance(bench.breakers.allows("b", "echo", 0), Refused)
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    assert bench.pool("echo").panic
    assert not bench.pool().panic
    assert isinstance(bench.breakers.allows("a", "echo", 0), Permit)
    assert isinstance(bench.breakers.allows("b", "echo", 0), Permit)
    assert isinstance(bench.breakers.allows("a", "other", 0), Refused)


def test_a_shrinking_pool_ends_in_panic_and_not_in_a_black_hole(bench_of: BenchOf) -> None:
    bench = bench_of()
    for peer in ("a", "b"):
        bench.breakers.record_hard(peer, Evidence.GONE, 0)
    bench.breakers.watch(["a", "b"], {"echo": ["a", "b"]})
    assert bench.pool().panic
    assert isinstance(bench.breakers.allows("a", "echo", 0), Permit)


def test_a_node_that_doubts_itself_opens_nothing_and_refuses_nobody(opened: Any) -> None:
    opened.breakers.distrust_self("own loop lags 900 ms")
    assert isinstance(opened.breakers.allows("a", "echo", 0), Permit)
    assert opened.fail("b", 50) == []
    assert 0.0 < opened.breakers.weights("echo", 0)["b"] <= 0.05
    opened.breakers.distrust_self("")
    assert isinstance(opened.breakers.allows("a", "echo", 0), Refused)
    assert (Link("b"), State.OPEN) in states(opened.tick(S))


def test_scopes_outside_every_pool_are_judged_but_never_open(bench_of: BenchOf) -> None:
    bench = bench_of()
    bench.breakers.watch([], {})
    assert bench.fail("a", 50) == []
    assert bench.breakers.record_hard("a", Evidence.GONE, 0) == ()
    assert bench.view(Link("a")).failures == 50
