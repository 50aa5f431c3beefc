"""Rumours: retransmit limits, least-sent first, replacement, the bound."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_gossip.rumours import Rumours


def rumours(most: int = 100) -> Rumours:
    return Rumours(most=most, retransmit_mult=3.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2000), st.sampled_from([1.0, 2.0]))
def test_a_rumour_is_sent_lambda_log_n_times(live: int, factor: float) -> None:
    waiting = rumours()
    waiting.add(("x",), b"rumour", factor)
    sent = 0
    while waiting.take(1000, live):
        sent += 1
    assert sent == max(1, math.ceil(3.0 * math.log10(live + 1) * factor))
    assert len(waiting) == 0


def test_what_was_sent_least_goes_first() -> None:
    waiting = rumours()
    waiting.add(("old",), b"o" * 30)
    waiting.take(30, 1000)
    waiting.add(("new",), b"n" * 30)
    assert waiting.take(30, 1000) == [b"n" * 30]


def test_news_replaces_the_old_rumour_about_the_same_thing() -> None:
    waiting = rumours()
    waiting.add(("x",), b"suspect")
    waiting.add(("x",), b"alive")
    assert waiting.take(1000, 10) == [b"alive"]


def test_rumours_fit_the_room() -> None:
    waiting = rumours()
    for number in range(50):
        waiting.add((str(number),), bytes(40 + number))
    taken = waiting.take(500, 10)
    assert 0 < sum(map(len, taken)) <= 500


def test_beyond_the_bound_the_most_sent_one_is_dropped_and_counted() -> None:
    waiting = rumours(most=2)
    waiting.add(("a",), b"a" * 30)
    waiting.take(30, 1000)
    waiting.add(("b",), b"b" * 30)
    waiting.add(("c",), b"c" * 30)
    assert waiting.dropped == 1
    assert sorted(waiting.take(100, 1000)) == [b"b" * 30, b"c" * 30]
