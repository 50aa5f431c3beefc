"""One supervisor and one worker without a mesh: what a call, a check, a takeover and a start cost.

`python -m benchmarks.agents_pool --json` prints one document with a field per figure, and the bounds beside
them under `figures`. Exit code 0 if all bounds are met, else 1.
"""

import argparse
import contextlib
import gc
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks._figures import Figure, Report, bounded, concluded, median, percentile, shown
from hubless_agents import Assignment, Checker, Offered, OffersChanged, SupervisorConfig
from hubless_agents.standalone import Standalone

AGENTS = """
import time
from hubless_agents import agent

@agent
def echo(value):
    return value

@agent
async def echo_async(value):
    return value

@agent
def now() -> int:
    return time.monotonic_ns()

@agent(deadline_s=0.05)
def hang() -> None:
    while True:
        time.sleep(1)
"""
PLAIN = AGENTS.replace("async def", "def")
PAYLOAD = b'"' + b"x" * 1022 + b'"'
TYPED_SCHEMA = msgspec.json.encode(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["name"],
    }
)
TYPED = msgspec.json.encode({"name": "x" * 400, "tags": ["word"] * 80})
IN_FLIGHT = 256
_numbers = itertools.count(1)


def main() -> int:
    """Measure, print, and say by the exit code whether all bounds are met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents_pool", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--takeovers", type=int, default=20)
    chosen = parser.parse_args()
    start = time.perf_counter()
    figures = [
        *calls("echo", PLAIN, "echo", chosen.calls),
        *calls("async_echo", AGENTS, "echo_async", chosen.calls),
        *takeovers(chosen.takeovers),
        *starts(5),
        *checks(),
    ]
    report = Report("agents_pool", figures, 1, [], round(time.perf_counter() - start, 1))
    return concluded(report, as_json=chosen.json, payload_bytes=len(PAYLOAD), in_flight=IN_FLIGHT)


@contextlib.contextmanager
def node(source: str, **knobs: float) -> Iterator[Standalone]:
    """A standalone node of this source, with a worker and its spare ready."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.py"
        path.write_text(source, encoding="utf-8")
        with Standalone(str(path), config=SupervisorConfig(**knobs)) as one:
            one.until(lambda: any(isinstance(effect, OffersChanged) for effect in one.told))
            settle(one)
            yield one


def settle(one: Standalone) -> None:
    """Until the spare has started too: nothing but the calls runs."""
    until_s = time.monotonic() + 0.4
    while time.monotonic() < until_s:
        one.step(0.05)


def task(agent: str, payload: bytes = b"null") -> Offered:
    number = next(_numbers).to_bytes(16, "big")
    return Offered(Assignment(number, 1, agent, payload, time.monotonic_ns() + 60_000_000_000))


def call(one: Standalone, agent: str, payload: bytes = b"null") -> None:
    before = len(one.outcomes)
    one.offer(task(agent, payload))
    one.until(lambda: len(one.outcomes) > before)


def calls(label: str, source: str, agent: str, count: int) -> list[Figure]:
    """Calls one at a time, then with many in flight; processor time of both sides for each call."""
    with node(source) as one:
        latencies = []
        for _ in range(2_000):
            start = time.perf_counter()
            call(one, agent, PAYLOAD)
            latencies.append(time.perf_counter() - start)
        one.outcomes.clear()
        worker = min(one.pool.pids().values())
        gc.collect()
        worker_s, node_s, start = cpu_s(worker), time.process_time(), time.perf_counter()
        sent = 0
        while len(one.outcomes) < count:
            while sent < count and sent - len(one.outcomes) < IN_FLIGHT:
                one.handle(task(agent, PAYLOAD))
                sent += 1
            one.pool.flush()
            one.step()
        wall_s = time.perf_counter() - start
        node_us = (time.process_time() - node_s) / count * 1e6
        worker_us = (cpu_s(worker) - worker_s) / count * 1e6
    return [
        shown(f"{label}_per_s", count / wall_s, unit="1/s"),
        shown(f"{label}_p50_us", percentile(latencies, 0.5) * 1e6, unit="us"),
        shown(f"{label}_p99_us", percentile(latencies, 0.99) * 1e6, unit="us"),
        bounded(f"{label}_node_cpu_us", node_us, 30, unit="us"),
        bounded(f"{label}_worker_cpu_us", worker_us, 40, unit="us"),
    ]


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def takeovers(count: int) -> list[Figure]:
    """From the deadline that kills a hung worker until the next task's function runs in the spare."""
    samples_ms = []
    with node(PLAIN, max_kills=1_000) as one:
        for _ in range(count):
            settle(one)
            hung, following = task("hang"), task("now")
            due_ns = time.monotonic_ns() + 50_000_000
            one.offer(hung, following)
            key = (following.assignment.task, 1)
            one.until(lambda key=key: key in one.outcomes)
            ran_ns = int(one.outcomes[key].payload)
            samples_ms.append((ran_ns - due_ns) / 1e6)
    return [
        shown("takeover_p50_ms", median(samples_ms), unit="ms", note="deadline to running in the spare"),
        shown("takeover_max_ms", max(samples_ms), unit="ms"),
    ]


def starts(count: int) -> list[Figure]:
    """A cold start until the worker is ready, how long the node is blocked by it, and the worker's imports."""
    ready_ms, blocked_ms, imports_ms = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.py"
        path.write_text(PLAIN, encoding="utf-8")
        for _ in range(count):
            with Standalone(str(path), config=SupervisorConfig(spares=0)) as one:
                start = time.perf_counter()
                one.step(0)
                blocked_ms.append((time.perf_counter() - start) * 1e3)
                one.until(lambda one=one: bool(one.supervisor.load()))
                ready_ms.append((time.perf_counter() - start) * 1e3)
    source = "import time; t=time.perf_counter(); import hubless_agents.worker; print(time.perf_counter()-t)"
    for _ in range(count):
        told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
        imports_ms.append(float(told.stdout) * 1e3)
    return [
        shown("spawn_ready_p50_ms", median(ready_ms), unit="ms", note="plain functions only"),
        shown("spawn_blocks_node_p50_ms", median(blocked_ms), unit="ms"),
        shown("worker_import_p50_ms", median(imports_ms), unit="ms"),
    ]


def checks() -> list[Figure]:
    """Decoding and checking about 1 KB against an open schema and a typed one."""
    figures = []
    for label, checker, payload in [
        ("check_open_us", Checker(b"true"), PAYLOAD),
        ("check_typed_us", Checker(TYPED_SCHEMA), TYPED),
    ]:
        rounds = 5_000
        start = time.perf_counter()
        for _ in range(rounds):
            checker.fault(payload)
        figures.append(bounded(label, (time.perf_counter() - start) / rounds * 1e6, 20, unit="us"))
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
