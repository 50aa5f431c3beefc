"""Whole nodes that keep tasks, under faults of every kind: nothing accepted is lost or ends twice, and all lives on."""

import pytest

from hubless_sim.faults import MESH_KINDS
from hubless_sim.mesh.run import MeshRun
from hubless_sim.mesh.swarm import drawn_tape
from hubless_sim.search.sweep import swept, violations_of

STANDING = range(12)
LONG = 10_000
FOUND = (
    252,  # the clock of an owner was an hour behind; to the next one its results were past their retention
    662,  # a gateway that was cut off said that it had had no effect, which another gateway's submission had
    316,  # one worker, a task that hung in it, and a call behind it that had less time
    3097,  # two nodes each took the other for the owner, and a task went to and fro between them ever more often
    229,  # a new owner ordered an attempt again of a process that was gone, and the next one of that node ran it
    538,  # the same, of an agent that must start once at most
    5675,  # a task was cancelled while it ran and tried again, and then said to have had no effect
)
"""What 252 and 316 showed were wrong expectations, drawn more mildly since; the others were faults."""


SPARED = (257, 571, 730, 801, 1072)
"""Seeds in which a shard lost the disks of a majority, for it had fewer voters than it could have had: one whose
journal had failed was removed and not replaced, or it was on the way from one to three by two."""


@pytest.mark.parametrize("seed", SPARED)
def test_moves_of_replicas_cost_no_shard(seed: int) -> None:
    run = MeshRun(drawn_tape(seed))
    run.finish()
    assert (run.violations(), run.found()["lost_shards"]) == ([], [])


@pytest.mark.parametrize("seed", [*STANDING, *FOUND])
def test_the_standing_seeds_hold(seed: int) -> None:
    assert violations_of(seed, "mesh") == ()


@pytest.mark.long
def test_ten_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, "mesh") if violations}
    assert failed == {}


def test_the_seeds_draw_every_kind_of_fault() -> None:
    drawn = {fault.__struct_config__.tag for seed in range(300) for fault in drawn_tape(seed).faults}
    assert drawn == set(MESH_KINDS) - {"size_limit"}  # which frozen swarms draw


def test_the_seeds_ask_for_everything() -> None:
    """Clients hand in tasks, get receipts, submit again, cancel, look, and have the dead tried again."""
    runs = [MeshRun(drawn_tape(seed)) for seed in range(4)]
    for run in runs:
        run.finish()
    assert all(run.receipts and run.repeats for run in runs)
    answered = {run.queries[query].what for run in runs for query in run.replies}
    assert answered >= {"status", "cancel", "retry"}
