"""What callers notice of a killed node: the slowest call around each kill, under steady load.

    python -m benchmarks.failover --nodes 5 --kills 20 --json

Callers in this process call an echo agent again and again, over all nodes. A node drawn by chance is killed with
SIGKILL, and what is reported is, per kill, the longest that any call took which was under way at the kill or began
within the second after it. A call that fails, or is answered wrongly, is lost.
"""

import argparse
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from benchmarks._local import conclude, started
from hubless import Mesh, MeshError, connect
from hubless.demo.processes import LocalMesh, LocalNode, local_mesh

BOUNDS = {"p99_ms": 300.0, "lost": 0}
BEFORE_S, AFTER_S, PAUSE_S = 0.5, 1.5, 0.005


@dataclass
class Round:
    """The calls around one kill: (start, seconds)."""

    calls: list[tuple[float, float]] = field(default_factory=list)
    lost: int = 0
    is_over: bool = False

    def slowest_ms(self, kill: float) -> float:
        return (
            max(seconds for start, seconds in self.calls if start + seconds >= kill and start <= kill + 1)
            * 1_000
        )


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    conclude(trio.run(_measure, arguments), as_json=arguments.json)


async def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(arguments.seed)
    slowest: list[float] = []
    calls = lost = 0
    with tempfile.TemporaryDirectory() as folder:
        async with local_mesh(lambda _node, _event: None) as mesh:
            nodes = await started(mesh, Path(folder), arguments.nodes)
            async with connect(*(node.work for node in nodes)) as client:
                for _ in range(arguments.kills):
                    around = Round()
                    slowest.append(
                        await _kill(mesh, nodes, rng.choice(nodes), client, around, arguments.callers)
                    )
                    calls += len(around.calls)
                    lost += around.lost
    slowest.sort()
    figures = {
        "p50_ms": round(slowest[len(slowest) // 2], 1),
        "p99_ms": round(slowest[min(len(slowest) - 1, int(0.99 * len(slowest)))], 1),
        "lost": lost,
    }
    return figures | {
        "met": {name: figures[name] <= bound for name, bound in BOUNDS.items()},
        "spread_ms": [round(slowest[0], 1), round(slowest[-1], 1)],
        "calls": calls,
        "kills": arguments.kills,
        "nodes": arguments.nodes,
        "callers": arguments.callers,
    }


async def _kill(
    mesh: LocalMesh, nodes: list[LocalNode], victim: LocalNode, client: Mesh, around: Round, callers: int
) -> float:
    """One round; the slowest call in ms. The victim is back and known to the others afterwards."""
    async with trio.open_nursery() as nursery:
        for caller in range(callers):
            nursery.start_soon(_call_on, client, f"caller {caller}", around)
        await trio.sleep(BEFORE_S)
        kill = time.perf_counter()
        victim.kill()
        await trio.sleep(AFTER_S)
        around.is_over = True
    mesh.start(victim, [node.work for node in nodes if node is not victim][:1])
    await victim.wait_ready()
    await trio.sleep(1)
    return around.slowest_ms(kill)


async def _call_on(client: Mesh, text: str, around: Round) -> None:
    while not around.is_over:
        start = time.perf_counter()
        try:
            around.lost += await client.call("echo", text) != text
        except MeshError:
            around.lost += 1
        around.calls.append((start, time.perf_counter() - start))
        await trio.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
