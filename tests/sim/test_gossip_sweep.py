"""Fifty fixed seeds: meshes of 5 to 20 nodes under faults of every kind, then calm, then right views."""

import random

import pytest

from hubless_gossip import Condition
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
from hubless_sim.gossip.run import GossipRun
from hubless_sim.tapes.tape import Conditions, Tape

FAULTS_END_MS = 12_000
CALM_MS = 20_000


def drawn_fault(chance: random.Random, names: list[str]) -> list[Fault]:
    """One fault that is over at FAULTS_END_MS, or a crash with or without a restart."""
    at_ms = chance.randrange(1000, FAULTS_END_MS - 1000)
    until_ms = chance.randrange(at_ms + 100, FAULTS_END_MS)
    nodes = tuple(sorted(chance.sample(names, chance.randrange(1, len(names) // 2 + 1))))
    other = (chance.choice(names),)
    match chance.randrange(10):
        case 0:
            return [Crash(at_ms=at_ms, nodes=nodes[:2], silent=chance.random() < 0.5)]
        case 1:
            crash = Crash(at_ms=at_ms, nodes=nodes, silent=chance.random() < 0.5)
            return [crash, Restart(at_ms=until_ms, nodes=nodes, wipe=chance.random() < 0.3)]
        case 2:
            return [Pause(at_ms=at_ms, until_ms=until_ms, nodes=nodes)]
        case 3:
            return [Starve(at_ms=at_ms, until_ms=until_ms, nodes=nodes, blocked_ms=600, awake_ms=200)]
        case 4:
            return [Starve(at_ms=at_ms, until_ms=until_ms, nodes=nodes, blocks="messages")]
        case 5:
            return [Partition(at_ms=at_ms, until_ms=until_ms, sides=(nodes, ()))]
        case 6:
            return [OneWay(at_ms=at_ms, until_ms=until_ms, sources=nodes, targets=other)]
        case 7:
            return [Isolate(at_ms=at_ms, until_ms=until_ms, nodes=nodes[:2])]
        case 8:
            return [Latency(at_ms=at_ms, until_ms=until_ms, base_us=20_000, jitter_us=30_000, sources=nodes)]
        case _:
            duplicates = Duplicate(at_ms=at_ms, until_ms=until_ms, rate=0.5)
            return [Loss(at_ms=at_ms, until_ms=until_ms, rate=chance.random()), duplicates]


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed: it draws size, conditions and up to five faults."""
    chance = random.Random(f"sweep:{seed}")
    count = chance.choice([5, 5, 6, 7, 8, 10, 14, 20])
    names = [f"n{index}" for index in range(count)]
    faults = [fault for _ in range(chance.randrange(1, 6)) for fault in drawn_fault(chance, names)]
    return Tape(
        seed=seed,
        nodes=count,
        duration_ms=FAULTS_END_MS + CALM_MS,
        links=Conditions(loss=chance.choice([0.0, 0.01, 0.03]), duplicate=chance.choice([0.0, 0.05])),
        faults=tuple(faults),
    )


@pytest.mark.parametrize("seed", range(50))
def test_views_are_right_after_the_calm(seed: int) -> None:
    tape = drawn_tape(seed)
    run = GossipRun(tape)
    run.advance_to_ms(tape.duration_ms)
    running = set(run.running())
    wrong = {
        (node, other): condition.name
        for node in running
        for other, condition in run.view(node).items()
        if (condition is Condition.ALIVE) != (other in running)
    }
    unknown = {(node, other) for node in running for other in running if other not in run.view(node)}
    assert (wrong, unknown) == ({}, set()), tape.to_json().decode()
