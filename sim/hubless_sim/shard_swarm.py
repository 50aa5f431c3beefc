"""The tape of a seed, for bare shards: which kinds of faults there are at all, how many, when, and all knobs.

Faults are over at HEAL_MS: what still lasts ends, who is down starts, and everybody is told the truth.  From then on
every shard whose quorum still exists must answer within LIVE_BEATS beats.
"""

import random
from collections.abc import Callable
from typing import Literal

from hubless_sim.faults import (
    Bandwidth,
    BitRot,
    ClockDrift,
    ClockJump,
    Corrupt,
    Crash,
    Duplicate,
    FailedFlush,
    Fault,
    Flapping,
    FullDisk,
    Isolate,
    Latency,
    Loss,
    OneWay,
    Partition,
    Pause,
    PowerCut,
    Restart,
    RingPartition,
    SlowDisk,
    SlowNode,
    StalledDisk,
    Starve,
    TornWrite,
)
from hubless_sim.operations import Operation, Opinion, Ring
from hubless_sim.systems import ShardSystem, Workload
from hubless_sim.tape import Conditions, Disks, Monitored, Start, Tape

NODES = 5
CLIENTS = 3
NAMES = tuple(f"n{index}" for index in range(NODES))
BEAT_MS = 50
BEGIN_MS = 600
HEAL_MS = 2_600
LIVE_BEATS = 60
PROBE_MS = HEAL_MS + 10 * BEAT_MS

Maker = Callable[["_Draw"], list[Fault]]

_CONDITIONS: tuple[Literal["well", "doubtful", "gone", "draining"], ...] = (
    "well",
    "doubtful",
    "gone",
    "draining",
)


class _Draw:
    """Chance of one seed.  ``unlucky`` is the one machine whose disk may lose what it promised to keep."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"shards:{seed}")
        self.unlucky = self.chance.choice(NAMES)

    def times(self) -> tuple[int, int]:
        at_ms = self.chance.randrange(BEGIN_MS, HEAL_MS - 100)
        return at_ms, min(HEAL_MS, at_ms + self.chance.choice([20, 100, 300, 1_000, 2_000]))

    def some(self, most: int = 2) -> tuple[str, ...]:
        return tuple(sorted(self.chance.sample(NAMES, self.chance.randint(1, most))))

    def halves(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        left = self.some(NODES - 1)
        return left, tuple(name for name in NAMES if name not in left)


def _crash(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    nodes = draw.some()
    crash = Crash(at_ms=at_ms, nodes=nodes, silent=draw.chance.random() < 0.3)
    return [crash, Restart(at_ms=until_ms, nodes=nodes)]


def _restart(draw: _Draw) -> list[Fault]:
    return [Restart(at_ms=draw.times()[0], nodes=draw.some(NODES))]


def _restless(draw: _Draw) -> list[Fault]:
    """Slow links and one restart after the other: terms come and go before their owners have got anywhere."""
    at_ms, until_ms = draw.times()
    slow = Latency(at_ms=at_ms, until_ms=until_ms, base_us=20_000, jitter_us=60_000)
    restarts = [
        Restart(at_ms=draw.chance.randrange(at_ms, until_ms), nodes=draw.some())
        for _ in range(draw.chance.randint(3, 10))
    ]
    return [slow, *restarts]


def _wipe(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    lost = (draw.unlucky,)
    return [Crash(at_ms=at_ms, nodes=lost), Restart(at_ms=until_ms, nodes=lost, wipe=True)]


def _power_cut(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [PowerCut(at_ms=at_ms, until_ms=until_ms, nodes=NAMES)]


def _pause(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Pause(at_ms=at_ms, until_ms=until_ms, nodes=draw.some())]


def _starve(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    blocks: Literal["all", "messages"] = "messages" if draw.chance.random() < 0.3 else "all"
    return [
        Starve(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(), blocks=blocks, blocked_ms=150, awake_ms=50)
    ]


def _slow_node(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [
        SlowNode(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(), factor=draw.chance.choice([20, 100, 300]))
    ]


def _clocks(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    ppm = draw.chance.choice([-50_000, -200, 200, 50_000])
    jump = ClockJump(at_ms=at_ms, nodes=draw.some(), by_ms=draw.chance.choice([-3_600_000, 5_000]))
    return [jump, ClockDrift(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(), ppm=ppm)]


def _partition(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    left, right = draw.halves()
    if draw.chance.random() < 0.3:
        right = right[1:] or left[:1]  # the one that is taken out is a bridge
        left = tuple(name for name in left if name not in right) or (draw.unlucky,)
    return [Partition(at_ms=at_ms, until_ms=until_ms, sides=(left, () if set(left) & set(right) else right))]


def _one_way(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [OneWay(at_ms=at_ms, until_ms=until_ms, sources=draw.some(), targets=draw.some())]


def _isolate(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Isolate(at_ms=at_ms, until_ms=until_ms, nodes=draw.some())]


def _ring_partition(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [RingPartition(at_ms=at_ms, until_ms=until_ms, nodes=tuple(draw.chance.sample(NAMES, NODES)))]


def _flapping(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Flapping(at_ms=at_ms, until_ms=until_ms, sides=draw.halves(), down_ms=120, up_ms=80)]


def _loss(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Loss(at_ms=at_ms, until_ms=until_ms, rate=draw.chance.choice([0.05, 0.3, 0.7]))]


def _duplicate(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Duplicate(at_ms=at_ms, until_ms=until_ms, rate=0.5)]


def _latency(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [
        Latency(at_ms=at_ms, until_ms=until_ms, base_us=5_000, jitter_us=40_000, sources=draw.some(NODES))
    ]


def _corrupt(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Corrupt(at_ms=at_ms, until_ms=until_ms, rate=0.3)]


def _bandwidth(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Bandwidth(at_ms=at_ms, until_ms=until_ms, bytes_per_s=draw.chance.choice([5_000, 50_000]))]


def _slow_disk(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [SlowDisk(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(3), base_us=20_000, jitter_us=30_000)]


def _stalled_disk(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [StalledDisk(at_ms=at_ms, until_ms=until_ms, nodes=draw.some())]


def _full_disk(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    room_bytes = draw.chance.choice([0, 500])
    return [FullDisk(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(), room_bytes=room_bytes)]


def _failed_flush(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    nodes = draw.some()
    return [FailedFlush(at_ms=at_ms, until_ms=until_ms, nodes=nodes), Restart(at_ms=HEAL_MS, nodes=nodes)]


def _torn_write(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    torn = TornWrite(at_ms=0, nodes=(draw.unlucky,))
    return [torn, *(Restart(at_ms=each, nodes=(draw.unlucky,)) for each in (at_ms, until_ms))]


def _bit_rot(draw: _Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [BitRot(at_ms=at_ms, nodes=(draw.unlucky,)), Restart(at_ms=until_ms, nodes=(draw.unlucky,))]


_MAKERS: tuple[Maker, ...] = (
    _crash,
    _restart,
    _restless,
    _wipe,
    _power_cut,
    _pause,
    _starve,
    _slow_node,
    _clocks,
    _partition,
    _one_way,
    _isolate,
    _ring_partition,
    _flapping,
    _loss,
    _duplicate,
    _latency,
    _corrupt,
    _bandwidth,
    _slow_disk,
    _stalled_disk,
    _full_disk,
    _failed_flush,
    _torn_write,
    _bit_rot,
)


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    draw = _Draw(seed)
    chance = draw.chance
    makers = [make for make in _MAKERS if chance.random() < 0.25] or [_crash]
    faults = [fault for _ in range(chance.randint(1, 6)) for fault in chance.choice(makers)(draw)]
    members = _first_members(draw)
    absent = tuple(name for name in NAMES if name not in members)
    faults += [Restart(at_ms=draw.times()[0], nodes=(name,)) for name in absent]
    operations = [*_drawn_opinions(draw, members), *_truth()]
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


def _first_members(draw: _Draw) -> tuple[str, ...]:
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


def _drawn_opinions(draw: _Draw, members: tuple[str, ...]) -> list[Operation]:
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


def _truth() -> list[Operation]:
    """From now on everybody knows that all are well and on the ring."""
    at_ms = HEAL_MS + 20
    well = [Opinion(at_ms=at_ms, nodes=NAMES, member=name, condition="well") for name in NAMES]
    return [Ring(at_ms=at_ms, nodes=NAMES, members=NAMES), *well]
