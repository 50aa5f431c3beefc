"""The tape of a seed, for whole nodes whose agents misbehave: slow, hanging, leaking, answering what they must not.

The mesh itself is well but for a crash now and then, late orders and a process that starts with a wrong setting.
Faults are over at HEAL_MS; then calls succeed again, once those agents are trusted that had to be set aside.  What has
been answered is what an attempt has said, wrong or not: nobody between it and the client makes it better or worse.
"""

import random
from typing import get_args

from hubless_agents.contract import OnBreach
from hubless_sim.faults import (
    AgentAnswers,
    AgentHangs,
    AgentLeaks,
    AgentSlow,
    Crash,
    Fault,
    Misconfigured,
    Restart,
    StaleOrders,
    StoreSevered,
    StoreSlow,
    StoreToken,
)
from hubless_sim.faults.agents import Answering, Setting, Showing
from hubless_sim.tapes.draw import Draw, Maker
from hubless_sim.tapes.operations import Call, Query
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering, ReplicaKnobs
from hubless_sim.tapes.tape import Start, Tape

NODES = 4
CLIENTS = 2
NAMES = tuple(f"n{index}" for index in range(NODES))
BEAT_MS = 50
BEGIN_MS = 1_200
HEAL_MS = 4_000
OWNED_MS = HEAL_MS + 60 * BEAT_MS
LATE_MS = OWNED_MS + 15_000
"""An agent that was set aside on all nodes is tried again by then, on one of them at least."""
LATE_CALLS = 8
END_MS = LATE_MS + 10_000

AGENTS = (
    Offering(name="plain", deadline_ms=300),
    Offering(name="again", deadline_ms=300, on_breach=OnBreach(schema="retry", raised="retry")),
    Offering(name="once", deadline_ms=300, retries=0),
    Offering(name="strict", deadline_ms=300, on_breach=OnBreach(deadline="quarantine")),
    Offering(name="wide", deadline_ms=300, concurrency=4),
    Offering(name="large", deadline_ms=300, memory_mb=96),
    Offering(name="clerk", deadline_ms=300, store=True),
    Offering(name="asks", deadline_ms=300, store=True, on_breach=OnBreach(raised="retry")),
)


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"agents:{seed}")
    draw = Draw(chance, NAMES, unlucky=NAMES[-1], begin_ms=BEGIN_MS, heal_ms=HEAL_MS)
    makers = [make for make in _MAKERS if chance.random() < 0.4] or [_answers]
    faults = [fault for _ in range(chance.randint(2, 10)) for fault in chance.choice(makers)(draw)]
    calls = [_drawn_call(chance, number) for number in range(chance.choice([20, 40, 80]))]
    calls += [
        Call(
            at_ms=LATE_MS + 50 * number,
            agent=agent.name,
            script=Script(10_000 + number),
            gateway=NAMES[number % NODES],
            receipt=True,
            own_shard=False,
            deadline_ms=6_000,
        )
        for number, agent in enumerate(AGENTS)
    ]
    return Tape(
        seed=seed,
        nodes=NODES,
        clients=CLIENTS,
        duration_ms=END_MS,
        start=Start(join=()),
        system=MeshSystem(
            agents=AGENTS,
            workers=chance.choice([1, 2]),
            shards=chance.choice([3, 8]),
            queue=chance.choice([4, 256]),
            max_kills=chance.choice([1, 5, 20]),
            patience_ms=chance.choice([200, 600]),
            owned_ms=OWNED_MS,
            replicas=ReplicaKnobs(beat_ms=BEAT_MS),
        ),
        operations=(
            *calls,
            *_drawn_second_thoughts(random.Random(f"agents:again:{seed}"), calls[: -len(AGENTS)]),
        ),
        faults=tuple(faults),
    )


def _drawn_call(chance: random.Random, number: int) -> Call:
    """Long enough, some of them, for memory to be looked at while they run."""
    return Call(
        at_ms=chance.randrange(BEGIN_MS - 300, HEAL_MS),
        agent=chance.choice(AGENTS).name,
        script=Script(number, ms=chance.choice([None, None, 60.0, 150.0])),
        gateway=chance.choice(NAMES),
        own_shard=chance.random() < 0.5,
        key=chance.choice(["", "", f"key-{chance.randrange(5)}"]),
        deadline_ms=chance.choice([1_000, 3_000]),
        receipt=chance.random() < 0.7,
        cancel_after_ms=chance.choice([20, 200]) if chance.random() < 0.05 else None,
        repeat_after_ms=chance.choice([10, 500]) if chance.random() < 0.2 else None,
    )


def _drawn_second_thoughts(chance: random.Random, calls: list[Call]) -> list[Query]:
    """Some tasks are cancelled while they run, and tried again at once: the process that had them may run on."""
    queries: list[Query] = []
    for number, call in enumerate(calls):
        if chance.random() < 0.15:
            gateway = chance.choice(NAMES)
            at_ms = call.at_ms + chance.choice([20, 40, 80])
            queries.append(Query(at_ms=at_ms, what="cancel", gateway=gateway, call=number))
            at_ms += chance.choice([5, 20, 40])
            queries.append(Query(at_ms=at_ms, what="retry", gateway=gateway, call=number))
    return queries


def _whose(draw: Draw) -> dict[str, object]:
    """When, where, and of whom: of all agents or of a few, always or now and then."""
    at_ms, until_ms = draw.times()
    chance = draw.chance
    if chance.random() < 0.5:
        until_ms = draw.heal_ms
    names = sorted(agent.name for agent in AGENTS)
    agents = () if chance.random() < 0.5 else tuple(sorted(chance.sample(names, chance.randint(1, 3))))
    return {
        "at_ms": at_ms,
        "until_ms": until_ms,
        "nodes": draw.names if chance.random() < 0.4 else draw.some(len(draw.names)),
        "agents": agents,
        "rate": chance.choice([0.3, 1.0, 1.0]),
    }


def _slow(draw: Draw) -> list[Fault]:
    return [AgentSlow(**_whose(draw), factor=draw.chance.choice([3, 30, 300]))]  # type: ignore[arg-type]


def _hangs(draw: Draw) -> list[Fault]:
    return [AgentHangs(**_whose(draw))]  # type: ignore[arg-type]


def _answers(draw: Draw) -> list[Fault]:
    """Two ways of answering, perhaps at the same time."""
    ways = draw.chance.sample(get_args(Answering), 2)
    return [AgentAnswers(**_whose(draw), does=does) for does in ways]  # type: ignore[arg-type]


def _leaks(draw: Draw) -> list[Fault]:
    return [AgentLeaks(**_whose(draw), mb=draw.chance.choice([10, 40, 200]))]  # type: ignore[arg-type]


def _severed(draw: Draw) -> list[Fault]:
    return [StoreSevered(**_whose(draw))]  # type: ignore[arg-type]


def _slow_store(draw: Draw) -> list[Fault]:
    jitter_us = draw.chance.choice([5_000, 50_000, 200_000])
    return [StoreSlow(**_whose(draw), base_us=1_000, jitter_us=jitter_us)]  # type: ignore[arg-type]


def _token(draw: Draw) -> list[Fault]:
    return [StoreToken(**_whose(draw), does=draw.chance.choice(get_args(Showing)))]  # type: ignore[arg-type]


def _crash(draw: Draw) -> list[Fault]:
    at_ms, until_ms = draw.times()
    nodes = draw.some(1)
    return [Crash(at_ms=at_ms, nodes=nodes), Restart(at_ms=until_ms, nodes=nodes)]


def _stale(draw: Draw) -> list[Fault]:
    """Late orders, and mostly a new owner meanwhile."""
    at_ms, until_ms = draw.times()
    late_ms = draw.chance.choice([20, 300, 1_000])
    stale: list[Fault] = [
        StaleOrders(at_ms=at_ms, until_ms=until_ms, nodes=draw.some(len(draw.names)), late_ms=late_ms)
    ]
    return stale + (_crash(draw) if draw.chance.random() < 0.6 else [])


def _misconfigured(draw: Draw) -> list[Fault]:
    """One process starts with a wrong setting, and anew with the right one."""
    at_ms, until_ms = draw.times()
    nodes, does = (draw.unlucky,), draw.chance.choice(get_args(Setting))
    wrong = Misconfigured(at_ms=at_ms - 1, until_ms=until_ms - 1, nodes=nodes, does=does)
    return [wrong, Restart(at_ms=at_ms, nodes=nodes), Restart(at_ms=draw.heal_ms, nodes=nodes)]


_MAKERS: tuple[Maker, ...] = (
    _slow,
    _hangs,
    _answers,
    _leaks,
    _severed,
    _slow_store,
    _token,
    _crash,
    _stale,
    _misconfigured,
)

MAKERS: dict[str, Maker] = {f"agent{make.__name__}": make for make in _MAKERS if make is not _crash}
"""What draws such faults, by its name."""
