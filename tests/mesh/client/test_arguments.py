"""Timeouts as users write them."""

from __future__ import annotations

import math

import pytest

from hubless.client.arguments import patience_ms

WEEK_MS = 7 * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [(None, None), (1.5, 1500), (1e-9, 1), (1e18, WEEK_MS), (math.inf, WEEK_MS), (10**400, WEEK_MS)],
)
def test_any_positive_timeout_is_a_number_of_milliseconds_that_a_mesh_takes(timeout, expected):
    assert patience_ms(timeout) == expected


@pytest.mark.parametrize("timeout", [0, -1, math.nan, -math.inf])
def test_what_is_no_patience_is_refused(timeout):
    with pytest.raises(ValueError, match="it must be positive"):
        patience_ms(timeout)
