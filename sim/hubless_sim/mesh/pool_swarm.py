"""The tape of a seed, for the executors of one agent: some fail, or none, and there is more work than they take.

Three nodes run what five of them ask for; one shard keeps all tasks, so that one other node decides who gets them. In
some tapes nothing is wrong but that callers give up and queues are full, in some one executor is far too slow for its
contract, in some all are, or all crash at one instant. From HEAL_MS on all are well, and calls go on.
"""

import random

from hubless_sim.faults import Crash, Fault, Restart, SlowNode
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Start, Tape

NODES = 5
CLIENTS = 2
NAMES = tuple(f"n{index}" for index in range(NODES))
OWNER = "n1"
"""The ring has it so of nodes with these names; it runs nothing itself, or it would come first."""
BEGIN_MS = 1_500
HEAL_MS = 4_000
OWNED_MS = 8_000
LATE_MS = 12_000
"""Long enough for breakers that were reopened once or twice to let a probe through, after HEAL_MS."""


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"pools:{seed}")
    executors = tuple(sorted(chance.sample([name for name in NAMES if name != OWNER], 3)))
    pause_ms = chance.choice([50, 70])
    calls = [
        _drawn_call(chance, number, BEGIN_MS + pause_ms * (number // 2))
        for number in range(2 * (LATE_MS - BEGIN_MS) // pause_ms)
    ]
    return Tape(
        seed=seed,
        nodes=NODES,
        clients=CLIENTS,
        duration_ms=LATE_MS + 8_000,
        start=Start(join=()),
        system=MeshSystem(
            agents=(Offering(name="rare", nodes=executors, retries=3, deadline_ms=100),),
            workers=1,
            shards=1,
            queue=chance.choice([1, 2]),
            max_kills=1_000,
            owned_ms=OWNED_MS,
        ),
        operations=tuple(calls),
        faults=_drawn_faults(chance, executors),
    )


def _drawn_call(chance: random.Random, number: int, at_ms: int) -> Call:
    """Most are quick. Those that are long have one key, so that they meet on one node; many are given up."""
    is_long = at_ms < HEAL_MS and chance.random() < 0.35
    return Call(
        at_ms=at_ms,
        agent="rare",
        script=Script(number, ms=60.0 if is_long else None),
        gateway=chance.choice(NAMES),
        key="long" if is_long else "",
        deadline_ms=5_000,
        cancel_after_ms=20 if is_long and chance.random() < 0.6 else None,
    )


def _drawn_faults(chance: random.Random, executors: tuple[str, ...]) -> tuple[Fault, ...]:
    at_ms = BEGIN_MS + 200
    match chance.randrange(4):
        case 0:
            return ()
        case 1:
            return (SlowNode(at_ms=at_ms, until_ms=HEAL_MS, nodes=executors[:1], factor=100),)
        case 2:
            return (SlowNode(at_ms=at_ms, until_ms=HEAL_MS, nodes=executors, factor=100),)
        case _:  # gone before anybody could know, and back again
            return (Crash(at_ms=at_ms, nodes=executors), Restart(at_ms=HEAL_MS - 1_000, nodes=executors))
