"""The tape of a seed, for membership alone of which some never get well: a core of more than half of the nodes does.

Up to HEAL_MS faults strike everybody; then all that is wrong within the core ends, and whatever concerns the others
just then goes on: cuts, also of one direction or from some of the core only, lost, late and too large packets, a
process that does not run or only its timers, a clock that is wrong. From SETTLED_MS on nobody of the core is held for
dead by another of it, nor doubted for more than 3 s: an outsider that hears badly may well have somebody suspected, who
says then that it lives. By END_MS all of the core have held each other for alive at the same time, and know what each
says of itself.
"""

import random

from hubless_sim.faults import Fault
from hubless_sim.faults.freeze import frozen
from hubless_sim.tapes.draw import MAKERS, Draw
from hubless_sim.tapes.operations import Meta
from hubless_sim.tapes.stay import OF_MEMBERS, drawn_stay, milder
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Conditions, Tape

BEGIN_MS = 1_000
HEAL_MS = 4_000
SETTLED_MS = HEAL_MS + 6_000
END_MS = SETTLED_MS + 9_000

_KINDS = (
    "crash",
    "restart",
    "restless",
    "power_cut",
    "pause",
    "starve",
    "slow_node",
    "clocks",
    "partition",
    "one_way",
    "isolate",
    "ring_partition",
    "flapping",
    "loss",
    "duplicate",
    "latency",
    "bandwidth",
)
"""Of faults, in the core too, but for what membership alone does not have: disks, and checksums on its packets."""


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"frozen-gossip:{seed}")
    names = tuple(f"n{index}" for index in range(chance.choice([5, 5, 6, 7, 8, 10, 14, 20])))
    outsiders = tuple(sorted(chance.sample(names, chance.randint(2, (len(names) - 1) // 2))))
    core = tuple(name for name in names if name not in outsiders)
    faults = [
        milder(each) for fault in _drawn_faults(chance, names) for each in frozen(fault, outsiders, HEAL_MS)
    ]
    for outsider in outsiders:
        draw = Draw(chance, names, unlucky=outsider, begin_ms=BEGIN_MS, heal_ms=HEAL_MS)
        faults += drawn_stay(draw, core, OF_MEMBERS)
    said = [
        Meta(at_ms=chance.randrange(BEGIN_MS, HEAL_MS), nodes=(chance.choice(names),), meta=f"word {number}")
        for number in range(chance.choice([0, 1, 3]))
    ]
    return Tape(
        seed=seed,
        nodes=len(names),
        duration_ms=END_MS,
        links=Conditions(loss=chance.choice([0.0, 0.01, 0.03]), duplicate=chance.choice([0.0, 0.05])),
        faults=tuple(faults),
        system=GossipSystem(right_views=True, core=core, settled_ms=SETTLED_MS),
        operations=tuple(said),
    )


def _drawn_faults(chance: random.Random, names: tuple[str, ...]) -> list[Fault]:
    """Which strike everybody, a few."""
    draw = Draw(chance, names, unlucky=chance.choice(names), begin_ms=BEGIN_MS, heal_ms=HEAL_MS)
    makers = [MAKERS[kind] for kind in _KINDS]
    return [fault for _ in range(chance.randint(1, 5)) for fault in chance.choice(makers)(draw)]
