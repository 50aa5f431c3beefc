"""The tape of a seed, for a pool in which one executor fails fast: what it begins takes too much memory there.

It is rid of a call in half the time that a good one takes, so it always has the least to do. One shard keeps all tasks,
so that one node, which runs none, decides who gets them. Attempts that fail there are made again elsewhere: all calls
are answered, and what tells is how many it gets.
"""

import random

from hubless_sim.faults import AgentLeaks
from hubless_sim.mesh.pool_swarm import BEGIN_MS, CLIENTS, NAMES, NODES, OWNER
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Start, Tape

HEAL_MS = 8_000
OWNED_MS = 8_500
END_MS = 9_500
MEMORY_MB = 64


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"sinks:{seed}")
    able = [name for name in NAMES if name != OWNER]
    executors = tuple(sorted(chance.sample(able, chance.choice([3, 3, 4]))))
    leak = AgentLeaks(
        at_ms=chance.randrange(BEGIN_MS - 500, BEGIN_MS + 1_500),
        until_ms=HEAL_MS,
        nodes=(chance.choice(executors),),
        rate=chance.choice([0.95, 1.0, 1.0]),
        mb=2 * MEMORY_MB,
    )
    pause_ms = chance.choice([40, 50, 60])
    calls = [_call(chance, number, at_ms) for number, at_ms in enumerate(range(BEGIN_MS, END_MS, pause_ms))]
    return Tape(
        seed=seed,
        nodes=NODES,
        clients=CLIENTS,
        duration_ms=END_MS + 8_000,
        start=Start(join=()),
        system=MeshSystem(
            agents=(Offering(name="heavy", nodes=executors, retries=3, memory_mb=MEMORY_MB),),
            workers=2,
            shards=1,
            queue=chance.choice([2, 8]),
            max_kills=1_000,
            owned_ms=OWNED_MS,
        ),
        operations=tuple(calls),
        faults=(leak,),
    )


def _call(chance: random.Random, number: int, at_ms: int) -> Call:
    script = Script(number, ms=chance.choice([90.0, 110.0, 130.0]))
    return Call(at_ms=at_ms, agent="heavy", script=script, gateway=chance.choice(NAMES), deadline_ms=5_000)
