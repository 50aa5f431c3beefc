"""What a test can do to its mesh, and what it then sees."""

import asyncio
import random

import pytest

from hubless import Context, TaskFailed, UnreachableError, agent
from hubless.placement import shard_of_key
from hubless_sim import SimulatedMesh
from hubless_sim.faults import Duplicate, StalledDisk


@agent(deadline_s=20)
async def works(n: int, ctx: Context) -> int:
    ctx.log(f"works on {n}")
    await asyncio.sleep(2)
    return n + 1


@agent(partition="run", deadline_s=5)
def counts(n: int) -> int:
    return n + 1


@agent(deadline_s=5)
def counts_here(n: int) -> int:
    return n + 1


def add_up(first: list[str], second: list[str]) -> list[str]:
    return sorted({*first, *second})


@agent(partition="run", merge=add_up, deadline_s=5)
def sells(name: str, ctx: Context) -> list[str]:
    return [f"{name} {random.randrange(10**9)}"]


@agent
def draws() -> float:
    return random.random()  # noqa: TID251 that is what the test is about


def test_work_of_a_node_that_is_killed_is_done_elsewhere() -> None:
    with SimulatedMesh(works) as mesh:
        call = mesh.begin("works", 1)
        mesh.advance(1)
        first = mesh.attempts()[0]
        mesh.kill(first.node)
        assert call.result() == 2
        second = mesh.attempts()[1]
        assert (second.task, second.attempt) == (first.task, 2)
        assert second.node != first.node
        watcher = next(name for name in mesh.running())
        assert mesh.members(watcher)[first.node] == "dead"
        mesh.restart(first.node)
        mesh.wait_until(lambda: mesh.members(watcher)[first.node] == "alive")


@pytest.mark.parametrize("tie", [{}, {"key": "k"}, {"idempotency_key": "k"}])
def test_calls_that_went_to_a_node_that_is_cut_off_come_back_by_another(tie: dict[str, str]) -> None:
    with SimulatedMesh(counts_here, nodes=5, shards=8) as mesh, mesh.cut(["n0"], ["n1", "n2", "n3", "n4"]):
        mesh.advance(1)
        named = [{name: f"{stem}{number}" for name, stem in tie.items()} for number in range(20)]
        calls = [mesh.begin("counts_here", n, timeout=15, **each) for n, each in enumerate(named)]
        assert [call.result() for call in calls] == list(range(1, 21))


def test_a_receipt_outlives_a_power_cut_of_all() -> None:
    with SimulatedMesh(works, nodes=3) as mesh:
        receipt = mesh.submit("works", 1)
        mesh.kill(*mesh.nodes, silent=True)
        mesh.advance(30)
        mesh.restart(*mesh.nodes)
        assert mesh.result(receipt.id) == 2
        assert [task.state for task in mesh.tasks()] == ["succeeded"]


def test_the_side_without_a_majority_does_not_accept_and_the_other_one_does() -> None:
    with SimulatedMesh(works, nodes=3, shards=1) as mesh:
        owner = mesh.owners()[0]
        others = [name for name in mesh.nodes if name != owner]
        cut_off = mesh.connect(owner)
        with mesh.cut([owner, cut_off.name], [*others, "client"]):
            mesh.advance(10)
            with pytest.raises(TaskFailed, match=r"expired|unreachable"):
                cut_off.submit("works", 1, timeout=5)
            assert mesh.call("works", 5, timeout=20) == 6
            assert mesh.owners()[0] in (*others, "")
        mesh.settle()
        assert cut_off.call("works", 7) == 8


def test_a_name_whose_shard_is_lost_stops_no_agent_that_may_go_on_alone() -> None:
    with SimulatedMesh([counts, works], nodes=5, shards=16) as mesh:
        mesh.kill("n3", "n4")
        mesh.advance(5)
        lost = {shard for shard, owner in mesh.owners().items() if not owner}
        assert 0 < len(lost) < 16
        keys = [f"order-{n}" for n in range(100) if shard_of_key(f"order-{n}", 16) in lost]
        assert mesh.call("counts", 1, idempotency_key=keys[0], timeout=10) == 2
        assert mesh.call("counts", 1, key=keys[1], timeout=10) == 2
        for named in ({"key": keys[2]}, {"idempotency_key": keys[3]}):
            before = mesh.now
            with pytest.raises(TaskFailed, match="no majority of shard"):
                mesh.call("works", 1, timeout=10, wait_for_quorum=False, **named)
            assert mesh.now - before < 1


def test_agents_that_may_go_on_alone_do() -> None:
    with SimulatedMesh(counts, nodes=3, shards=1) as mesh, mesh.cut([mesh.owners()[0], "client"]):
        reply = mesh.begin("counts", 1, timeout=30).reply()
        assert reply.value == 2
        assert reply.provisional


def test_what_both_sides_of_a_cut_came_to_is_merged() -> None:
    with SimulatedMesh(sells, nodes=3, shards=1) as mesh:
        alone = mesh.owners()[0]
        other = mesh.connect(alone)
        with mesh.cut([alone, other.name], [*(name for name in mesh.nodes if name != alone), "client"]):
            here = mesh.begin("sells", "ring", idempotency_key="sale-1", timeout=60)
            there = other.begin("sells", "ring", idempotency_key="sale-1", timeout=60)
            results = [*here.result(), *there.result()]
            assert len(set(results)) == 2
            assert [here.reply().provisional, there.reply().provisional] == [False, True]
        mesh.settle()
        mesh.wait_until(
            lambda: ("sells", sorted(results)) in [(task.agent, task.result) for task in mesh.tasks()]
        )
        assert mesh.call("sells", "ring", idempotency_key="sale-1") == sorted(results)


def test_a_client_that_reaches_nobody_is_told_so() -> None:
    with SimulatedMesh(works, nodes=3) as mesh:
        with mesh.isolate("client"), pytest.raises(UnreachableError, match="no node of the mesh answers"):
            mesh.call("works", 1)
        mesh.advance(5)
        assert mesh.call("works", 1) == 2


def test_a_pause_delays_and_loses_nothing() -> None:
    with SimulatedMesh(works, nodes=1) as mesh:
        call = mesh.begin("works", 1)
        mesh.advance(0.5)
        began = mesh.now
        with mesh.pause("n0"):
            mesh.advance(10)
            assert not call.is_done
        assert call.result() == 2
        assert mesh.now - began == pytest.approx(10, abs=0.5)


def test_lossy_slow_and_repeating_links_do_not_change_answers() -> None:
    with SimulatedMesh(works, nodes=3, workers=4) as mesh:
        mesh.lose(0.05)
        mesh.delay(0.02, jitter=0.02)
        mesh.slow("n1", factor=50)
        mesh.afflict(Duplicate(at_ms=0, rate=0.3))
        assert mesh.map("works", [1, 2, 3, 4, 5, 6]) == [2, 3, 4, 5, 6, 7]
        assert len(mesh.standing()) == 4
        mesh.heal()
        assert mesh.standing() == ()


def test_any_fault_of_the_simulator_can_come_at_its_time() -> None:
    with SimulatedMesh(works, nodes=1) as mesh:
        at_ms = round(mesh.now * 1000)
        mesh.impose(StalledDisk(at_ms=at_ms + 100, until_ms=at_ms + 4_100, nodes=("n0",)))
        mesh.advance(0.2)
        began = mesh.now
        mesh.submit("works", 1)
        assert mesh.now - began == pytest.approx(3.9, abs=0.1)


def test_a_node_that_leaves_hands_over() -> None:
    with SimulatedMesh(works) as mesh:
        mesh.leave("n2")
        mesh.wait_until(lambda: "n2" not in mesh.running())
        assert mesh.call("works", 1) == 2
        assert mesh.members()["n2"] == "left"


def test_what_agents_log_is_there_with_time_and_place() -> None:
    with SimulatedMesh(works, nodes=1) as mesh:
        mesh.call("works", 41)
        (line,) = mesh.log()
        assert line.text.endswith("works on 41")
        assert line.node == "n0"


def test_tasks_are_seen_as_their_shards_have_them() -> None:
    with SimulatedMesh(works, nodes=3) as mesh:
        receipt = mesh.submit("works", 1)
        assert receipt.status()["state"] in ("queued", "running")
        assert receipt.result() == 2
        (task,) = mesh.tasks()
        assert (task.id, task.agent, task.state, task.result, task.attempts) == (
            receipt.id,
            "works",
            "succeeded",
            2,
            1,
        )
        other = mesh.submit("works", 5)
        other.cancel()
        with pytest.raises(TaskFailed, match="cancelled"):
            other.result()


def test_one_name_is_one_task() -> None:
    with SimulatedMesh(works, nodes=3) as mesh:
        first = mesh.submit("works", 1, idempotency_key="once")
        assert mesh.connect("n1").submit("works", 1, idempotency_key="once").id == first.id
        assert mesh.result(first.id) == 2
        assert len(mesh.attempts()) == 1


def test_chance_within_agents_follows_from_the_seed_and_that_of_the_test_goes_on() -> None:
    def drawn(seed: int) -> float:
        with SimulatedMesh(draws, nodes=1, seed=seed) as mesh:
            return float(mesh.call("draws"))

    random.seed(5)  # noqa: TID251 the test's own chance
    expected = random.random()  # noqa: TID251
    random.seed(5)  # noqa: TID251
    assert drawn(1) == drawn(1) != drawn(2)
    assert random.random() == expected  # noqa: TID251


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda mesh: mesh.kill("n7"), "there is no node 'n7'; this mesh has n0 to n2"),
        (lambda mesh: mesh.cut(["n0"], ["n0", "n1"]), "n0 is on both sides"),
        (lambda mesh: mesh.lose(3), "rate is 3; it is a share"),
        (lambda mesh: mesh.slow("n0", factor=1), "factor is 1; it must be at least 2"),
        (lambda mesh: mesh.call("works", 1, timeout=0), "timeout is 0 s; it must be positive"),
    ],
)
def test_wrong_arguments_are_refused_in_words(wrong: object, text: str) -> None:
    with SimulatedMesh(works, nodes=3) as mesh, pytest.raises(ValueError, match=text):
        wrong(mesh)  # type: ignore[operator]


def test_a_mesh_that_cannot_be_is_refused_before_it_starts() -> None:
    with pytest.raises(ValueError, match="nodes is 0; choose from 1 to 200"):
        SimulatedMesh(works, nodes=0)
    with pytest.raises(ValueError, match="profile is 'loud'"):
        SimulatedMesh(works, profile="loud")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is no agent: decorate it"), SimulatedMesh(print):
        pass
    with pytest.raises(RuntimeError, match="the mesh is not up"):
        SimulatedMesh(works).call("works", 1)


def test_an_agent_that_nobody_has_is_refused() -> None:
    with SimulatedMesh(works, nodes=1) as mesh, pytest.raises(TaskFailed, match="unknown_agent"):
        mesh.call("rests", 1)
