"""A mesh that does not keep its promises fails the test that used it, and says how to see it again."""

import random

import pytest

from hubless import agent
from hubless_sim import MeshBrokenError, SimulatedMesh
from hubless_sim.zoo import planted


@agent
def draws() -> float:
    return random.random()  # noqa: TID251 another number each time


@agent
def adds_one(n: int) -> int:
    return n + 1


BUG = "starts-a-task-anew-when-it-comes-again"


def asks_twice(mesh: SimulatedMesh) -> None:
    mesh.kill("n1")
    mesh.advance(1)
    mesh.call("draws", idempotency_key="once")
    mesh.call("draws", idempotency_key="once")


def test_a_broken_promise_fails_the_test() -> None:
    mesh = SimulatedMesh(draws, nodes=3, seed=7)
    with pytest.raises(MeshBrokenError) as caught, planted(BUG), mesh:
        asks_twice(mesh)
    assert "linearizable" in {violation.checker for violation in caught.value.violations}
    first, *story, end, again = str(caught.value).splitlines()
    assert first.startswith("the mesh broke its promise")
    assert [line.split(" s  ")[1] for line in story if " s  " in line] == ["killed n1", "restarted n1"]
    assert f"seed 7, digest {mesh.digest[:16]}" in end
    assert again == "the same again: seed=7, or pytest --mesh-seed 7"


def test_who_does_not_want_to_know_is_not_told() -> None:
    with planted(BUG), SimulatedMesh(draws, nodes=3, check=False) as mesh:
        asks_twice(mesh)


def test_an_assertion_that_fails_has_the_story_as_a_note() -> None:
    with pytest.raises(AssertionError) as caught, SimulatedMesh(adds_one, nodes=3, seed=9) as mesh:
        mesh.kill("n2")
        assert mesh.call("adds_one", 1) == 3
    (note,) = caught.value.__notes__
    assert "killed n2" in note
    assert "seed 9" in note


def test_the_end_heals_what_the_test_broke_and_waits_for_calm() -> None:
    with SimulatedMesh(adds_one, nodes=3) as mesh:
        mesh.cut(["n0"], ["n1", "n2"])
        mesh.kill("n2")
        mesh.begin("adds_one", 1)
    assert mesh.standing() == ()
    assert mesh.running() == ["n0", "n1", "n2"]
    assert all(mesh.owners().values())
    assert [task.state for task in mesh.tasks()] == ["succeeded"]


def test_results_that_are_older_than_a_mesh_keeps_them_are_not_missed() -> None:
    with SimulatedMesh(adds_one, nodes=3, shards=1, profile="quiet") as mesh:
        receipt = mesh.submit("adds_one", 1)
        assert receipt.result() == 2
        mesh.advance(hours=1)
        assert mesh.call("adds_one", 5) == 6
        assert receipt.id not in [task.id for task in mesh.tasks()]
