"""The tape of a seed, for a pool in which one executor never has room: it does long tasks of another agent, in turn.

One shard keeps all tasks, so that one node, which runs none, decides who gets them: it asks that executor again and
again, and hears that too many wait there. Nothing is wrong with anybody, so nobody is cut off, and all calls succeed.
"""

import random

from hubless_sim.mesh.pool_swarm import BEGIN_MS, CLIENTS, NAMES, NODES, OWNER
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Start, Tape

END_MS = 6_000
OWNED_MS = 5_000
LONG_MS = 250.0
"""Less than a call may wait before it counts against whom it waits for."""


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"crowds:{seed}")
    executors = tuple(sorted(chance.sample([name for name in NAMES if name != OWNER], 3)))
    crowded = chance.choice(executors)
    pause_ms = chance.choice([15, 20, 25])
    quick = [
        _call(chance, number, at_ms, "quick", chance.choice([10.0, 20.0, 40.0]))
        for number, at_ms in enumerate(range(BEGIN_MS, OWNED_MS - 500, pause_ms))
    ]
    long = [
        _call(chance, 10_000 + number, at_ms, "long", LONG_MS)
        for number, at_ms in enumerate(range(BEGIN_MS - 100, OWNED_MS - 1_000, int(LONG_MS)))
    ]
    return Tape(
        seed=seed,
        nodes=NODES,
        clients=CLIENTS,
        duration_ms=END_MS + 8_000,
        start=Start(join=()),
        system=MeshSystem(
            agents=(
                Offering(name="quick", nodes=executors, retries=3, deadline_ms=200),
                Offering(name="long", nodes=(crowded,), deadline_ms=2_000),
            ),
            workers=1,
            shards=1,
            queue=2,
            owned_ms=OWNED_MS,
        ),
        operations=tuple(sorted(quick + long, key=lambda call: call.at_ms)),
    )


def _call(chance: random.Random, number: int, at_ms: int, agent: str, ms: float) -> Call:
    script = Script(number, ms=ms)
    return Call(at_ms=at_ms, agent=agent, script=script, gateway=chance.choice(NAMES), deadline_ms=5_000)
