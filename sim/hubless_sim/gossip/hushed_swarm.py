"""The tape of a seed, for membership alone in which rumours run out at once, and views are compared all the time.

So most of what nodes know of each other comes by push-pull, who accuses whom, too. One of them is gone without a word:
it must be held dead no sooner than those allow who are heard to confirm it.
"""

import random

from hubless_sim.faults import Crash
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Conditions, Tape

BEGIN_MS = 1_000
END_MS = 11_000


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"hushed:{seed}")
    count = chance.choice([8, 10, 14])
    gone = Crash(
        at_ms=chance.randrange(BEGIN_MS, 2 * BEGIN_MS), nodes=(f"n{chance.randrange(count)}",), silent=True
    )
    return Tape(
        seed=seed,
        nodes=count,
        duration_ms=END_MS,
        links=Conditions(monitored=None, loss=chance.choice([0.0, 0.1, 0.3])),
        faults=(gone,),
        system=GossipSystem(knobs={"retransmit_mult": 0.01, "push_pull_interval_ms": 300}),
    )
