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


def begun(*accusers: str) -> Suspicions:
    running = Suspicions(CONFIG)
    running.begin(0, "x", accused(*accusers), 10)
    return running


def test_only_new_accusers_shorten_a_timer() -> None:
    running = begun("a")
    running.confirm(0, "x", accused("a"))
    assert running.next_ns() == 24 * S
    running.confirm(0, "x", accused("a", "b"))
    shorter = running.next_ns()
    assert shorter is not None and shorter < 24 * S
    running.confirm(0, "x", accused("a", "b"))
    assert running.next_ns() == shorter
    running.confirm(0, "x", accused("c", "d"))
    assert running.next_ns() == 4 * S


def test_accusers_that_were_only_merged_confirm_nothing_until_they_are_heard() -> None:
    running = begun("a")
    running.begin(S, "x", accused("a", "b", "c", "d"), 10)
    assert running.next_ns() == 24 * S
    running.confirm(0, "x", accused("e"))
    assert running.next_ns() == 14 * S
    running.confirm(0, "x", accused("b", "c"))
    assert running.next_ns() == 4 * S


def test_who_accused_first_confirms_nothing_however_it_became_known() -> None:
    running = begun("b")
    running.confirm(0, "x", accused("b"))
    assert running.next_ns() == 24 * S
    running = begun()
    running.confirm(0, "x", accused("a"))
    assert running.next_ns() == 24 * S
    running.confirm(0, "x", accused("b"))
    assert running.next_ns() == 14 * S


@pytest.mark.parametrize(
    "said",
    [
        accused("b", "c", "d", round_=1),
        Standing(1, 2, 0, Rank.SUSPECT, ("b", "c", "d")),
        Standing(2, 1, 0, Rank.SUSPECT, ("b", "c", "d")),
        Standing(1, 1, 0, Rank.DEAD, ("b", "c", "d")),
    ],
)
def test_what_is_said_of_another_suspicion_confirms_nothing(said: Standing) -> None:
    running = begun("a")
    running.confirm(0, "x", said)
    running.confirm(0, "nobody", said)
    assert running.next_ns() == 24 * S


def test_a_late_confirmation_leaves_a_refutation_that_waits_behind_it_time_to_be_read() -> None:
    running = begun("a")
    running.confirm(20 * S, "x", accused("b", "c", "d"))
    assert running.next_ns() == 20 * S + CONFIG.gossip_interval_ms * 1_000_000


def test_a_new_round_starts_anew() -> None:
    running = begun("a")
    running.confirm(0, "x", accused("b", "c", "d"))
    running.begin(3 * S, "x", accused("a", round_=1), 10)
    assert running.next_ns() == 27 * S


def test_expiry_names_each_node_once_and_a_cancelled_one_never() -> None:
    running = Suspicions(CONFIG)
    for node in "xyz":
        running.begin(0, node, accused("a"), 10)
    running.cancel("y")
    assert running.expired(23 * S) == []
    assert running.expired(24 * S) == ["x", "z"]
    assert running.expired(25 * S) == []


def test_a_prolonged_suspicion_runs_its_longest_time_again() -> None:
    running = begun("a")
    running.confirm(0, "x", accused("b", "c", "d"))
    assert running.expired(4 * S) == ["x"]
    assert running.prolong(4 * S, "x") == 1
    assert running.next_ns() == 28 * S


def test_who_was_heard_before_a_suspicion_was_prolonged_does_not_shorten_it_again() -> None:
    """A single further rumour once brought back all those who had confirmed the first time."""
    running = begun("a")
    running.confirm(0, "x", accused("b", "c", "d"))
    running.prolong(4 * S, "x")
    running.confirm(5 * S, "x", accused("a", "b", "c", "d"))
    assert running.next_ns() == 28 * S
    running.confirm(5 * S, "x", accused("e"))
    assert running.next_ns() == 18 * S


def test_a_repeated_accusation_does_not_hurry_a_decision_that_waits() -> None:
    running = begun("a")
    running.confirm(0, "x", accused("b"))
    running.stay(20 * S, "x", 5 * S)
    running.confirm(20 * S, "x", accused("b"))
    assert running.next_ns() == 25 * S
