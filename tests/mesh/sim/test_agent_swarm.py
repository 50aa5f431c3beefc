"""Whole nodes whose agents misbehave: tasks end once, wrong answers stay the agent's, who misbehaves is set aside."""

import pytest

from hubless_sim.faults import WORK_KINDS
from hubless_sim.mesh.agent_swarm import drawn_tape
from hubless_sim.mesh.run import MeshRun
from hubless_sim.search.sweep import swept, violations_of

LONG = 2_000


@pytest.mark.parametrize("seed", range(8, 12))
def test_the_standing_seeds_hold(seed: int) -> None:
    assert violations_of(seed, "agents") == ()


@pytest.mark.parametrize("seed", [12, 27])
def test_an_agent_that_is_set_aside_by_all_is_known_all_the_same(seed: int) -> None:
    codes = set(MeshRun(drawn_tape(seed)).finish().found["answers"])
    assert "quarantined" in codes
    assert "unknown_agent" not in codes


@pytest.mark.long
def test_two_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, "agents") if violations}
    assert failed == {}


def test_the_seeds_draw_every_kind_of_fault_of_agents() -> None:
    drawn = {fault.__struct_config__.tag for seed in range(60) for fault in drawn_tape(seed).faults}
    assert drawn == {*WORK_KINDS, "crash", "restart"}


def test_the_seeds_have_agents_set_aside_tasks_tried_again_and_answers_that_are_wrong() -> None:
    codes: set[str] = set()
    texts: list[str] = []
    misled = attempts = calls = 0
    for seed in (0, 8):
        run = MeshRun(drawn_tape(seed))
        result = run.finish()
        codes.update(result.found["answers"])
        texts += [text for _, _, text in run.log]
        misled += len(run.misled)
        attempts += result.found["attempts"]
        calls += len(run.calls)
    assert codes >= {"", "deadline", "bad_output", "raised"}
    assert any("set aside" in text for text in texts)
    assert misled > 0
    assert attempts > calls
