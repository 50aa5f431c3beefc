"""The tape of a seed, for membership alone in which one node says of another one, which is well, that it is dead.

It says so again and again, in its own name. In a mesh of four or more it takes a second accuser to have anybody
declared dead, so nobody is, although there are no links to speak for who is accused.
"""

import random

from hubless_sim.faults import ForgedAccusations
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Conditions, Tape

BEGIN_MS = 1_000
HEAL_MS = 4_000
CALM_MS = 6_000


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"accused:{seed}")
    count = chance.choice([4, 5, 6, 8, 12])
    liar, victim = chance.sample([f"n{index}" for index in range(count)], 2)
    lie = ForgedAccusations(
        at_ms=BEGIN_MS, until_ms=HEAL_MS, nodes=(liar,), victims=(victim,), deaths=chance.random() < 0.7
    )
    return Tape(
        seed=seed,
        nodes=count,
        duration_ms=HEAL_MS + CALM_MS,
        links=Conditions(monitored=None, duplicate=chance.choice([0.0, 0.05])),
        faults=(lie,),
        system=GossipSystem(right_views=True),
    )
