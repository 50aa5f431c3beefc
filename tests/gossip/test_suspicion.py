"""Suspicion timers: Lifeguard section IV-B."""

from __future__ import annotations

import pytest

from hubless_gossip import GossipConfig
from hubless_gossip.claims import Rank, Standing
from hubless_gossip.suspicion import Suspicions, suspicion_bounds_ns, suspicion_timeout_ns

S = 1_000_000_000
CONFIG = GossipConfig.lan(suspicion_mult=4.0, suspicion_max_mult=6.0, confirmations=3)


def accused(*accusers: str, round_: int = 0) -> Standing:
    return Standing(1, 1, round_, Rank.SUSPECT, accusers, ())


def test_bounds_follow_the_formula() -> None:
    assert suspicion_bounds_ns(CONFIG, 10) == (4 * S, 24 * S)
    assert suspicion_bounds_ns(CONFIG, 1000) == (12 * S, 72 * S)
    assert suspicion_bounds_ns(CONFIG, 2) == (4 * S, 24 * S)


@pytest.mark.parametrize(
    ("confirmed", "seconds"),
    [(0, 30.0), (1, 2 + 28 * 0.5), (3, 2.0), (99, 2.0)],
)
def test_timeout_shrinks_logarithmically_to_the_minimum(confirmed: int, seconds: float) -> None:
    assert suspicion_timeout_ns(2 * S, 30 * S, 3, confirmed) == pytest.approx(seconds * S)


def test_nobody_to_confirm_means_the_minimum() -> None:
    assert suspicion_timeout_ns(2 * S, 30 * S, 0, 0) == 2 * S


def test_only_new_accusers_shorten_a_timer() -> None:
    running = Suspicions(CONFIG)
    running.hear(0, "x", accused("a"), 10, confirming=True)
    longest = running.next_ns()
    running.hear(0, "x", accused("a"), 10, confirming=True)
    assert running.next_ns() == longest == 24 * S
    running.hear(0, "x", accused("a", "b"), 10, confirming=True)
    shorter = running.next_ns()
    assert shorter is not None and shorter < 24 * S
    running.hear(0, "x", accused("a", "b", "c", "d"), 10, confirming=True)
    assert running.next_ns() == 4 * S


def test_a_merge_confirms_nothing() -> None:
    running = Suspicions(CONFIG)
    running.hear(0, "x", accused("a"), 10, confirming=True)
    running.hear(0, "x", accused("a", "b", "c", "d"), 10, confirming=False)
    assert running.next_ns() == 24 * S


def test_a_new_round_starts_anew() -> None:
    running = Suspicions(CONFIG)
    running.hear(0, "x", accused("a", "b", "c", "d"), 10, confirming=True)
    running.hear(3 * S, "x", accused("a", round_=1), 10, confirming=True)
    assert running.next_ns() == 27 * S


def test_expiry_names_each_node_once_and_a_cancelled_one_never() -> None:
    running = Suspicions(CONFIG)
    for node in "xyz":
        running.hear(0, node, accused("a"), 10, confirming=True)
    running.cancel("y")
    assert running.expired(23 * S) == []
    assert running.expired(24 * S) == ["x", "z"]
    assert running.expired(25 * S) == []


def test_a_prolonged_suspicion_runs_its_longest_time_again() -> None:
    running = Suspicions(CONFIG)
    running.hear(0, "x", accused("a", "b", "c", "d"), 10, confirming=True)
    assert running.expired(4 * S) == ["x"]
    assert running.prolong(4 * S, "x") == 1
    assert running.next_ns() == 28 * S
