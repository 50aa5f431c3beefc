"""Tasks that run on both sides of a cut: what their shards wrote down first is what stays."""

import pytest

from hubless.tasks.row import State
from hubless_sim.faults import Crash, Partition, Restart
from hubless_sim.mesh import checks
from hubless_sim.mesh.apart_swarm import drawn_tape
from hubless_sim.mesh.run import MeshRun
from hubless_sim.search.sweep import swept, violations_of

LONG = 2_000


@pytest.mark.parametrize("seed", range(8))
def test_the_standing_seeds_hold(seed: int) -> None:
    assert violations_of(seed, "apart") == ()


@pytest.mark.long
def test_two_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, "apart") if violations}
    assert failed == {}


def test_the_seeds_draw_cuts_and_crashes_within_them() -> None:
    drawn = {type(fault) for seed in range(20) for fault in drawn_tape(seed).faults}
    assert drawn == {Partition, Crash, Restart}


def test_the_seeds_have_outcomes_come_to_shards_first_and_last() -> None:
    first = superseded = cancelled = provisional = 0
    for seed in range(6):
        run = MeshRun(drawn_tape(seed))
        run.finish()
        rows = checks.rows_of(run).values()
        first += sum(row.provisional_from != "" for row in rows)
        superseded += sum(len(row.superseded) for row in rows)
        cancelled += sum(row.state is State.CANCELLED and row.superseded != () for row in rows)
        provisional += sum(answer.provisional for _, answer in run.answers.values())
    assert min(first, superseded, cancelled, provisional) > 0
