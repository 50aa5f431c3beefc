"""The tape of a seed, for membership alone: size, conditions, faults, and what nodes say of themselves.

Faults are over at HEAL_MS, but for who crashed and is not started again; by the end of the tape views must be right.
"""

import random

from hubless_sim.faults import (
    Crash,
    Duplicate,
    Fault,
    Isolate,
    Latency,
    Loss,
    OneWay,
    Partition,
    Pause,
    Restart,
    Starve,
)
from hubless_sim.tapes.operations import Meta
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Conditions, Tape, replace

BEGIN_MS = 1_000
HEAL_MS = 12_000
CALM_MS = 20_000


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"sweep:{seed}")
    count = chance.choice([5, 5, 6, 7, 8, 10, 14, 20])
    names = [f"n{index}" for index in range(count)]
    faults = [fault for _ in range(chance.randrange(1, 6)) for fault in _drawn_fault(chance, names)]
    return Tape(
        seed=seed,
        nodes=count,
        duration_ms=HEAL_MS + CALM_MS,
        links=Conditions(loss=chance.choice([0.0, 0.01, 0.03]), duplicate=chance.choice([0.0, 0.05])),
        faults=tuple(faults),
        system=GossipSystem(right_views=True),
        operations=_drawn_operations(random.Random(f"sweep:said:{seed}"), names),
    )


def _drawn_operations(chance: random.Random, names: list[str]) -> tuple[Meta, ...]:
    """Some say something new of themselves."""
    return tuple(
        Meta(at_ms=chance.randrange(BEGIN_MS, HEAL_MS), nodes=(chance.choice(names),), meta=f"word {number}")
        for number in range(chance.choice([0, 1, 3]))
    )


def _drawn_fault(chance: random.Random, names: list[str]) -> list[Fault]:
    """One fault that is over at HEAL_MS, or a crash with or without a restart."""
    at_ms = chance.randrange(BEGIN_MS, HEAL_MS - 1_000)
    until_ms = chance.randrange(at_ms + 100, HEAL_MS)
    nodes = tuple(sorted(chance.sample(names, chance.randrange(1, len(names) // 2 + 1))))
    other = (chance.choice(names),)
    faults: list[Fault]
    match chance.randrange(10):
        case 0:
            faults = [Crash(at_ms=at_ms, nodes=nodes[:2], silent=chance.random() < 0.5)]
        case 1:
            crash = Crash(at_ms=at_ms, nodes=nodes, silent=chance.random() < 0.5)
            faults = [crash, Restart(at_ms=until_ms, nodes=nodes, wipe=chance.random() < 0.3)]
        case 2:
            faults = [Pause(at_ms=at_ms, until_ms=until_ms, nodes=nodes)]
        case 3:
            faults = [Starve(at_ms=at_ms, until_ms=until_ms, nodes=nodes, blocked_ms=600, awake_ms=200)]
        case 4:
            faults = [Starve(at_ms=at_ms, until_ms=until_ms, nodes=nodes, blocks="messages")]
        case 5:
            faults = [Partition(at_ms=at_ms, until_ms=until_ms, sides=(nodes, ()))]
        case 6:
            faults = [OneWay(at_ms=at_ms, until_ms=until_ms, sources=nodes, targets=other)]
        case 7:
            faults = [Isolate(at_ms=at_ms, until_ms=until_ms, nodes=nodes[:2])]
        case 8:
            faults = [
                Latency(at_ms=at_ms, until_ms=until_ms, base_us=20_000, jitter_us=30_000, sources=nodes)
            ]
        case _:
            duplicates = Duplicate(at_ms=at_ms, until_ms=until_ms, rate=0.5)
            faults = [Loss(at_ms=at_ms, until_ms=until_ms, rate=chance.random()), duplicates]
    return faults


def cramped_tape(seed: int) -> Tape:
    """The tape of a seed for nodes that keep few rumours, and do few errands for others, at a time.

    They may well believe what is wrong: refutations go the way of all rumours, and nobody asks others for them.
    """
    knobs: dict[str, int | float | bool] = {"rumours_max": 3, "relays_max": 1}
    return replace(drawn_tape(seed), system=GossipSystem(knobs=knobs))
