"""Faults of all kinds, drawn: each kind says what one of it is, and a seed which kinds there are, how many, and when.

All are over at ``heal_ms``: what still lasts ends, and who is down starts.
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

Maker = Callable[["Draw"], list[Fault]]


class Draw:
    """Chance of one seed, and the time within which its faults begin and end.

    ``unlucky`` is the one machine whose disk may lose what it promised to keep: two of them, and shards with three
    replicas would have lost their quorum for good.
    """

    def __init__(
        self, chance: random.Random, names: tuple[str, ...], *, unlucky: str, begin_ms: int, heal_ms: int
    ) -> None:
        self.chance = chance
        self.names = names
        self.unlucky = unlucky
        self.begin_ms = begin_ms
        self.heal_ms = heal_ms

    def times(self) -> tuple[int, int]:
        """When a fault begins and ends, in ms."""
        at_ms = self.chance.randrange(self.begin_ms, self.heal_ms - 100)
        return at_ms, min(self.heal_ms, at_ms + self.chance.choice([20, 100, 300, 1_000, 2_000]))

    def some(self, most: int = 2) -> tuple[str, ...]:
        """One node or more."""
        return tuple(sorted(self.chance.sample(self.names, self.chance.randint(1, most))))

    def halves(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """All nodes, in two parts."""
        left = self.some(len(self.names) - 1)
        return left, tuple(name for name in self.names if name not in left)

    def faults(self) -> list[Fault]:
        """Which kinds there are at all, and some of each."""
        chance = self.chance
        makers = [make for make in _MAKERS if chance.random() < 0.25] or [_crash]
        return [fault for _ in range(chance.randint(1, 6)) for fault in chance.choice(makers)(self)]


def _crash(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    nodes = draw.some()
    crash = Crash(at_ms=at_ms, nodes=nodes, silent=draw.chance.random() < 0.3)
    return [crash, Restart(at_ms=until_ms, nodes=nodes)]


def _restart(draw: Draw) -> list[Fault]:
    return [Restart(at_ms=draw.times()[0], nodes=draw.some(len(draw.names)))]


def _restless(draw: Draw) -> list[Fault]:
    """Slow links and one restart after the other: terms come and go before their owners have got anywhere."""
    at_ms, until_ms = draw.times()
    slow = Latency(at_ms=at_ms, until_ms=until_ms, base_us=20_000, jitter_us=60_000)
    restarts = [
        Restart(at_ms=draw.chance.randrange(at_ms, until_ms), nodes=draw.some())
        for _ in range(draw.chance.randint(3, 10))
    ]
    return [slow, *restarts]


def _wipe(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    lost = (draw.unlucky,)
    return [Crash(at_ms=at_ms, nodes=lost), Restart(at_ms=until_ms, nodes=lost, wipe=True)]


def _power_cut(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [PowerCut(at_ms=at_ms, until_ms=until_ms, nodes=draw.names)]


def _pause(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Pause(at_ms=at_ms, until_ms=until_ms, nodes=draw.some())]


def _starve(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    blocks: Literal["all", "messages"] = "messages" if draw.chance.random() < 0.3 else "all"
    return [
        Starve(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(), blocks=blocks, blocked_ms=150, awake_ms=50)
    ]


def _slow_node(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [
        SlowNode(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(), factor=draw.chance.choice([20, 100, 300]))
    ]


def _clocks(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    ppm = draw.chance.choice([-50_000, -200, 200, 50_000])
    jump = ClockJump(at_ms=at_ms, nodes=draw.some(), by_ms=draw.chance.choice([-3_600_000, 5_000]))
    return [jump, ClockDrift(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(), ppm=ppm)]


def _partition(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    left, right = draw.halves()
    if draw.chance.random() < 0.3:
        right = right[1:] or left[:1]  # the one that is taken out is a bridge
        left = tuple(name for name in left if name not in right) or (draw.unlucky,)
    return [Partition(at_ms=at_ms, until_ms=until_ms, sides=(left, () if set(left) & set(right) else right))]


def _one_way(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [OneWay(at_ms=at_ms, until_ms=until_ms, sources=draw.some(), targets=draw.some())]


def _isolate(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Isolate(at_ms=at_ms, until_ms=until_ms, nodes=draw.some())]


def _ring_partition(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [
        RingPartition(
            at_ms=at_ms, until_ms=until_ms, nodes=tuple(draw.chance.sample(draw.names, len(draw.names)))
        )
    ]


def _flapping(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Flapping(at_ms=at_ms, until_ms=until_ms, sides=draw.halves(), down_ms=120, up_ms=80)]


def _loss(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Loss(at_ms=at_ms, until_ms=until_ms, rate=draw.chance.choice([0.05, 0.3, 0.7]))]


def _duplicate(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Duplicate(at_ms=at_ms, until_ms=until_ms, rate=0.5)]


def _latency(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [
        Latency(
            at_ms=at_ms,
            until_ms=until_ms,
            base_us=5_000,
            jitter_us=40_000,
            sources=draw.some(len(draw.names)),
        )
    ]


def _corrupt(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Corrupt(at_ms=at_ms, until_ms=until_ms, rate=0.3)]


def _bandwidth(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [Bandwidth(at_ms=at_ms, until_ms=until_ms, bytes_per_s=draw.chance.choice([5_000, 50_000]))]


def _slow_disk(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [SlowDisk(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(3), base_us=20_000, jitter_us=30_000)]


def _stalled_disk(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    return [StalledDisk(at_ms=at_ms, until_ms=until_ms, nodes=draw.some())]


def _full_disk(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    room_bytes = draw.chance.choice([0, 500])
    return [FullDisk(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(), room_bytes=room_bytes)]


def _failed_flush(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    nodes = draw.some()
    return [
        FailedFlush(at_ms=at_ms, until_ms=until_ms, nodes=nodes),
        Restart(at_ms=draw.heal_ms, nodes=nodes),
    ]


def _torn_write(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    torn = TornWrite(at_ms=0, nodes=(draw.unlucky,))
    return [torn, *(Restart(at_ms=each, nodes=(draw.unlucky,)) for each in (at_ms, until_ms))]


def _bit_rot(draw: Draw) -> list[Fault]:
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

MAKERS: dict[str, Maker] = {make.__name__.removeprefix("_"): make for make in _MAKERS}
"""What draws faults of each sort, by its name: mostly that of a kind of fault."""
