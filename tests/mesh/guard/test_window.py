"""Sliding windows, learned latencies and the wheel of calls in flight, each against a plain list."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.guard.flights import Flights
from hubless.guard.window import Latencies, Window

STEPS = st.lists(st.tuples(st.sampled_from(["ok", "bad", "look"]), st.integers(0, 45)), max_size=60)


@given(STEPS, st.integers(1, 5))
def test_a_window_counts_what_the_last_buckets_hold(steps: list[tuple[str, int]], buckets: int) -> None:
    window = Window(width_ns=10, buckets=buckets, now_ns=7)
    now = 7
    seen: list[tuple[int, str]] = []
    for what, passed in steps:
        now += passed
        if what == "ok":
            window.succeeded(now)
        elif what == "bad":
            window.failed(now)
        else:
            window.advance(now)
        seen.append((now // 10, what))
        recent = [kind for bucket, kind in seen if bucket > now // 10 - buckets]
        assert (window.successes, window.failures) == (recent.count("ok"), recent.count("bad"))


def test_a_clock_that_lags_counts_into_the_newest_bucket() -> None:
    window = Window(width_ns=10, buckets=2, now_ns=100)
    window.failed(95)
    window.advance(119)
    assert window.failures == 1
    window.advance(120)
    assert window.failures == 0


def test_a_cleared_window_is_empty_and_goes_on() -> None:
    window = Window(width_ns=10, buckets=2, now_ns=0)
    window.failed(0)
    window.succeeded(0)
    window.clear()
    assert (window.successes, window.failures) == (0, 0)
    window.succeeded(5)
    window.advance(20)
    assert (window.successes, window.failures) == (0, 0)


@given(st.lists(st.integers(0, 10**12), min_size=64, max_size=64))
def test_the_age_limit_is_above_the_slowest_percent_and_within_a_factor_of_two(elapsed: list[int]) -> None:
    latencies = Latencies(factor=1.0, floor_ns=1)
    for value in elapsed[:-1]:
        latencies.add(value)
    assert latencies.limit_ns is None
    latencies.add(elapsed[-1])
    slowest = max(elapsed)
    assert latencies.limit_ns is not None
    assert slowest < latencies.limit_ns <= max(2 * slowest, 1024)


def test_rare_outliers_do_not_set_the_age_limit_and_the_floor_holds() -> None:
    latencies = Latencies(factor=4.0, floor_ns=1)
    for i in range(640):
        latencies.add(10**12 if i % 200 == 0 else 10**6)
    assert latencies.limit_ns is not None
    assert 4 * 10**6 <= latencies.limit_ns <= 8.4 * 10**6
    patient = Latencies(factor=4.0, floor_ns=10**9)
    for _ in range(64):
        patient.add(10**6)
    assert patient.limit_ns == 10**9


def test_old_habits_fade() -> None:
    latencies = Latencies(factor=1.0, floor_ns=1)
    for _ in range(2048):
        latencies.add(10**9)
    slow = latencies.limit_ns
    for _ in range(64 * 2048):
        latencies.add(10**6)
    assert slow is not None
    assert latencies.limit_ns is not None
    assert latencies.limit_ns < slow / 100


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 300)),
        st.tuples(st.just("finish"), st.integers(0, 40)),
        st.tuples(st.just("pass"), st.integers(0, 120)),
    ),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(ACTIONS)
def test_the_wheel_reports_each_old_call_once_when_its_rounded_time_has_come(
    actions: list[tuple[str, int]],
) -> None:
    flights: Flights[str] = Flights(granularity_ns=50, limit=8)
    now = 0
    due: dict[int, int] = {}
    reported: set[int] = set()
    for serial, (what, number) in enumerate(actions):
        if what == "start":
            kept = flights.started(serial, "owner", now, now + number)
            assert kept == (len(due) < 8)
            if kept:
                due[serial] = -(-(now + number) // 50) * 50
        elif what == "finish":
            flight = flights.finished(number)
            assert (flight is not None) == (number in due)
            if flight is not None:
                assert flight.serial == number
                assert flight.overdue == (number in reported)
            due.pop(number, None)
        else:
            now += number
            late = [flight.serial for flight in flights.overdue(now)]
            expected = {serial for serial, at in due.items() if at <= now} - reported
            assert set(late) == expected
            assert [due[serial] for serial in late] == sorted(due[serial] for serial in late)
            reported |= expected
        waiting = [at for serial, at in due.items() if serial not in reported]
        assert flights.next_due_ns() == min(waiting, default=None)
        assert len(flights) == len(due)
