"""An executor that fails fast: the owner of the tasks soon gives it probes alone, and the rule would see if not."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from hubless.guard import breakers as breakers_module
from hubless.guard.states import CHARGES, Charge
from hubless.tasks.row import Row, State
from hubless_agents import Failure
from hubless_sim.faults import AgentLeaks, Crash
from hubless_sim.mesh.black_holes import Attempt, Began, Process, black_holes, outcomes, until_ns
from hubless_sim.mesh.run import MeshRun
from hubless_sim.mesh.sink_swarm import drawn_tape
from hubless_sim.search.sweep import swept, violations_of
from hubless_sim.tapes.operations import Leave, Query

LONG = 2_000
MS = 1_000_000
OWNER, SINK, GOOD = Process("n0", 1), Process("n1", 1), Process("n2", 1)
TASK = bytes(16)


def attempt(at_ms: int, executor: Process, *, fails: bool = False, owner: Process = OWNER) -> Attempt:
    return Attempt(at_ms * MS, "square", owner, executor, fails, at_ms * MS)


def failing(times_ms: Sequence[int], executor: Process = SINK, owner: Process = OWNER) -> list[Attempt]:
    return [attempt(at_ms, executor, fails=True, owner=owner) for at_ms in times_ms]


WELL = [attempt(at_ms, GOOD) for at_ms in range(0, 20_000, 100)]
FIRST = failing(range(0, 600, 100))
"""Enough to see through who fails them."""
PROBES = failing([1_200, 2_300, 4_400, 8_500])
"""As a breaker makes them, at its soonest."""
SWALLOWED = failing(range(3_000, 5_000, 400))


def blamed(*attempts: Sequence[Attempt]) -> list[tuple[str, ...]]:
    found = list(black_holes(each for some in attempts for each in some))
    assert {each.checker for each in found} <= {"no black holes"}
    return [each.nodes for each in found]


def test_who_fails_all_may_have_its_first_attempts_and_probes() -> None:
    assert blamed(WELL, FIRST) == []
    assert blamed(WELL, FIRST, PROBES) == []
    assert blamed(WELL, failing(range(0, 1_400, 20))) == []  # what was ordered before it was known


def test_who_fails_all_and_is_given_more_is_named_once_with_who_gave_it() -> None:
    assert blamed(WELL, FIRST, SWALLOWED) == [("n0", "n1")]
    assert blamed(WELL, failing(range(0, 20_000, 100))) == [("n0", "n1")]


def test_bursts_after_each_wait_are_more_than_probes() -> None:
    bursts = [*range(2_500, 2_900, 50), *range(5_000, 5_400, 50)]
    assert blamed(WELL, FIRST, failing(bursts)) == [("n0", "n1")]


def test_a_probe_that_does_well_is_the_end_of_it_and_a_new_beginning() -> None:
    recovered = [attempt(at_ms, SINK) for at_ms in range(3_000, 9_000, 100)]
    assert blamed(WELL, FIRST, recovered) == []
    assert blamed(WELL, FIRST, [attempt(2_900, SINK)], SWALLOWED) == []
    assert blamed(WELL, FIRST, [attempt(2_900, SINK)], SWALLOWED, failing(range(5_000, 9_000, 100))) != []


def test_some_failures_among_many_that_go_well_are_nobodys_black_hole() -> None:
    before = [attempt(at_ms, SINK) for at_ms in range(0, 3_000, 50)]
    after = failing(range(3_000, 6_000, 300))
    assert blamed(WELL, before, after) == []


def test_when_others_fail_as_well_nobody_can_be_spared() -> None:
    assert blamed(WELL, FIRST, SWALLOWED, failing([2_000], Process("n3", 1))) == []
    assert blamed(WELL[:3], FIRST, SWALLOWED) == []
    assert blamed(FIRST, SWALLOWED) == []


def test_an_owner_is_judged_by_what_it_has_seen_itself() -> None:
    other = Process("n4", 1)
    well = [each._replace(owner=other) for each in WELL]
    assert blamed(WELL, well, FIRST, failing([3_000, 3_400, 3_800, 4_200], owner=other)) == []
    assert blamed(WELL, FIRST, [each._replace(executor=Process("n1", 2)) for each in SWALLOWED]) == []
    assert blamed(WELL, failing(range(0, 9_000, 100), OWNER)) == []  # nobody breaks the circuit to himself


def row(state: State, attempt: int, *codes: str) -> Row:
    failures = tuple(Failure(code=code, message="") for code in codes)  # type: ignore[arg-type]
    return Row(TASK, "square", "", b"", 0, 0, 3, state, attempt, failures=failures)


def told(kept: Row, attempt: int) -> list[bool]:
    began = Began(5, TASK, attempt, "square", OWNER, SINK)
    return [each.has_failed for each in outcomes([began], {TASK: kept}, {"square": 100})]


def test_what_came_of_an_attempt_is_read_off_its_tasks_row() -> None:
    kept = row(State.SUCCEEDED, 4, "worker_died", "bad_output", "out_of_memory")
    assert [told(kept, number) for number in (1, 2, 3, 4)] == [[True], [False], [True], [False]]
    assert told(row(State.FAILED, 1, "raised"), 1) == [False]
    (late,) = outcomes(
        [Began(5, TASK, 1, "square", OWNER, SINK)],
        {TASK: row(State.FAILED, 1, "deadline")},
        {"square": 100},
    )
    assert (late.has_failed, late.known_ns) == (True, 105)


def test_what_cannot_be_told_for_certain_is_left_out() -> None:
    kept = row(State.FAILED, 1, "worker_died")
    assert (
        list(outcomes([Began(5, bytes(15) + b"1", 1, "square", OWNER, SINK)], {TASK: kept}, {"square": 1}))
        == []
    )
    assert list(outcomes([Began(5, TASK, 1, "square:merge", OWNER, SINK)], {TASK: kept}, {"square": 1})) == []
    assert told(row(State.CANCELLED, 1), 1) == []
    assert told(replace(kept, retried=1), 1) == []
    assert told(row(State.EXPIRED, 0, "expired"), 1) == []


def test_the_rule_ends_where_breakers_may_forget() -> None:
    leak = AgentLeaks(at_ms=10, nodes=("n1",), mb=1)
    assert until_ns((leak,), ()) == float("inf")
    assert until_ns((leak, Crash(at_ms=30, nodes=("n1",))), ()) == 30 * MS
    assert until_ns((), (Leave(at_ms=20, nodes=("n1",)),)) == 20 * MS
    asked = [Query(at_ms=5, what="status", gateway="n1"), Query(at_ms=9, what="drain", gateway="n1")]
    assert until_ns((), asked) == 9 * MS


@pytest.mark.parametrize("seed", range(4))
def test_the_standing_seeds_hold(seed: int) -> None:
    assert violations_of(seed, "sinks") == ()


@pytest.mark.long
def test_two_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, "sinks") if violations}
    assert failed == {}


def test_in_the_seeds_an_executor_fails_and_is_cut_off_and_all_calls_are_answered() -> None:
    run = MeshRun(drawn_tape(0))
    run.finish()
    (sink,) = next(fault.nodes for fault in run.tape.faults if isinstance(fault, AgentLeaks))
    assert any(f"on {sink}" in text and "is open" in text for _, _, text in run.log)
    assert any(f"on {sink}" in text and "is closed" in text for _, _, text in run.log)
    assert {answer.code for _, answer in run.answers.values()} == {""}


def test_failures_that_are_charged_to_nobody_make_a_black_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers_module, "CHARGES", {**CHARGES, "out_of_memory": Charge.ANSWERED})
    run = MeshRun(drawn_tape(0))
    run.finish()
    assert [each.checker for each in run.violations()] == ["no black holes"]
