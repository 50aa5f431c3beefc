"""The same events give the same effects in every process, whatever its hash seed."""

import os
import subprocess
import sys

SCRIPT = """
import hashlib, random
from hubless_agents import *
from hubless_agents import Supervisor, SupervisorConfig

rng = random.Random(11)
contracts = tuple(Contract(name=name, deadline_ms=300) for name in ("charlie", "alpha", "bravo"))
core = Supervisor(config=SupervisorConfig(workers=3, max_kills=2), node="n", rng=rng, now_ns=0)
now_ns, trace, lines, starting = 0, hashlib.sha256(), {}, []
for step in range(3_000):
    now_ns += rng.randrange(20_000_000)
    alive = sorted(number for number, line in lines.items() if line)
    match rng.randrange(6):
        case 0 if starting:
            number = starting.pop(0)
            lines[number] = []
            event = WorkerReady(number, 1, contracts)
        case 1 if alive and rng.random() < 0.3:
            number = rng.choice(alive)
            del lines[number]
            event = WorkerExited(number, "exited", "gone")
        case 2 | 3 if alive:
            number = rng.choice(alive)
            event = WorkerAnswered(number, lines[number].pop(0), "returned", b"1", took_ns=rng.randrange(400_000))
        case 4:
            event = DeadlineReached()
        case _:
            task = rng.randbytes(16)
            agent = rng.choice(["alpha", "bravo", "charlie", "delta"])
            event = Offered(Assignment(task, 1, agent, b"1", now_ns + rng.randrange(10**9)))
    effects = core.handle(now_ns, event)
    for effect in effects:
        if isinstance(effect, SpawnWorker):
            starting.append(effect.worker)
        elif isinstance(effect, GiveTask):
            lines[effect.worker].append(effect.give)
        elif isinstance(effect, KillWorker):
            lines.pop(effect.worker, None)
    trace.update(repr((now_ns, effects, core.next_deadline_ns())).encode())
print(core.counters.succeeded > 50, core.counters.deaths > 20, trace.hexdigest())
"""


def told(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_hash_seed_changes_nothing():
    first = told("1")
    assert first.startswith("True True")
    assert first == told("2")
