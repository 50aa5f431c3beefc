"""Chance is a pure function of its coordinates."""

import statistics

from hubless_sim.world.chance import UNIT, draw, mix, stream, tail_ns, threshold


def test_mix_is_splitmix64() -> None:
    # First outputs of splitmix64 seeded with 0, as published with its reference implementation.
    golden = 0x9E3779B97F4A7C15
    assert mix(golden) == 0xE220A8397B1DCDAF
    assert mix(2 * golden % 2**64) == 0x6E789E6AA1B965F4


def test_draws_of_one_stream_are_spread_evenly() -> None:
    key = stream(7, 0, 1, 2)
    hits = sum(draw(key, number) & (UNIT - 1) < threshold(0.1) for number in range(20_000))
    assert 1800 < hits < 2200


def test_neighbouring_streams_are_unrelated() -> None:
    one, other = stream(7, 0, 1, 2), stream(7, 0, 2, 1)
    agree = sum((draw(one, number) ^ draw(other, number)) & 1 == 0 for number in range(4000))
    assert 1800 < agree < 2200


def test_tail_has_its_mean_and_a_bound() -> None:
    delays = [tail_ns(1_000_000, bits) for bits in range(4096)]
    assert abs(statistics.mean(delays) - 1_000_000) < 10_000
    assert delays == sorted(delays)
    assert delays[-1] < 9.1 * 1_000_000
