"""The transition table, the charges and the configuration."""

from typing import get_args

import pytest

from hubless.guard import CHARGES, TRANSITIONS, BreakerConfig, Cause, Charge, State
from hubless_agents.failure import Code


def test_the_table_as_the_design_draws_it() -> None:
    drawn = {
        (before.value, cause.value, after.value)
        for before, moves in TRANSITIONS.items()
        for cause, after in moves.items()
    }
    assert drawn == {
        ("closed", "rate", "open"),
        ("closed", "hard", "open"),
        ("open", "due", "half_open"),
        ("half_open", "probe_succeeded", "closed"),
        ("half_open", "probe_failed", "open"),
        ("half_open", "lease_expired", "open"),
        ("half_open", "hard", "open"),
    }


def test_every_state_and_cause_is_used() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {cause for moves in TRANSITIONS.values() for cause in moves} == set(Cause)


def test_every_failure_code_is_charged_to_somebody() -> None:
    assert set(CHARGES) == set(get_args(Code))


def test_overload_and_cancellation_are_no_failures_and_bad_answers_not_the_peers() -> None:
    failures = {Charge.LINK, Charge.AGENT}
    for code in ("overloaded", "no_executor", "cancelled", "bad_output", "raised", "bad_input"):
        assert CHARGES[code] not in failures
    for code in ("unreachable", "expired", "deadline", "worker_died"):
        assert CHARGES[code] in failures


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window_ns", 0),
        ("backoff_ns", -1),
        ("lease_ns", 0),
        ("buckets", 0),
        ("min_calls", 0),
        ("max_flights", 0),
        ("margin", 1.0),
        ("jitter", -0.1),
        ("min_weight", 0.0),
        ("max_open_share", 1.0),
        ("panic_share", 0.4),
        ("backoff_max_ns", 5),
        ("age_factor", 0.5),
    ],
)
def test_knobs_that_cannot_work_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be .*got {value}"):
        BreakerConfig(**{field: value})


def test_more_buckets_than_nanoseconds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^buckets must be"):
        BreakerConfig(window_ns=5, buckets=6)
