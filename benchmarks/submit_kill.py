"""`mesh submit` while a node is killed: every line answered, each once, in order, and right.

    python -m benchmarks.submit_kill --nodes 5 --tasks 5000 --rounds 5 --json

In every round a node drawn by chance is killed with SIGKILL at a moment drawn by chance while the lines are under
way, and started again for the next round.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from benchmarks._local import conclude, started
from hubless.demo.processes import LocalMesh, LocalNode, local_mesh

BOUNDS = {"lost": 0, "repeated": 0, "wrong": 0}


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    conclude(trio.run(_measure, arguments), as_json=arguments.json)


async def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(arguments.seed)
    totals = dict.fromkeys(BOUNDS, 0)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with local_mesh(lambda _node, _event: None) as mesh:
            nodes = await started(mesh, Path(folder), arguments.nodes)
            for number in range(arguments.rounds):
                source, sink = Path(folder) / f"in{number}.jsonl", Path(folder) / f"out{number}.jsonl"
                source.write_text(
                    "".join(f"{json.dumps(f'{number}-{line}')}\n" for line in range(arguments.tasks))
                )
                start = time.perf_counter()
                await _submit_and_kill(mesh, nodes, rng, source, sink)
                seconds.append(time.perf_counter() - start)
                for name, count in _checked(source, sink).items():
                    totals[name] += count
    return totals | {
        "met": {name: totals[name] <= bound for name, bound in BOUNDS.items()},
        "tasks": arguments.tasks * arguments.rounds,
        "kills": arguments.rounds,
        "seconds": [round(second, 2) for second in seconds],
        "nodes": arguments.nodes,
    }


async def _submit_and_kill(
    mesh: LocalMesh, nodes: list[LocalNode], rng: random.Random, source: Path, sink: Path
) -> None:
    victim = rng.choice(nodes)
    addresses = ",".join(node.work for node in nodes)
    command = [sys.executable, "-m", "hubless.cli", "submit", "echo"]
    command += ["--input", str(source), "--output", str(sink), "--at", addresses]
    async with trio.open_nursery() as nursery:

        async def kill() -> None:
            with trio.fail_after(30):
                while not sink.exists() or not sink.stat().st_size:
                    await trio.sleep(0.005)
            await trio.sleep(rng.uniform(0, 0.3))
            victim.kill()

        nursery.start_soon(kill)
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode != 0:
            raise SystemExit(
                f"mesh submit ended with exit code {done.returncode}: {done.stderr.decode()[-500:]}"
            )
    mesh.start(victim, [node.work for node in nodes if node is not victim][:1])
    await victim.wait_ready()


def _checked(source: Path, sink: Path) -> dict[str, int]:
    """What the output lacks, has twice, or has wrong; records stand in the order of the input."""
    inputs = [json.loads(line) for line in source.read_text().splitlines()]
    outputs = [json.loads(line) for line in sink.read_text().splitlines()]
    answers = [record.get("value") for record in outputs]
    return {
        "lost": len(set(inputs) - set(answers)),
        "repeated": len(outputs) - len(inputs) if len(outputs) > len(inputs) else 0,
        "wrong": sum(asked != answered for asked, answered in zip(inputs, answers, strict=False)),
    }


if __name__ == "__main__":
    main()
