"""Calls through a real mesh: client, gateway, worker process and back, over loopback sockets.

    python -m benchmarks.tasks --nodes 3 --json

One in flight measures latency, many in flight throughput; both go to all nodes in turn, each with one worker
process. Durable tasks are kept by their shards (three replicas, on disk before the receipt), ephemeral ones by nobody.
The rounds alternate, so that drift of a shared machine hits all, and medians are reported with the lowest and highest
round. The client is this process, on the same cores as everything else. Bytes and messages are those that nodes send
to one another for durable tasks with many in flight: payloads, log and beats.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from benchmarks._local import Traffic, conclude, started, traffic_of
from hubless import Mesh, connect
from hubless.demo.processes import local_mesh

BOUNDS = {
    "durable_per_s": (">=", 5_000),
    "durable_p50_ms": ("<=", 2.5),
    "ephemeral_per_s": (">=", 8_000),
    "ephemeral_p50_ms": ("<=", 0.7),
}
KINDS = {"durable": "replicated", "ephemeral": "none"}
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
    parser.add_argument("--folder", help="where the nodes keep their data; a temporary directory there")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    conclude(trio.run(_measure, arguments), as_json=arguments.json)


async def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        async with local_mesh(lambda _node, _event: None) as mesh:
            nodes = await started(mesh, Path(folder), arguments.nodes)
            async with connect(*(node.work for node in nodes)) as client:
                await client.settled()
                return await _rounds(client, arguments)


async def _rounds(client: Mesh, arguments: argparse.Namespace) -> dict[str, Any]:
    payload = "x" * (arguments.bytes - 2)
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    p50s: dict[str, list[float]] = {kind: [] for kind in KINDS}
    p99s: dict[str, list[float]] = {kind: [] for kind in KINDS}
    traffic = Traffic()
    for kind in KINDS:
        await _many(client, payload, WARM_UP, kind, arguments)
    for _ in range(arguments.rounds):
        for kind in KINDS:
            latencies = await _one_at_a_time(client, payload, kind, arguments)
            p50s[kind].append(_percentile(latencies, 0.5))
            p99s[kind].append(_percentile(latencies, 0.99))
            before = await traffic_of(client)
            rates[kind].append(await _many(client, payload, arguments.calls, kind, arguments))
            if kind == "durable":
                traffic += await traffic_of(client) - before
    figures: dict[str, Any] = {}
    spread: dict[str, list[float]] = {}
    for kind in KINDS:
        for name, values, digits in (
            (f"{kind}_per_s", rates[kind], 0),
            (f"{kind}_p50_ms", p50s[kind], 3),
            (f"{kind}_p99_ms", p99s[kind], 3),
        ):
            figures[name] = round(statistics.median(values), digits)
            spread[name] = [round(min(values), digits), round(max(values), digits)]
    tasks = arguments.rounds * arguments.calls
    figures["bytes_per_task"] = round(traffic.bytes / tasks)
    figures["messages_per_task"] = round(traffic.messages / tasks, 2)
    return figures | {
        "met": {name: _is_met(figures[name], *bound) for name, bound in BOUNDS.items()},
        "spread": spread,
        "nodes": arguments.nodes,
        "in_flight": arguments.in_flight,
        "agent": arguments.agent,
        "rounds": arguments.rounds,
    }


async def _one_at_a_time(client: Mesh, payload: str, kind: str, arguments: argparse.Namespace) -> list[float]:
    """Latencies in ms."""
    latencies = []
    for _ in range(arguments.single):
        start = time.perf_counter()
        answer = await client.call(arguments.agent, payload, durability=KINDS[kind])
        latencies.append((time.perf_counter() - start) * 1_000)
        if answer != payload:
            raise SystemExit("an answer is not the echo of its call")
    return latencies


async def _many(client: Mesh, payload: str, calls: int, kind: str, arguments: argparse.Namespace) -> float:
    """Calls per second."""
    start = time.perf_counter()
    answers = 0
    payloads = (payload for _ in range(calls))
    async for answer in client.map(
        arguments.agent, payloads, in_flight=arguments.in_flight, durability=KINDS[kind]
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
