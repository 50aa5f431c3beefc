"""An executor that never has room: it is asked, it refuses, and nobody holds that against it."""

import pytest

from hubless_sim.mesh.crowd_swarm import drawn_tape
from hubless_sim.mesh.run import MeshRun
from hubless_sim.search.sweep import swept, violations_of

LONG = 2_000


@pytest.mark.parametrize("seed", range(4))
def test_the_standing_seeds_hold(seed: int) -> None:
    assert violations_of(seed, "crowds") == ()


@pytest.mark.long
def test_two_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, "crowds") if violations}
    assert failed == {}


@pytest.mark.parametrize("seed", range(2))
def test_the_seeds_have_one_executor_refuse_many_calls_and_all_answered(seed: int) -> None:
    run = MeshRun(drawn_tape(seed))
    run.finish()
    (crowded,) = next(agent.nodes for agent in run.system.agents if agent.name == "long")
    refused = {
        name: sum(
            failure.code == "overloaded" and failure.where.startswith(f"{name}/")
            for shard in range(run.system.shards)
            for row in run.machine("n1", shard).rows.values()  # type: ignore[union-attr]
            for failure in row.failures
        )
        for name in run.running()
    }
    assert refused[crowded] >= 5
    assert refused[crowded] == max(refused.values())
    assert {answer.code for _, answer in run.answers.values()} == {""}
