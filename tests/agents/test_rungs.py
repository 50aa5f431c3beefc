"""Restart intensity, quarantine and the pause after failed starts."""

import random

import pytest

from hubless_agents import SupervisorConfig
from hubless_agents.rungs import Intensity, Standing, StartBackoff, doubled_ms
from hubless_agents.timers import Due, Timers

SECOND = 1_000_000_000


def intensity(**knobs):
    return Intensity(SupervisorConfig(max_kills=2, kill_window_s=10, **knobs), random.Random(1))


def test_one_kill_too_many_within_the_window():
    one = intensity()
    assert [one.kill(second * SECOND) for second in (0, 5, 10)] == [False, False, True]
    assert one.standing is Standing.QUARANTINED
    assert not one.allows(0)


def test_kills_outside_the_window_do_not_add_up():
    one = intensity()
    assert not any(one.kill(second * SECOND) for second in range(0, 100, 6))


def test_trial_lets_one_task_through_and_success_forgives():
    one = intensity()
    one.kill(0, at_once=True)
    one.expired()
    assert one.allows(0)
    assert not one.allows(1)
    assert one.survived()
    assert not one.survived()
    assert one.allows(5)
    assert not one.kill(one.until_ns)


def test_quarantines_double_up_to_the_limit():
    one = intensity(quarantine_base_ms=1_000, quarantine_max_ms=4_000)
    now_ns, pauses = 0, []
    for _ in range(5):
        assert one.kill(now_ns, at_once=True)
        pauses.append((one.until_ns - now_ns) / SECOND)
        now_ns = one.until_ns
        one.expired()
    assert pauses == sorted(pauses[:3]) + pauses[3:]
    for pause, nominal in zip(pauses, [1, 2, 4, 4, 4], strict=True):
        assert 0.8 * nominal <= pause <= 1.2 * nominal


def test_long_calm_makes_the_next_quarantine_short_again():
    one = intensity(quarantine_base_ms=1_000)
    for _ in range(4):
        one.kill(one.until_ns, at_once=True)
        one.expired()
    later_ns = one.until_ns + 101 * SECOND
    one.survived()
    one.kill(later_ns, at_once=True)
    assert one.until_ns - later_ns <= 1.2 * SECOND


def test_pause_after_failed_starts_doubles_and_is_forgotten():
    backoff = StartBackoff(SupervisorConfig(backoff_base_ms=100, backoff_max_ms=300), random.Random(1))
    pauses = []
    for _ in range(4):
        backoff.failed(0)
        pauses.append(backoff.not_before_ns / 1e6)
    for pause, nominal in zip(pauses, [100, 200, 300, 300], strict=True):
        assert 0.8 * nominal <= pause <= 1.2 * nominal
    backoff.worked()
    assert (backoff.consecutive, backoff.not_before_ns) == (0, 0)


def test_doubling_does_not_overflow():
    assert doubled_ms(1, 10_000, 5_000) == 5_000


def test_timers_pop_in_order_and_forget_what_was_moved():
    timers: Timers[Due] = Timers()
    spawn, start = Due("spawn"), Due("start", 1)
    timers.arm(spawn, 10)
    timers.arm(start, 5)
    timers.arm(spawn, 3)
    assert timers.next_ns() == 3
    assert timers.pop_due(2) is None
    assert timers.pop_due(7) == spawn
    timers.disarm(start)
    assert timers.pop_due(100) is None
    assert timers.next_ns() is None


def test_timers_survive_many_moves_of_few_keys():
    timers: Timers[Due] = Timers()
    for number in range(10_000):
        timers.arm(Due("start", number % 3), number)
    assert [timers.pop_due(20_000) for _ in range(4)] == [Due("start", n) for n in (1, 2, 0)] + [None]


@pytest.mark.parametrize(("knob", "value"), [("workers", 0), ("spares", -1), ("max_payload_bytes", 1)])
def test_knob_out_of_range_names_itself(knob, value):
    with pytest.raises(ValueError, match=f"{knob}={value}"):
        SupervisorConfig(**{knob: value})
