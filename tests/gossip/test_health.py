"""Local health and the clock of waking hours."""

from __future__ import annotations

from hubless_gossip.health import Health, WakingClock

MS = 1_000_000


def test_score_stays_within_bounds() -> None:
    health = Health(8)
    health.better()
    assert health.multiplier == 1
    health.worse(3)
    health.better()
    assert health.multiplier == 3
    health.worse(100)
    assert health.score == 8


def test_time_passes_as_usual_for_a_punctual_node() -> None:
    clock = WakingClock(tolerance_ns=50 * MS, grace_ns=100 * MS)
    assert clock.read(1000 * MS, 990 * MS) == (1000 * MS, 0)
    assert clock.read(2000 * MS, None) == (2000 * MS, 0)
    assert clock.read(1500 * MS, 1900 * MS) == (1500 * MS, 0)


def test_a_blocked_node_gets_its_time_back_and_a_grace() -> None:
    clock = WakingClock(tolerance_ns=50 * MS, grace_ns=100 * MS)
    waking, slept = clock.read(11_000 * MS, 1_000 * MS)
    assert slept == 10_000 * MS
    assert waking == 900 * MS
    assert clock.to_driver(waking + 100 * MS) == 11_100 * MS


def test_the_grace_is_no_longer_than_the_sleep() -> None:
    clock = WakingClock(tolerance_ns=50 * MS, grace_ns=100 * MS)
    assert clock.read(1060 * MS, 1000 * MS) == (940 * MS, 60 * MS)
