"""The tape of a seed, for agents that go on in a partition: some tasks run on both sides, and come to two outcomes.

Nodes are cut off; clients reach both sides, hand the same task in on both, and cancel it on one. All is well from
HEAL_MS on: the first outcome that a shard has written down stays what it is, whatever was found out elsewhere.
"""

import random
from collections.abc import Iterator

from hubless_sim.faults import Crash, Fault, Partition, Restart
from hubless_sim.tapes.operations import Call, Operation, Query
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering, ReplicaKnobs
from hubless_sim.tapes.tape import Start, Tape

NODES = 4
CLIENTS = 2
NAMES = tuple(f"n{index}" for index in range(NODES))
BEGIN_MS = 1_500
HEAL_MS = 9_000
OWNED_MS = 13_000
END_MS = 16_000
LATE_CALLS = 4

AGENTS = (
    Offering(name="run", partition="run", deadline_ms=6_000),
    Offering(name="once", partition="run", retries=0, deadline_ms=6_000),
    Offering(name="wait", deadline_ms=6_000),
)


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"apart:{seed}")
    cut = _drawn_cut(chance, BEGIN_MS + chance.randrange(200, 1_000))
    calls = [_drawn_call(chance, number, cut) for number in range(chance.choice([15, 30]))]
    calls += [
        Call(
            at_ms=OWNED_MS + 50 * number,
            agent=AGENTS[number % len(AGENTS)].name,
            script=Script(10_000 + number),
            gateway=NAMES[number % NODES],
            receipt=True,
            own_shard=False,
            deadline_ms=6_000,
        )
        for number in range(LATE_CALLS)
    ]
    return Tape(
        seed=seed,
        nodes=NODES,
        clients=CLIENTS,
        duration_ms=END_MS + 10_000,
        start=Start(join=()),
        system=MeshSystem(
            agents=AGENTS,
            workers=chance.choice([2, 4]),
            shards=chance.choice([3, 8]),
            patience_ms=60_000,
            owned_ms=OWNED_MS,
            replicas=ReplicaKnobs(),
        ),
        operations=(*calls, *_drawn_queries(chance, calls[:-LATE_CALLS])),
        faults=(cut, *_drawn_others(chance, cut)),
    )


def _drawn_cut(chance: random.Random, at_ms: int) -> Partition:
    """One is alone."""
    until_ms = min(HEAL_MS, at_ms + chance.randrange(3_000, 7_000))
    alone = chance.choice(NAMES)
    others = tuple(name for name in NAMES if name != alone)
    return Partition(at_ms=at_ms, until_ms=until_ms, sides=((alone,), others))


def _drawn_others(chance: random.Random, cut: Partition) -> Iterator[Fault]:
    """Perhaps another one is alone after that, or the same one; perhaps who is alone crashes before it is back."""
    ends_ms = cut.until_ms or HEAL_MS
    if chance.random() < 0.3:
        crash_ms = chance.randrange(cut.at_ms, ends_ms)
        yield Crash(at_ms=crash_ms, nodes=cut.sides[0])
        yield Restart(at_ms=crash_ms + 300, nodes=cut.sides[0])
    at_ms = ends_ms + chance.randrange(100, 2_000)
    if at_ms < HEAL_MS - 2_000:
        yield _drawn_cut(chance, at_ms)


def _drawn_call(chance: random.Random, number: int, cut: Partition) -> Call:
    """Most are asked of the one that is alone first, about when that begins, and are under way then."""
    is_early = chance.random() < 0.7
    at_ms = cut.at_ms + chance.randrange(-800, 200) if is_early else chance.randrange(BEGIN_MS, HEAL_MS)
    return Call(
        at_ms=at_ms,
        agent=chance.choice(["run", "run", "run", "once", "wait"]),
        script=Script(number, ms=chance.choice([None, 300.0, 1_000.0, 2_500.0])),
        gateway=cut.sides[0][0] if is_early else chance.choice(NAMES),
        own_shard=False,
        deadline_ms=chance.choice([3_000, 12_000, 12_000]),
        receipt=chance.random() < 0.7,
        repeat_after_ms=chance.choice([500, 1_500, 3_500, 6_000]) if chance.random() < 0.6 else None,
    )


def _drawn_queries(chance: random.Random, calls: list[Call]) -> list[Operation]:
    """Some are cancelled on one side; what has become of them is asked afterwards."""
    queries: list[Operation] = []
    for number, call in enumerate(calls):
        if chance.random() < 0.3:
            at_ms = call.at_ms + chance.choice([500, 2_500, 4_000])
            queries.append(Query(at_ms=at_ms, what="cancel", gateway=chance.choice(NAMES), call=number))
        if chance.random() < 0.5:
            at_ms = chance.randrange(HEAL_MS, END_MS)
            queries.append(Query(at_ms=at_ms, what="status", gateway=chance.choice(NAMES), call=number))
    return queries
