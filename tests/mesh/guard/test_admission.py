"""Bounded tasks in flight, reserved slots, and refusals that say when to come back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.guard import Admission, AdmissionConfig, Admitted, Overloaded


def test_the_bound_of_one_agent() -> None:
    admission = Admission(AdmissionConfig(total=10, per_agent=2))
    assert admission.admit("a") == admission.admit("a") == Admitted("a")
    refusal = admission.admit("a")
    assert isinstance(refusal, Overloaded)
    assert refusal.reason == "2 tasks of 'a' are in flight"
    assert isinstance(admission.admit("b"), Admitted)
    admission.finished("a")
    assert isinstance(admission.admit("a"), Admitted)


def test_the_bound_of_all() -> None:
    admission = Admission(AdmissionConfig(total=2, per_agent=2))
    assert isinstance(admission.admit("a"), Admitted)
    assert isinstance(admission.admit("b"), Admitted)
    refusal = admission.admit("c")
    assert isinstance(refusal, Overloaded)
    assert refusal.reason == "2 tasks are in flight"
    assert admission.counters.refused_total == 1
    assert admission.counters.refused_agent == 0


def test_reserved_slots_wait_for_their_agent() -> None:
    admission = Admission(AdmissionConfig(total=4, per_agent=4, reserved={"a": 2}))
    assert isinstance(admission.admit("b"), Admitted)
    assert isinstance(admission.admit("b"), Admitted)
    assert isinstance(admission.admit("b"), Overloaded)
    assert isinstance(admission.admit("a"), Admitted)
    assert isinstance(admission.admit("a"), Admitted)
    assert isinstance(admission.admit("a"), Overloaded)


def test_the_refused_are_sent_away_for_longer_and_longer_within_a_bound() -> None:
    config = AdmissionConfig(total=2, per_agent=2, retry_base_ms=100, retry_max_ms=250)
    admission = Admission(config)
    for _ in range(2):
        admission.admit("a")
    waits = [getattr(admission.admit("a"), "retry_after_ms", None) for _ in range(6)]
    assert waits == [100, 150, 200, 250, 250, 250]
    admission.finished("a")
    admission.admit("a")
    refusal = admission.admit("a")
    assert isinstance(refusal, Overloaded)
    assert refusal.retry_after_ms == 100


def test_finishing_what_never_began_is_refused() -> None:
    with pytest.raises(ValueError, match="pair each finished with an admit"):
        Admission().finished("a")


@pytest.mark.parametrize(
    ("settings_", "complaint"),
    [
        ({"total": 0}, "total must be"),
        ({"per_agent": 0}, "per_agent must be"),
        ({"retry_base_ms": 0}, "retry_base_ms must be"),
        ({"retry_max_ms": 1}, "retry_max_ms must be"),
        ({"reserved": {"a": -1}}, "reserved"),
        ({"per_agent": 3, "reserved": {"a": 4}}, "reserved"),
        ({"total": 3, "reserved": {"a": 2, "b": 2}}, "must fit into total 3"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings_: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        AdmissionConfig(**settings_)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=80),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_counts_like_a_plain_list_and_keeps_what_is_promised(
    steps: list[tuple[bool, str]], total: int, per_agent: int, for_a: int, for_b: int
) -> None:
    reserved = {"a": min(for_a, per_agent, total)}
    reserved["b"] = min(for_b, per_agent, total - reserved["a"])
    admission = Admission(AdmissionConfig(total=total, per_agent=per_agent, reserved=reserved))
    tasks: list[str] = []
    for comes, agent in steps:
        count = tasks.count(agent)
        if comes:
            kept_free = sum(max(0, reserved.get(other, 0) - tasks.count(other)) for other in "abc")
            fits = count < reserved.get(agent, 0) or len(tasks) + kept_free < total
            answer = admission.admit(agent)
            assert isinstance(answer, Admitted) == (fits and count < per_agent)
            if isinstance(answer, Admitted):
                tasks.append(agent)
        elif count:
            admission.finished(agent)
            tasks.remove(agent)
        assert admission.total == len(tasks) <= total
        assert all(admission.in_flight(name) == tasks.count(name) for name in "abc")
