"""Troubles that one node has for ever, drawn: with its links to some of the core or to all, process, disk, or clock.

``draw.unlucky`` is the node; who is not of the core and not the node may be concerned as well.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec.structs import replace

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
    SizeLimit,
    SlowDisk,
    SlowNode,
    StalledDisk,
    Starve,
)
from hubless_sim.tapes.draw import Draw

MOST_WRONG_MS = 2_000
"""A deadline is kept by the clock of the shard's owner, and nothing else ends what a node has that hears nobody."""
MOST_LOST = 0.3
"""Of packets, for ever: a connection that loses more carries next to nothing."""


def milder(fault: Fault) -> Fault:
    """The fault, as far as it can be borne for ever."""
    match fault:
        case ClockJump(by_ms=by_ms):
            return replace(fault, by_ms=max(by_ms, -MOST_WRONG_MS))
        case Loss(rate=rate, until_ms=None):
            return replace(fault, rate=min(rate, MOST_LOST))
        case _:
            return fault


Maker = Callable[[Draw, tuple[str, ...], int], list[Fault]]


def drawn_stay(draw: Draw, core: tuple[str, ...], makers: Sequence[Maker]) -> list[Fault]:
    """One trouble of the node, or two, that begin at some time and never end."""
    chance = draw.chance
    chosen = chance.sample(makers, chance.choice([1, 1, 2]))
    return [fault for make in chosen for fault in make(draw, core, draw.times()[0])]


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


def _slow_links(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    out, back = (draw.unlucky,), _some(draw, core)
    if draw.chance.random() < 0.5:
        return [Latency(at_ms=at_ms, base_us=20_000, jitter_us=40_000, sources=out, targets=back)]
    return [Bandwidth(at_ms=at_ms, bytes_per_s=5_000, sources=out, targets=back)]


def _clock(draw: Draw, _core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [ClockDrift(at_ms=at_ms, nodes=(draw.unlucky,), ppm=draw.chance.choice([-50_000, 50_000]))]


def _small_links(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [_limited(draw, core, at_ms, [400, 1_400])]


def _tiny_links(draw: Draw, core: tuple[str, ...], at_ms: int) -> list[Fault]:
    return [_limited(draw, core, at_ms, [100, 400, 1_400])]


def _limited(draw: Draw, core: tuple[str, ...], at_ms: int, sizes: list[int]) -> Fault:
    most_bytes = draw.chance.choice(sizes)
    return SizeLimit(at_ms=at_ms, most_bytes=most_bytes, sources=(draw.unlucky,), targets=_some(draw, core))


_LINKS: tuple[Maker, ...] = (_deaf, _mute, _cut, _flapping, _isolated)
_PROCESS: tuple[Maker, ...] = (_paused, _starved, _slow)

OF_ONE: tuple[Maker, ...] = (*_LINKS, _gone, _wiped, *_PROCESS, _disk, _lossy, _bad_links, _clock)
"""What shards with three replicas bear of one node."""
OF_SEVERAL: tuple[Maker, ...] = (*_LINKS, _gone, *_PROCESS, _disk, _lossy, _bad_links, _small_links, _clock)
"""What they bear of two that have no shard in common: a disk that is wiped is a new node, and may get any shard.

Small links still carry an entry: one that carries beats and no entry keeps an owner who gets nothing committed.
"""
OF_MEMBERS: tuple[Maker, ...] = (*_LINKS, _gone, *_PROCESS, _lossy, _slow_links, _tiny_links, _clock)
"""What membership alone has to bear: it has no disk, and what garbles packets is kept from it by what carries them."""
