"""Wilson's bound against a second way to it: look for the rate that the sample is just barely compatible with."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubless.guard import wilson_lower

Z = 2.3263478740408408


def bisected(failures: int, calls: int) -> float:
    """The p below the sample's rate whose normal approximation puts the sample exactly z deviations away."""
    rate = failures / calls
    low, high = 0.0, rate
    for _ in range(100):
        p = (low + high) / 2
        if rate - p > Z * sqrt(p * (1 - p) / calls):
            low = p
        else:
            high = p
    return (low + high) / 2


SAMPLES = st.integers(1, 5_000).flatmap(lambda calls: st.tuples(st.integers(0, calls), st.just(calls)))


@given(SAMPLES)
def test_equals_the_bisected_bound(sample: tuple[int, int]) -> None:
    failures, calls = sample
    assert wilson_lower(failures, calls) == pytest.approx(bisected(failures, calls), abs=1e-9)


@given(SAMPLES)
def test_lies_below_the_rate_and_rises_with_every_failure(sample: tuple[int, int]) -> None:
    failures, calls = sample
    bound = wilson_lower(failures, calls)
    assert 0.0 <= bound <= failures / calls
    assert wilson_lower(failures + 1, calls + 1) > bound


@given(st.integers(1, 20), st.integers(2, 50))
def test_the_same_rate_weighs_more_in_a_larger_sample(failures: int, factor: int) -> None:
    assert wilson_lower(failures * factor, 2 * failures * factor) > wilson_lower(failures, 2 * failures)


def test_published_values() -> None:
    """One-sided 99 % is two-sided 98 %: all of n failed gives n / (n + z**2)."""
    assert wilson_lower(10, 10) == pytest.approx(10 / (10 + Z * Z))
    assert wilson_lower(0, 10) == 0.0
    assert wilson_lower(0, 0) == 0.0
    assert wilson_lower(3, 20, z=1.959964) == pytest.approx(0.0524, abs=5e-5)


@pytest.mark.parametrize(("failures", "calls"), [(-1, 3), (4, 3)])
def test_impossible_samples_are_refused(failures: int, calls: int) -> None:
    with pytest.raises(ValueError, match=r"failures must be 0\.\.calls"):
        wilson_lower(failures, calls)
