"""What faults do to real processes: seen from the kernel, on processes that do nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from hubless.demo.processes import LocalMesh, local_mesh
from hubless_sim.faults import Crash, Pause, PowerCut, Restart, SlowNode, Starve
from hubless_sim.real.cells import Loopback
from hubless_sim.real.stage import RealNode, Stage
from hubless_sim.world.world import World

DEADLINE_S = 30.0
FAMILY = """
import subprocess, time
subprocess.Popen(["sleep", "60"])
print('{"event": "ready"}', flush=True)
time.sleep(60)
"""


class Idle(RealNode):
    """A node that does nothing, with a worker that does nothing."""

    def command(self, join: Any) -> list[str]:
        return [sys.executable, "-c", FAMILY]


@pytest.fixture
async def mesh() -> AsyncIterator[LocalMesh]:
    async with local_mesh(lambda _node, _event: None) as made:
        yield made


@pytest.fixture
async def stage(mesh: LocalMesh, tmp_path: Path) -> Stage:
    nodes = [Idle(f"n{index}", "", tmp_path / f"n{index}", "", index=index) for index in range(2)]
    made = Stage(
        nodes,
        clients=1,
        mesh=mesh,
        ground=Loopback(3),
        network=None,
        switch=None,
        say=lambda _text: None,
    )
    for index in range(2):
        made.start(index)
    for node in nodes:
        await node.wait_ready()
    return made


def pids(stage: Stage) -> dict[str, int]:
    """The process that each node runs now."""
    return {name: process for process, (name, _) in stage.boots.items() if state(process) not in ("", "Z")}


def state(process: int) -> str:
    """As the kernel has it: T is stopped, Z is dead; "" if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""


def worker(process: int) -> int:
    return int(Path(f"/proc/{process}/task/{process}/children").read_text().split()[0])


async def until(process: int, wanted: str) -> None:
    """Waits until the kernel says so."""
    with trio.fail_after(DEADLINE_S):
        while state(process) not in wanted:
            await trio.sleep(0.002)


def world(stage: Stage) -> World:
    return cast("World", stage)


async def test_a_pause_stops_a_node_with_its_workers_and_nobody_else(stage: Stage) -> None:
    first, second = pids(stage)["n0"], pids(stage)["n1"]
    end = Pause(at_ms=0, nodes=("n0",)).begin(world(stage))
    again = Pause(at_ms=0, nodes=("n0",)).begin(world(stage))
    await until(first, "T")
    await until(worker(first), "T")
    assert state(second) != "T"
    end()
    assert state(first) == "T", "another fault still holds it"
    again()
    await until(first, "SR")
    await until(worker(first), "SR")


async def test_a_slow_node_is_stopped_and_let_go_in_turns_until_the_fault_ends(stage: Stage) -> None:
    process = pids(stage)["n1"]
    end = SlowNode(at_ms=0, nodes=("n1",), factor=10).begin(world(stage))
    for _ in range(3):
        await until(process, "T")
        await until(process, "SR")
    end()
    assert stage.boots[process] == ("n1", 1)
    await until(process, "SR")


async def test_a_killed_node_starts_anew_under_its_name(stage: Stage) -> None:
    before = pids(stage)["n0"]
    Crash(at_ms=0, nodes=("n0",)).strike(world(stage))
    assert "n0" not in pids(stage)
    Restart(at_ms=0, nodes=("n0",)).strike(world(stage))
    after = pids(stage)["n0"]
    assert (stage.boots[before], stage.boots[after]) == (("n0", 1), ("n0", 2))


async def test_what_is_wiped_has_another_data_directory(stage: Stage, mesh: LocalMesh) -> None:
    node = cast("RealNode", mesh.nodes[0])
    before = node.journal
    Restart(at_ms=0, nodes=("n0",), wipe=True).strike(world(stage))
    assert node.journal != before
    assert node.is_running


async def test_a_power_cut_ends_all_at_once_and_they_start_when_it_is_over(stage: Stage) -> None:
    before = pids(stage)
    end = PowerCut(at_ms=0, nodes=("n0", "n1")).begin(world(stage))
    assert pids(stage) == {}
    end()
    assert pids(stage).keys() == before.keys()
    assert set(pids(stage).values()).isdisjoint(before.values())


async def test_a_stopped_node_can_be_killed_and_its_successor_runs(stage: Stage) -> None:
    end = Pause(at_ms=0, nodes=("n0",)).begin(world(stage))
    await until(pids(stage)["n0"], "T")
    Restart(at_ms=0, nodes=("n0",)).strike(world(stage))
    end()
    assert state(pids(stage)["n0"]) != "T"


async def test_faults_come_at_their_times(stage: Stage, nursery: trio.Nursery) -> None:
    process = pids(stage)["n1"]
    turns = Starve(at_ms=10, until_ms=10_000, nodes=("n1",), links_alive=False, blocked_ms=20, awake_ms=20)
    turns.impose(world(stage))
    assert state(process) != "T"
    nursery.start_soon(stage.run)
    for _ in range(2):
        await until(process, "T")
        await until(process, "SR")
    nursery.cancel_scope.cancel()
