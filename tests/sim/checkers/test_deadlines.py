"""Contracts' deadlines: attempts that are killed in time are accepted, and one that runs on is found."""

import pytest

from hubless_agents import Assignment, GiveTask, KillWorker, SpawnWorker
from hubless_sim.checkers.deadlines import Overrun, overrun
from hubless_sim.mesh.scripted_pool import PoolProfile, ScriptedPool
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import Offering

MS = 1_000_000
PROFILE = PoolProfile(start_ns=1 * MS)
BEGIN_NS = 2 * MS
FIRST, SECOND = bytes(15) + b"1", bytes(15) + b"2"


def pool_with(*tasks: tuple[bytes, Script], concurrency: int = 1) -> ScriptedPool:
    """A worker of an agent that may take 100 ms has been given these tasks at BEGIN_NS."""
    contract = Offering(name="square", deadline_ms=100, concurrency=concurrency).to_contract()
    pool = ScriptedPool(seed=1, contracts=(contract,), profile=PROFILE)
    pool.perform(0, SpawnWorker(1))
    pool.due(BEGIN_NS)
    for give, (task, script) in enumerate(tasks, 1):
        assignment = Assignment(task, 1, "square", script.to_payload(), 10_000 * MS, ())
        pool.perform(BEGIN_NS, GiveTask(1, give, assignment, 10_000 * MS))
    return pool


def overdue(pool: ScriptedPool, after_ms: int) -> list[tuple[bytes, int]]:
    """What runs too long so long after BEGIN_NS, and for how many ms it does."""
    now_ns = BEGIN_NS + after_ms * MS
    pool.due(now_ns)
    return [(each.task, each.ran_ns // MS) for each in pool.overdue(now_ns)]


def test_an_attempt_has_its_contracts_time() -> None:
    pool = pool_with((FIRST, Script(1, ("hang",))))
    assert [overdue(pool, after_ms) for after_ms in (0, 50, 99)] == [[], [], []]
    assert overdue(pool, 100) == [(FIRST, 100)]


@pytest.mark.parametrize("script", [Script(1, ms=99.0), Script(1, ("raise",), ms=1.0), Script(1, ("crash",))])
def test_what_has_ended_does_not_run_too_long(script: Script) -> None:
    assert overdue(pool_with((FIRST, script)), 500) == []


def test_a_process_that_is_killed_runs_nothing() -> None:
    pool = pool_with((FIRST, Script(1, ("hang",))))
    pool.perform(BEGIN_NS + 100 * MS, KillWorker(1, "over its deadline"))
    assert overdue(pool, 100) == []


def test_the_time_of_a_task_in_line_begins_when_its_turn_comes() -> None:
    pool = pool_with((FIRST, Script(1, ms=90.0)), (SECOND, Script(2, ("hang",))))
    overdue(pool, 90)
    assert overdue(pool, 150) == []
    assert overdue(pool, 190) == [(SECOND, 100)]


def test_tasks_beside_each_other_have_their_time_each() -> None:
    pool = pool_with((FIRST, Script(1, ms=90.0)), (SECOND, Script(2, ("hang",))), concurrency=2)
    assert overdue(pool, 100) == [(SECOND, 100)]


def test_each_attempt_is_told_once() -> None:
    late, later = Overrun(FIRST, 1, "square", 100 * MS), Overrun(FIRST, 1, "square", 200 * MS)
    again = Overrun(FIRST, 2, "square", 100 * MS)
    found = list(overrun([(1, "n0", late), (2, "n0", later), (3, "n0", again), (4, "n1", late)]))
    assert [(each.at_ns, each.nodes) for each in found] == [(1, ("n0",)), (3, ("n0",)), (4, ("n1",))]
    assert {each.checker for each in found} == {"contracts' deadlines"}
    assert "has run on n0 for 100 ms" in found[0].text
    assert list(overrun([])) == []
