"""What becomes of the work of nodes that are killed, stopped, or all killed at once, under steady load.

    python -m benchmarks.failover --nodes 5 --kills 50 --json

Durable tasks of 50 to 250 ms are submitted without a pause, and each is waited for. At a random moment a node drawn by
chance is killed (SIGKILL): it owns some tasks, executes others, is the gateway of yet others. Per task that ran on it,
the time from the kill until its next attempt starts elsewhere is measured, by the agent itself. Of all tasks that were
under way: from the end of their work, or the kill if that came later, until their answer was here. Every task is asked
for again afterwards: a result other than the one that was answered, or none, is a double commit or a loss.

Then the same with SIGSTOP; then all nodes are killed at once and started again.
"""

import argparse
import os
import random
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any

import trio

from benchmarks._local import conclude, started
from hubless import Mesh, MeshError, connect
from hubless.demo.processes import LocalMesh, LocalNode, local_mesh

BOUNDS = {
    "p99_ms": 300.0,
    "lost": 0,
    "double_committed": 0,
    "stopped_p99_ms": 1_000.0,
    "stopped_lost": 0,
    "outage_lost": 0,
}
BEFORE_S, AFTER_S, STOPPED_S = 0.7, 1.5, 3.0
WORK = Path(__file__).with_name("_work.py")


@dataclass
class Task:
    """One task as its caller saw it; times of CLOCK_MONOTONIC in ns."""

    ms: int
    accepted_ns: int = 0
    answered_ns: int = 0
    answer: str = ""
    problem: str = ""


@dataclass
class Load:
    """Callers who submit one task after the other."""

    rng: random.Random
    tasks: dict[str, Task] = field(default_factory=dict)
    refused: int = 0
    is_over: bool = False


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stops", type=int, default=10)
    parser.add_argument("--outages", type=int, default=3)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    conclude(trio.run(_measure, arguments), as_json=arguments.json)


async def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "starts"
        os.environ["HUBLESS_BENCHMARK_STARTS"] = str(lines)
        async with local_mesh(lambda _node, _event: None) as mesh:
            nodes = await started(mesh, Path(folder), arguments.nodes, WORK)
            async with connect(*(node.work for node in nodes)) as client:
                field_ = Field(mesh, nodes, client, lines, arguments.callers, rng)
                kills = await field_.rounds(arguments.kills, field_.kill)
                stops = await field_.rounds(arguments.stops, field_.stop)
                outages = await field_.rounds(arguments.outages, field_.outage)
    figures: dict[str, Any] = {
        "p50_ms": _percentile(kills.gaps_ms, 0.5),
        "p99_ms": _percentile(kills.gaps_ms, 0.99),
        "answered_p99_ms": _percentile(kills.waits_ms, 0.99),
        "lost": kills.lost,
        "double_committed": kills.doubled + stops.doubled + outages.doubled,
        "stopped_p99_ms": _percentile(stops.gaps_ms, 0.99),
        "stopped_lost": stops.lost,
        "outage_lost": outages.lost,
        "outage_answered_ms": _percentile(outages.waits_ms, 0.5),
    }
    return figures | {
        "met": {name: figures[name] <= bound for name, bound in BOUNDS.items()},
        "spread_ms": [min(kills.gaps_ms, default=0.0), max(kills.gaps_ms, default=0.0)],
        "stopped_spread_ms": [min(stops.gaps_ms, default=0.0), max(stops.gaps_ms, default=0.0)],
        "hit": len(kills.gaps_ms),
        "stopped_hit": len(stops.gaps_ms),
        "tasks": kills.tasks + stops.tasks + outages.tasks,
        "refused": kills.refused + stops.refused + outages.refused,
        "problems": kills.problems + stops.problems + outages.problems,
        "kills": arguments.kills,
        "stops": arguments.stops,
        "outages": arguments.outages,
        "nodes": arguments.nodes,
        "callers": arguments.callers,
    }


@dataclass
class Found:
    """What rounds of one kind have shown. `refused` tasks were never accepted, and say so."""

    gaps_ms: list[float] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)
    tasks: int = 0
    lost: int = 0
    doubled: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)


class Field:
    """The mesh under load, and what is done to it."""

    def __init__(
        self,
        mesh: LocalMesh,
        nodes: list[LocalNode],
        client: Mesh,
        lines: Path,
        callers: int,
        rng: random.Random,
    ) -> None:
        self._mesh = mesh
        self._nodes = nodes
        self._client = client
        self._lines = lines
        self._callers = callers
        self._rng = rng

    async def rounds(self, count: int, harm: Callable[[], Any]) -> Found:
        """So many rounds of load with one blow each."""
        found = Found()
        for _ in range(count):
            await self._client.settled()
            await self._round(harm, found)
        return found

    async def kill(self) -> tuple[int, set[int]]:
        """SIGKILL to a node; it is started again later. Returns when it was, and the processes that were hit."""
        victim = self._rng.choice(self._nodes)
        at_ns, process = monotonic_ns(), _pid(victim)
        victim.kill()
        self._later(AFTER_S, victim)
        return at_ns, {process}

    async def stop(self) -> tuple[int, set[int]]:
        """SIGSTOP to a node, with its workers; SIGCONT later."""
        victim = self._rng.choice(self._nodes)
        process = _pid(victim)
        family = [process, *_children(process)]
        at_ns = monotonic_ns()
        for member in family:
            os.kill(member, signal.SIGSTOP)
        self._mesh.nursery.start_soon(_continue, family)
        return at_ns, {process}

    async def outage(self) -> tuple[int, set[int]]:
        """SIGKILL to all nodes at once, which are started again at once."""
        at_ns = monotonic_ns()
        processes = {_pid(node) for node in self._nodes}
        for node in self._nodes:
            node.kill()
        for node in self._nodes:
            self._later(0.3, node)
        return at_ns, processes

    def _later(self, seconds: float, node: LocalNode) -> None:
        async def again() -> None:
            await trio.sleep(seconds)
            self._mesh.start(node, [other.work for other in self._nodes if other is not node][:2])

        self._mesh.nursery.start_soon(again)

    async def _round(self, harm: Callable[[], Any], found: Found) -> None:
        load = Load(self._rng)
        async with trio.open_nursery() as nursery:
            for _ in range(self._callers):
                nursery.start_soon(self._call, load)
            await trio.sleep(BEFORE_S + self._rng.random() * 0.2)
            at_ns, processes = await harm()
            await trio.sleep(AFTER_S)
            load.is_over = True
        for node in self._nodes:
            await node.wait_ready()
        await self._judge(load, at_ns, processes, found)

    async def _call(self, load: Load) -> None:
        while not load.is_over:
            task = Task(load.rng.randrange(50, 250))
            try:
                handle = await self._client.submit("work", task.ms, timeout=30)
            except MeshError:
                load.refused += 1
                await trio.sleep(0.01)
                continue
            load.tasks[handle.id] = task
            task.accepted_ns = monotonic_ns()
            try:
                task.answer = await handle.result(timeout=30)
            except MeshError as problem:
                task.problem = str(problem)
            task.answered_ns = monotonic_ns()

    async def _judge(self, load: Load, at_ns: int, processes: set[int], found: Found) -> None:
        starts: dict[str, list[tuple[int, int]]] = {}
        for line in self._lines.read_text().splitlines():
            task, _, process, start = line.split()
            starts.setdefault(task, []).append((int(start), int(process)))
        found.tasks += len(load.tasks)
        found.refused += load.refused
        for name, task in load.tasks.items():
            if task.problem:
                found.lost += 1
                found.problems.append(task.problem)
            elif (kept := await self._kept(name)) != task.answer:
                found.doubled += 1
                found.problems.append(f"{name} was answered {task.answer!r}, kept is {kept!r}")
            if not task.accepted_ns <= at_ns < task.answered_ns:
                continue
            runs = sorted(starts.get(name, []))
            after = [start for start, _ in runs if start > at_ns]
            hit = [start for start, process in runs if start <= at_ns and process in processes]
            was_at_work = bool(hit) and hit[-1] + task.ms * 1_000_000 > at_ns
            if hit and after:
                found.gaps_ms.append(round((after[0] - at_ns) / 1e6, 1))
            elif was_at_work:  # no other attempt was made: it went on after the stop
                found.gaps_ms.append(round((task.answered_ns - at_ns) / 1e6, 1))
            if runs:
                end_ns = max(at_ns, runs[-1][0] + task.ms * 1_000_000)
                found.waits_ms.append(round((task.answered_ns - end_ns) / 1e6, 1))

    async def _kept(self, task: str) -> str:
        for _ in range(100):
            with suppress(MeshError):
                return str(await self._client.result(task, timeout=5))
            await trio.sleep(0.05)
        return "nothing"


async def _continue(family: list[int]) -> None:
    await trio.sleep(STOPPED_S)
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGCONT)


def _pid(node: LocalNode) -> int:
    if node.process is None:
        raise SystemExit(f"{node.name} does not run")
    return node.process.pid


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in found]


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


if __name__ == "__main__":
    main()
