"""The tape of a seed, for whole nodes of which one never gets well: what is wrong with it stays wrong for ever.

Five to seven nodes, of which all but one are the core. Up to HEAL_MS faults of all kinds strike everybody; then all
that is wrong within the core ends, and whatever concerns the outsider just then goes on: cuts, also of one direction
or from some of the core only, lost and garbled packets, a process that does not run or only its timers, a disk that is
stalled, full, failed or gone. As shards have three replicas, a majority of each is in the core. CALM_BEATS beats later
calls begin that go through the core, one for each shard: they succeed within LATE_DEADLINE_MS. At END_MS at the latest
each shard has one owner, everybody in the core takes everybody there for alive, all that was accepted has ended, and
nobody in the core has anything left to do.
"""

import random
from collections.abc import Callable
from typing import Literal

from msgspec.structs import replace

from hubless.placement import shard_of_key
from hubless_sim.faults import (
    Bandwidth,
    BitRot,
    ClockDrift,
    ClockJump,
    Corrupt,
    Crash,
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
    SlowDisk,
    SlowNode,
    StalledDisk,
    Starve,
)
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
from hubless_sim.tapes.tape import Conditions, Disks, Start, Tape

CALM_BEATS = 100
OWNED_MS = HEAL_MS + CALM_BEATS * BEAT_MS
END_MS = OWNED_MS + 10_000
MOST_WRONG_MS = 2_000
"""A deadline is kept by the clock of the shard's owner, and nothing else ends what a node has that hears nobody."""
MOST_LOST = 0.3
"""Of packets, for ever: a connection that loses more carries next to nothing."""


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"frozen:{seed}")
    names = tuple(f"n{index}" for index in range(chance.choice([5, 5, 6, 7])))
    outsider = chance.choice(names[1:])
    core = tuple(name for name in names if name != outsider)
    draw = Draw(chance, names, unlucky=outsider, begin_ms=BEGIN_MS, heal_ms=HEAL_MS)
    faults = [_milder(each) for fault in mild(draw.faults()) for each in frozen(fault, outsider, HEAL_MS)]
    faults += _drawn_stay(draw, core)
    system = drawn_system(chance, OWNED_MS, core)
    calls = [drawn_call(draw, number) for number in range(chance.choice([10, 20, 40]))]
    queries = drawn_queries(draw, calls)
    return Tape(
        seed=seed,
        nodes=len(names),
        clients=CLIENTS,
        duration_ms=END_MS,
        links=Conditions(
            jitter_us=chance.choice([50, 250, 2_000]), duplicate=chance.choice([0.0, 0.0, 0.05])
        ),
        disks=Disks(base_us=chance.choice([100, 1_000]), jitter_us=chance.choice([100, 3_000])),
        start=Start(join=()),
        system=system,
        operations=(*calls, *_late_calls(core, system.shards), *queries),
        faults=tuple(faults),
    )


def _milder(fault: Fault) -> Fault:
    match fault:
        case ClockJump(by_ms=by_ms):
            return replace(fault, by_ms=max(by_ms, -MOST_WRONG_MS))
        case Loss(rate=rate, until_ms=None):
            return replace(fault, rate=min(rate, MOST_LOST))
        case _:
            return fault


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


_Maker = Callable[[Draw, tuple[str, ...], int], list[Fault]]


def _drawn_stay(draw: Draw, core: tuple[str, ...]) -> list[Fault]:
    """One trouble of the outsider, or two, that begin at some time and never end."""
    chance = draw.chance
    makers = chance.sample(_STAY, chance.choice([1, 1, 2]))
    return [fault for make in makers for fault in make(draw, core, draw.times()[0])]


def _some(draw: Draw, core: tuple[str, ...]) -> tuple[str, ...]:
    """Some of the core, or all, and everybody else."""
    some = tuple(sorted(draw.chance.sample(core, draw.chance.randint(1, len(core)))))
    return () if some == core else some


def _deaf(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [OneWay(at_ms=at_ms, sources=_some(draw, core), targets=(draw.unlucky,))]


def _mute(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [OneWay(at_ms=at_ms, sources=(draw.unlucky,), targets=_some(draw, core))]


def _cut(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [Partition(at_ms=at_ms, sides=((draw.unlucky,), _some(draw, core)))]


def _flapping(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    down_ms, up_ms = draw.chance.choice([(120, 80), (1_000, 500)])
    sides = ((draw.unlucky,), _some(draw, core))
    return [Flapping(at_ms=at_ms, sides=sides, down_ms=down_ms, up_ms=up_ms)]


def _isolated(draw: Draw, _core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [Isolate(at_ms=at_ms, nodes=(draw.unlucky,))]


def _gone(draw: Draw, _core: tuple[str, ...], _at_ms: int) -> list[Fault]:
    """After whatever would have it start again."""
    if draw.chance.random() < 0.5:
        return [PowerCut(at_ms=draw.heal_ms + 1, nodes=(draw.unlucky,))]
    return [Crash(at_ms=draw.heal_ms + 1, nodes=(draw.unlucky,), silent=draw.chance.random() < 0.5)]


def _wiped(draw: Draw, _core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [Restart(at_ms=at_ms, nodes=(draw.unlucky,), wipe=True)]


def _paused(draw: Draw, _core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [Pause(at_ms=at_ms, nodes=(draw.unlucky,))]


def _starved(draw: Draw, _core: tuple[str, ...], at_ms: int) -> list[Fault]:
    blocks: Literal["all", "messages"] = draw.chance.choice(["all", "messages"])
    blocked_ms, awake_ms = draw.chance.choice([(0, 0), (150, 50), (1_500, 100)])
    return [
        Starve(at_ms=at_ms, nodes=(draw.unlucky,), blocks=blocks, blocked_ms=blocked_ms, awake_ms=awake_ms)
    ]


def _slow(draw: Draw, _core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [SlowNode(at_ms=at_ms, nodes=(draw.unlucky,), factor=draw.chance.choice([20, 100, 300]))]


def _disk(draw: Draw, _core: tuple[str, ...], at_ms: int) -> list[Fault]:
    broken = (draw.unlucky,)
    match draw.chance.randrange(5):
        case 0:
            return [StalledDisk(at_ms=at_ms, nodes=broken)]
        case 1:
            return [FullDisk(at_ms=at_ms, nodes=broken, room_bytes=draw.chance.choice([0, 500]))]
        case 2:
            return [FailedFlush(at_ms=at_ms, nodes=broken)]
        case 3:
            return [BitRot(at_ms=at_ms, nodes=broken), Restart(at_ms=at_ms + 1, nodes=broken)]
        case _:
            return [SlowDisk(at_ms=at_ms, nodes=broken, base_us=20_000, jitter_us=30_000)]


def _lossy(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    rate = draw.chance.choice([0.05, MOST_LOST])
    return [
        Loss(at_ms=at_ms, rate=rate, sources=(draw.unlucky,), targets=_some(draw, core)),
        Loss(at_ms=at_ms, rate=rate, sources=_some(draw, core), targets=(draw.unlucky,)),
    ]


def _bad_links(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    out, back = (draw.unlucky,), _some(draw, core)
    match draw.chance.randrange(3):
        case 0:
            return [Latency(at_ms=at_ms, base_us=20_000, jitter_us=40_000, sources=out, targets=back)]
        case 1:
            return [Corrupt(at_ms=at_ms, rate=0.3, sources=back, targets=out)]
        case _:
            return [Bandwidth(at_ms=at_ms, bytes_per_s=5_000, sources=out, targets=back)]


def _clock(draw: Draw, _core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [ClockDrift(at_ms=at_ms, nodes=(draw.unlucky,), ppm=draw.chance.choice([-50_000, 50_000]))]


_STAY: tuple[_Maker, ...] = (
    _deaf,
    _mute,
    _cut,
    _flapping,
    _isolated,
    _gone,
    _wiped,
    _paused,
    _starved,
    _slow,
    _disk,
    _lossy,
    _bad_links,
    _clock,
)
