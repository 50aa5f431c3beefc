"""Calls through a real mesh: client, gateway, worker process and back, over loopback sockets.

    python -m benchmarks.tasks --nodes 3 --json

One in flight measures latency, many in flight throughput; both go to all nodes in turn, each with one worker
process. The rounds alternate, so that drift of a shared machine hits both, and medians are reported with the
lowest and highest round. The client is this process, on the same cores as everything else.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from benchmarks._local import conclude, started
from hubless import Mesh, connect
from hubless.demo.processes import local_mesh

BOUNDS = {"ephemeral_per_s": (">=", 8_000), "ephemeral_p50_ms": ("<=", 0.7)}
WARM_UP = 2_000


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20_000, help="calls of a throughput round")
    parser.add_argument("--single", type=int, default=2_000, help="calls of a latency round")
    parser.add_argument("--bytes", type=int, default=1_024)
    parser.add_argument("--agent", choices=["echo", "echo_in_thread"], default="echo")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    conclude(trio.run(_measure, arguments), as_json=arguments.json)


async def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with local_mesh(lambda _node, _event: None) as mesh:
            nodes = await started(mesh, Path(folder), arguments.nodes)
            async with connect(*(node.work for node in nodes)) as client:
                return await _rounds(client, arguments)


async def _rounds(client: Mesh, arguments: argparse.Namespace) -> dict[str, Any]:
    payload = "x" * (arguments.bytes - 2)
    await _many(client, payload, WARM_UP, arguments)
    rates: list[float] = []
    latencies: list[list[float]] = []
    for _ in range(arguments.rounds):
        latencies.append(await _one_at_a_time(client, payload, arguments))
        rates.append(await _many(client, payload, arguments.calls, arguments))
    p50s = [_percentile(round_, 0.5) for round_ in latencies]
    p99s = [_percentile(round_, 0.99) for round_ in latencies]
    figures = {
        "ephemeral_per_s": round(statistics.median(rates)),
        "ephemeral_p50_ms": round(statistics.median(p50s), 3),
        "ephemeral_p99_ms": round(statistics.median(p99s), 3),
    }
    return figures | {
        "met": {name: _is_met(figures[name], *bound) for name, bound in BOUNDS.items()},
        "spread": {
            "ephemeral_per_s": [round(min(rates)), round(max(rates))],
            "ephemeral_p50_ms": [round(min(p50s), 3), round(max(p50s), 3)],
            "ephemeral_p99_ms": [round(min(p99s), 3), round(max(p99s), 3)],
        },
        "nodes": arguments.nodes,
        "in_flight": arguments.in_flight,
        "agent": arguments.agent,
        "rounds": arguments.rounds,
    }


async def _one_at_a_time(client: Mesh, payload: str, arguments: argparse.Namespace) -> list[float]:
    """Latencies in ms."""
    latencies = []
    for _ in range(arguments.single):
        start = time.perf_counter()
        answer = await client.call(arguments.agent, payload)
        latencies.append((time.perf_counter() - start) * 1_000)
        if answer != payload:
            raise SystemExit("an answer is not the echo of its call")
    return latencies


async def _many(client: Mesh, payload: str, calls: int, arguments: argparse.Namespace) -> float:
    """Calls per second."""
    start = time.perf_counter()
    answers = 0
    async for answer in client.map(
        arguments.agent, (payload for _ in range(calls)), in_flight=arguments.in_flight
    ):
        if answer != payload:
            raise SystemExit("an answer is not the echo of its call")
        answers += 1
    if answers != calls:
        raise SystemExit(f"{answers} answers to {calls} calls")
    return calls / (time.perf_counter() - start)


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _is_met(value: float, sense: str, bound: float) -> bool:
    return value >= bound if sense == ">=" else value <= bound


if __name__ == "__main__":
    main()
