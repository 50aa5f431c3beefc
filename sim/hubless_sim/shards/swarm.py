"""The tape of a seed, for bare shards: which kinds of faults there are at all, how many, when, and all knobs.

Faults are over at HEAL_MS: what still lasts ends, who is down starts, and everybody is told the truth.  From then on
every shard whose quorum still exists must answer within LIVE_BEATS beats.
"""

import random
from typing import Literal

from hubless_sim.faults import Restart
from hubless_sim.tapes.draw import Draw
from hubless_sim.tapes.operations import Operation, Opinion, Ring
from hubless_sim.tapes.systems import ShardSystem, Workload
from hubless_sim.tapes.tape import Conditions, Disks, Monitored, Start, Tape

NODES = 5
CLIENTS = 3
NAMES = tuple(f"n{index}" for index in range(NODES))
BEAT_MS = 50
BEGIN_MS = 600
HEAL_MS = 2_600
LIVE_BEATS = 60
PROBE_MS = HEAL_MS + 10 * BEAT_MS

_CONDITIONS: tuple[Literal["well", "doubtful", "gone", "draining"], ...] = (
    "well",
    "doubtful",
    "gone",
    "draining",
)


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"shards:{seed}")
    draw = Draw(chance, NAMES, unlucky=chance.choice(NAMES), begin_ms=BEGIN_MS, heal_ms=HEAL_MS)
    faults = draw.faults()
    members = _first_members(draw)
    absent = tuple(name for name in NAMES if name not in members)
    faults += [Restart(at_ms=draw.times()[0], nodes=(name,)) for name in absent]
    operations = [*_drawn_opinions(draw, members), *truth()]
    return Tape(
        seed=seed,
        nodes=NODES,
        clients=CLIENTS,
        duration_ms=HEAL_MS + LIVE_BEATS * BEAT_MS,
        links=Conditions(
            jitter_us=chance.choice([50, 250, 2_000]),
            loss=chance.choice([0.0, 0.0, 0.01]),
            duplicate=chance.choice([0.0, 0.0, 0.05]),
            monitored=Monitored(heartbeat_interval_ms=50, heartbeat_timeout_ms=150),
        ),
        disks=Disks(base_us=chance.choice([100, 1_000]), jitter_us=chance.choice([100, 3_000])),
        start=Start(absent=absent),
        system=_drawn_system(chance, members),
        operations=tuple(sorted(operations, key=lambda each: each.at_ms)),
        faults=tuple(faults),
    )


def _first_members(draw: Draw) -> tuple[str, ...]:
    """All nodes, or those that do not join later; the founder is among them."""
    if draw.chance.random() < 0.6:
        return NAMES
    return ("n0", *sorted(draw.chance.sample(NAMES[1:], draw.chance.randint(2, 3))))


def _drawn_system(chance: random.Random, members: tuple[str, ...]) -> ShardSystem:
    return ShardSystem(
        shards=chance.choice([1, 2, 3]),
        replicas=chance.choice([3, 3, 5]),
        ring=members,
        workload=Workload(
            from_ms=400,
            until_ms=HEAL_MS,
            probe_ms=PROBE_MS,
            pause_ms=chance.choice([20, 60, 200]),
            patience_ms=chance.choice([60, 200]),
            keys=chance.choice([1, 2]),
            writes=chance.choice([0.4, 0.6]),
        ),
        beat_ms=BEAT_MS,
        compact_bytes=chance.choice([200, 1_000, 100_000]),
        keep_entries=chance.choice([0, 2, 16]),
        most_append_bytes=chance.choice([100, 262_144]),
        most_append_entries=chance.choice([1, 3, 512]),
        window=chance.choice([1, 2, 16]),
        chunk_bytes=chance.choice([20, 262_144]),
        most_moves=chance.choice([1, 8]),
    )


def _drawn_opinions(draw: Draw, members: tuple[str, ...]) -> list[Operation]:
    """Wrong or late ones, differing from node to node: of conditions, and of who is on the ring."""
    chance = draw.chance
    operations: list[Operation] = []
    for _ in range(chance.choice([0, 0, 2, 5])):
        condition = chance.choice(_CONDITIONS)
        operations.append(
            Opinion(
                at_ms=draw.times()[0],
                nodes=draw.some(NODES),
                member=chance.choice(NAMES),
                condition=condition,
            )
        )
    for _ in range(chance.choice([0, 1, 3])):
        ring = tuple(sorted(chance.sample(NAMES, chance.randint(3, NODES))))
        operations.append(Ring(at_ms=draw.times()[0], nodes=draw.some(NODES), members=ring))
    if members != NAMES:
        operations.append(Ring(at_ms=draw.times()[0], nodes=draw.some(NODES), members=NAMES))
    return operations


def truth(names: tuple[str, ...] = NAMES) -> list[Operation]:
    """From now on everybody knows that all are well and on the ring."""
    at_ms = HEAL_MS + 20
    well = [Opinion(at_ms=at_ms, nodes=names, member=name, condition="well") for name in names]
    return [Ring(at_ms=at_ms, nodes=names, members=names), *well]
