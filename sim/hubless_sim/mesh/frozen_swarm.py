"""The tape of a seed, for whole nodes of which one or two never get well: what is wrong with them stays wrong for ever.

Five to seven nodes, of which all but one are the core, or seven of which five are. Up to HEAL_MS faults of all kinds
strike everybody; then all that is wrong within the core ends, and whatever concerns the outsiders just then goes on:
cuts, also of one direction or from some of the core only, lost and garbled packets, a process that does not run or only
its timers, a disk that is stalled, full, failed or gone. As shards have three replicas, a majority of each is in the
core. CALM_BEATS beats later calls begin that go through the core, one for each shard: they succeed within
LATE_DEADLINE_MS. At END_MS at the latest each shard has one owner, everybody in the core takes everybody there for
alive, all that was accepted has ended, and nobody in the core has anything left to do.
"""

import random
from functools import cache
from itertools import combinations

from msgspec.structs import replace

from hubless.placement import Preferences, Ring, RingMember, shard_of_key
from hubless.view import REPLICAS
from hubless_sim.faults import Fault, Restart
from hubless_sim.faults.freeze import frozen
from hubless_sim.mesh.swarm import (
    BEAT_MS,
    BEGIN_MS,
    CLIENTS,
    HEAL_MS,
    LATE_DEADLINE_MS,
    drawn_call,
    drawn_queries,
    drawn_system,
    mild,
)
from hubless_sim.tapes.draw import Draw
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.stay import OF_ONE, OF_SEVERAL, drawn_stay, milder
from hubless_sim.tapes.systems import MeshSystem
from hubless_sim.tapes.tape import Conditions, Disks, Start, Tape

CALM_BEATS = 100
OWNED_MS = HEAL_MS + CALM_BEATS * BEAT_MS
END_MS = OWNED_MS + 10_000
_SEVEN = tuple(f"n{index}" for index in range(7))


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"frozen:{seed}")
    names = tuple(f"n{index}" for index in range(chance.choice([5, 5, 6, 7])))
    outsider = chance.choice(names[1:])
    core = tuple(name for name in names if name != outsider)
    draw = Draw(chance, names, unlucky=outsider, begin_ms=BEGIN_MS, heal_ms=HEAL_MS)
    faults = [milder(each) for fault in mild(draw.faults()) for each in frozen(fault, (outsider,), HEAL_MS)]
    faults += drawn_stay(draw, core, OF_ONE)
    return _tape(seed, draw, drawn_system(chance, OWNED_MS, core), faults)


def tape_of_two(seed: int) -> Tape:
    """The tape of a seed with two who never get well, and have no shard in common: of each a majority is in the core.

    Nobody's disk is wiped: a new node might be given any shard.  Now and then one of them stands in for a node that is
    gone for long, and a shard has both: it is lost then, see checks.lost_shards.
    """
    chance = random.Random(f"frozen-two:{seed}")
    system = drawn_system(chance, OWNED_MS)
    outsiders = chance.choice(_apart(system.shards))
    core = tuple(name for name in _SEVEN if name not in outsiders)
    draw = Draw(chance, _SEVEN, unlucky=outsiders[0], begin_ms=BEGIN_MS, heal_ms=HEAL_MS)
    drawn = [
        replace(fault, wipe=False) if isinstance(fault, Restart) else fault for fault in mild(draw.faults())
    ]
    faults = [milder(each) for fault in drawn for each in frozen(fault, outsiders, HEAL_MS)]
    for outsider in outsiders:
        own = Draw(chance, _SEVEN, unlucky=outsider, begin_ms=BEGIN_MS, heal_ms=HEAL_MS)
        faults += drawn_stay(own, core, OF_SEVERAL)
    return _tape(seed, draw, replace(system, core=core), faults)


@cache
def _apart(shards: int) -> tuple[tuple[str, str], ...]:
    """Pairs of the seven that have no shard in common, nor had one while the others came up one after the other."""
    members = [RingMember(name, since_ms=1) for name in _SEVEN]  # in the order in which they start
    rings = [Ring.built(members[:count]) for count in range(REPLICAS, len(_SEVEN) + 1)]
    shared = {
        pair
        for ring in rings
        for shard in range(shards)
        for pair in combinations(
            sorted(Preferences(ring, shards=shards, replicas=REPLICAS).of_shard(shard)), 2
        )
    }
    return tuple(pair for pair in combinations(_SEVEN[1:], 2) if pair not in shared)


def _tape(seed: int, draw: Draw, system: MeshSystem, faults: list[Fault]) -> Tape:
    """With calls and queries of all sorts, and calls through the core for each shard in the calm."""
    chance = draw.chance
    calls = [drawn_call(draw, number) for number in range(chance.choice([10, 20, 40]))]
    queries = drawn_queries(draw, calls)
    return Tape(
        seed=seed,
        nodes=len(draw.names),
        clients=CLIENTS,
        duration_ms=END_MS,
        links=Conditions(
            jitter_us=chance.choice([50, 250, 2_000]), duplicate=chance.choice([0.0, 0.0, 0.05])
        ),
        disks=Disks(base_us=chance.choice([100, 1_000]), jitter_us=chance.choice([100, 3_000])),
        start=Start(join=()),
        system=system,
        operations=(*calls, *_late_calls(system.core, system.shards), *queries),
        faults=tuple(faults),
    )


def _late_calls(core: tuple[str, ...], shards: int) -> list[Call]:
    """One for each shard, through the core."""
    keys: dict[int, str] = {}
    number = 0
    while len(keys) < shards:
        keys.setdefault(shard_of_key(f"late-{number}", shards), f"late-{number}")
        number += 1
    return [
        Call(
            at_ms=OWNED_MS + 20 * turn,
            agent="square",
            script=Script(10_000 + turn),
            gateway=core[turn % len(core)],
            receipt=True,
            key=keys[shard],
            deadline_ms=LATE_DEADLINE_MS,
        )
        for turn, shard in enumerate(sorted(keys))
    ]
