"""Meshes that are broken at random, with agents that stumble at random, keep what they promise."""

import asyncio
import os
import random
import time
from collections.abc import Callable

import pytest
import trio

from hubless import Context, agent
from hubless_sim import SimulatedMesh

STEPS = 25


@agent(deadline_s=3, retries=3)
async def stumbles(n: int, ctx: Context) -> list[float]:
    await asyncio.sleep(2 * random.random())  # noqa: TID251 the mesh seeds it
    if random.random() < 0.1:  # noqa: TID251
        raise LookupError(ctx.task)
    return [n, ctx.attempt, random.random()]  # noqa: TID251


@agent(deadline_s=3, retries=0, runtime="trio")
async def once(n: int) -> list[float]:
    await trio.sleep(random.random())  # noqa: TID251
    return [n, random.random()]  # noqa: TID251


@agent(deadline_s=2, retries=5, durability="none")
def dies(n: int) -> int:
    time.sleep(random.random())  # noqa: TID251
    if random.random() < 0.1:  # noqa: TID251
        os._exit(1)
    return n


def break_something(mesh: SimulatedMesh, chance: random.Random) -> None:
    nodes = mesh.nodes
    acts: list[Callable[[], object]] = [
        lambda: mesh.kill(chance.choice(nodes), silent=chance.random() < 0.3),
        mesh.restart,
        lambda: mesh.cut(chance.sample(nodes, chance.randrange(1, len(nodes)))),
        lambda: mesh.cut_one_way([chance.choice(nodes)]),
        lambda: mesh.pause(chance.choice(nodes)),
        lambda: mesh.lose(0.1),
        mesh.heal,
    ]
    chance.choice(acts)()


def play(seed: int) -> None:
    chance = random.Random(seed)
    nodes, shards = chance.choice([3, 4, 5]), chance.choice([1, 3, 8])
    with SimulatedMesh([stumbles, once, dies], seed=seed, nodes=nodes, shards=shards) as mesh:
        clients = [mesh.client, mesh.connect("n0"), mesh.connect("n1", "n2")]
        calls = []
        for _ in range(STEPS):
            mesh.advance(1.5 * chance.random())
            if chance.random() < 0.6:
                break_something(mesh, chance)
                continue
            for _ in range(chance.randrange(8)):
                name, n = chance.choice(["stumbles", "once", "dies"]), chance.randrange(6)
                label = f"{name}-{n}" if name != "dies" and chance.random() < 0.4 else ""
                timeout = chance.choice([None, 2, 20])
                calls.append(chance.choice(clients).begin(name, n, idempotency_key=label, timeout=timeout))
    assert all(call.is_done for call in calls)


@pytest.mark.parametrize("seed", range(68, 72))
def test_chaos(seed: int) -> None:
    play(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1_000, 1_200, 20))
def test_much_chaos(first: int) -> None:
    for seed in range(first, first + 20):
        play(seed)
