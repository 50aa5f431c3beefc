"""What a mesh weighs after ten thousand, a hundred thousand and a million tasks: memory, journal, restart.

    python -m benchmarks.growth --nodes 3 --json

Durable tasks of 1 KB go through the mesh. At each mark the resident memory of the node processes (workers aside) and
the size of their journals are read, and one node is killed and started again: until it serves, and until every shard is
healthy again, which takes the replay of its journal and the catching up.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from benchmarks._local import conclude, started
from hubless import connect
from hubless.demo.processes import LocalNode, local_mesh

MARKS = (10_000, 100_000, 1_000_000)
GROWTH = 1.5
MIB = 1024 * 1024


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--bytes", type=int, default=1_024)
    parser.add_argument("--most", type=int, default=MARKS[-1], help="tasks in all")
    parser.add_argument("--folder", help="where the nodes keep their data; a temporary directory there")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    conclude(trio.run(_measure, arguments), as_json=arguments.json)


async def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    payload = "x" * (arguments.bytes - 2)
    at_marks: dict[str, dict[str, float]] = {}
    done = 0
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        async with local_mesh(lambda _node, _event: None) as mesh:
            nodes = await started(mesh, Path(folder), arguments.nodes)
            async with connect(*(node.work for node in nodes)) as client:
                await client.settled()
                for mark in [mark for mark in MARKS if mark <= arguments.most]:
                    begin, count = time.perf_counter(), mark - done
                    async for _ in client.map(
                        "echo",
                        (payload for _ in range(count)),
                        in_flight=arguments.in_flight,
                        durability="replicated",
                    ):
                        done += 1
                    row = {
                        "per_s": round(count / (time.perf_counter() - begin)),
                        "rss_mib": round(max(_resident(node) for node in nodes), 1),
                        "journal_mib": round(max(_journal(node) for node in nodes), 1),
                    }
                    victim = nodes[-1]
                    victim.kill()
                    begin = time.perf_counter()
                    mesh.start(victim, [nodes[0].work])
                    await victim.wait_ready()
                    row["restart_s"] = round(time.perf_counter() - begin, 2)
                    await client.settled()
                    row["healthy_s"] = round(time.perf_counter() - begin, 2)
                    at_marks[f"{mark:_}"] = row
    first, last = list(at_marks.values())[min(1, len(at_marks) - 1)], list(at_marks.values())[-1]
    return {
        "at": at_marks,
        "met": {name: last[name] <= GROWTH * first[name] for name in ("rss_mib", "journal_mib", "restart_s")},
        "nodes": arguments.nodes,
        "in_flight": arguments.in_flight,
        "bytes": arguments.bytes,
    }


def _resident(node: LocalNode) -> float:
    """MiB of memory of the node's own process."""
    if node.process is None:
        raise SystemExit(f"{node.name} does not run")
    for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the kernel does not tell how much memory a process has")


def _journal(node: LocalNode) -> float:
    """MiB of everything that the journal of a node takes on disk."""
    return sum(file.stat().st_size for file in node.data.glob("journal*")) / MIB


if __name__ == "__main__":
    main()
