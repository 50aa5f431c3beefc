"""The wheel against a list of all that was added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubless.tasks.wheel import Wheel

WIDTH = 10


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=60))
def test_every_key_comes_back_once_neither_early_nor_more_than_a_width_late(plan: list) -> None:
    wheel: Wheel[int] = Wheel(width_ns=WIDTH)
    now = 0
    waiting: dict[int, int] = {}
    for key, (delay, step) in enumerate(plan):
        wheel.add(now + delay, key)
        waiting[key] = now + delay
        now += step
        for taken in wheel.take_due(now):
            assert waiting.pop(taken) <= now
        assert all(due > now - WIDTH for due in waiting.values())
    next_due = wheel.next_deadline_ns()
    assert (next_due is None) == (not waiting)
    if next_due is not None:
        assert min(waiting.values()) <= next_due < min(waiting.values()) + WIDTH


def test_a_width_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="width_ns is 0"):
        Wheel(width_ns=0)
