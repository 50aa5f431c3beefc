"""How soon everybody knows: real nodes on loopback, killed, stopped and blocked.

    python -m benchmarks.gossip_crash --nodes 10 --kills 10 --json

Each figure is the time from the signal until a survivor's own log line about the victim's condition reaches this
process, over all survivors of all rounds. A node that is called dead and was not killed or stopped is a false
death. After each round the victim comes back, and the next one waits until everybody holds everybody for alive.
Every node is stopped at most once: the return of a member that flaps is told late on purpose (damping).
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from benchmarks._local import conclude
from hubless.demo.processes import LocalMesh, LocalNode, free_ports, local_mesh

BOUNDS = {
    "p50_s": 0.3,
    "p99_s": 1.0,
    "false_deaths": 0,
    "silent_p99_s": 8.0,
    "blocked_deaths": 0,
    "join_s": 2.0,
}
BLOCKED_S = 10
PATIENCE_S = 60


@dataclass(eq=False)
class BlockableNode(LocalNode):
    """A node that SIGUSR1 blocks."""

    def command(self, join: Any) -> list[str]:
        ours = super().command(join)
        return [sys.executable, "-m", "benchmarks._blockable", str(BLOCKED_S), *ours[ours.index("up") :]]


@dataclass
class Watch:
    """What the nodes have said about each other: (observer, subject id) -> condition, and when deaths were told."""

    conditions: dict[tuple[str, str], str] = field(default_factory=dict)
    deaths: dict[tuple[str, str], float] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    false_deaths: int = 0
    busy: int = 0
    last_start: float = 0.0

    def heard(self, node: LocalNode, event: dict[str, Any]) -> None:
        if event.get("event") == "exit":
            self.conditions = {pair: said for pair, said in self.conditions.items() if pair[0] != node.name}
        if str(event.get("text", "")).startswith("listening"):
            self.last_start = time.perf_counter()
        if not event.get("member"):
            return
        pair = (node.name, event["member"])
        self.conditions[pair] = event["condition"]
        self.busy += event["condition"] == "busy"
        if event["condition"] == "dead":
            self.deaths.setdefault(pair, time.perf_counter())
            self.false_deaths += event["member"] not in self.expected

    def forget_deaths(self) -> None:
        self.deaths.clear()


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--profile", choices=["local", "lan"], default="local")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.stops > arguments.nodes:
        parser.error(f"--stops {arguments.stops}: at most as many as nodes, since each is stopped once")
    conclude(trio.run(_measure, arguments), as_json=arguments.json)


async def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    watch = Watch()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        async with local_mesh(watch.heard) as mesh:
            nodes = [
                BlockableNode(
                    f"n{number}",
                    "",
                    Path(folder) / f"n{number}",
                    f"127.0.0.1:{port}",
                    options=("--profile", arguments.profile),
                )
                for number, port in enumerate(free_ports(arguments.nodes))
            ]
            join_s = await _start(mesh, nodes, watch)
            killed = [await _kill(mesh, nodes, rng.choice(nodes), watch) for _ in range(arguments.kills)]
            victims = rng.sample(nodes, arguments.stops)
            stopped = [await _stop(nodes, victim, watch) for victim in victims]
            blocked = [await _block(nodes, rng.choice(nodes), watch) for _ in range(arguments.blocks)]
    delays = [delay for round_ in killed for delay in round_]
    silent = [delay for round_ in stopped for delay in round_]
    figures = {
        "p50_s": round(_percentile(delays, 0.5), 4),
        "p99_s": round(_percentile(delays, 0.99), 4),
        "false_deaths": watch.false_deaths,
        "silent_p50_s": round(_percentile(silent, 0.5), 3),
        "silent_p99_s": round(_percentile(silent, 0.99), 3),
        "blocked_deaths": sum(deaths for deaths, _ in blocked),
        "blocked_busy": sum(busy for _, busy in blocked),
        "join_s": round(join_s, 3),
    }
    return figures | {
        "met": {name: figures[name] <= bound for name, bound in BOUNDS.items()},
        "spread_s": [round(min(delays), 4), round(max(delays), 4)] if delays else [],
        "nodes": arguments.nodes,
        "kills": arguments.kills,
        "stops": arguments.stops,
        "profile": arguments.profile,
    }


async def _start(mesh: LocalMesh, nodes: list[LocalNode], watch: Watch) -> float:
    """Starts all; seconds from when the last one's sockets are bound until everybody holds everybody for alive."""
    await mesh.form(nodes)
    await _until_all_alive(nodes, watch)
    return time.perf_counter() - watch.last_start


async def _kill(mesh: LocalMesh, nodes: list[LocalNode], victim: LocalNode, watch: Watch) -> list[float]:
    """Kills one node with SIGKILL, starts it again; seconds until each of the others knew."""
    subject = _id(victim)
    watch.expected = {subject}
    start = time.perf_counter()
    victim.kill()
    delays = await _until_dead(nodes, victim, subject, watch, start)
    mesh.start(victim, [node.work for node in nodes if node is not victim][:1])
    await victim.wait_ready()
    await _until_all_alive(nodes, watch)
    return delays


async def _stop(nodes: list[LocalNode], victim: LocalNode, watch: Watch) -> list[float]:
    """Stops one node with SIGSTOP, continues it; seconds until each of the others knew."""
    subject = _id(victim)
    watch.expected = {subject}
    start = time.perf_counter()
    _signal(victim, signal.SIGSTOP)
    delays = await _until_dead(nodes, victim, subject, watch, start)
    _signal(victim, signal.SIGCONT)
    await _until_all_alive(nodes, watch)
    return delays


async def _block(nodes: list[LocalNode], victim: LocalNode, watch: Watch) -> tuple[int, int]:
    """Blocks a node's interpreter; how many of the others called it dead, and busy, by the time it was back."""
    subject = _id(victim)
    watch.expected = set()
    watch.forget_deaths()
    busy_before = watch.busy
    _signal(victim, signal.SIGUSR1)
    await trio.sleep(BLOCKED_S)
    await _until_all_alive(nodes, watch)
    return sum(told == subject for _, told in watch.deaths), watch.busy - busy_before


async def _until_dead(
    nodes: list[LocalNode], victim: LocalNode, subject: str, watch: Watch, start: float
) -> list[float]:
    watch.forget_deaths()
    others = [node for node in nodes if node is not victim]
    await _until(
        lambda: all((node.name, subject) in watch.deaths for node in others), f"{victim.name} to be dead"
    )
    return [watch.deaths[node.name, subject] - start for node in others]


async def _until_all_alive(nodes: list[LocalNode], watch: Watch) -> None:
    pairs = [(node.name, _id(other)) for node in nodes for other in nodes if node is not other]
    await _until(lambda: all(watch.conditions.get(pair) == "alive" for pair in pairs), "all to be alive")


async def _until(is_so: Any, what: str) -> None:
    with trio.move_on_after(PATIENCE_S):
        while not is_so():
            await trio.sleep(0.002)
        return
    raise SystemExit(f"gave up after {PATIENCE_S} s of waiting for {what}")


def _id(node: LocalNode) -> str:
    if node.ready is None:
        raise SystemExit(f"{node.name} is not running")
    return str(node.ready["node"])


def _signal(node: LocalNode, number: int) -> None:
    if node.process is not None:
        os.kill(node.process.pid, number)


def _percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


if __name__ == "__main__":
    main()
