"""The same seed and the same test are the same run, in every process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubless_sim import SimulatedMesh

AGENTS = """
import asyncio, random, time
import trio
from hubless import Context, agent

@agent(concurrency=4)
async def mixes(words: list[str], ctx: Context) -> list[str]:
    ctx.log(f"{len(words)} words, {ctx.deadline} s")
    async def one(word):
        await asyncio.sleep(random.expovariate(1))
        return word + str(time.time())
    return sorted(await asyncio.gather(*(one(word) for word in words))) + [await asyncio.to_thread(slowly, ctx.task)]

def slowly(task):
    time.sleep(random.random())
    return task

@agent(runtime="trio")
async def races(words: list[str]) -> list[str]:
    order = []
    async def one(word):
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        order.append(word)
        await trio.sleep(random.random())
    async with trio.open_nursery() as nursery:
        for word in words:
            nursery.start_soon(one, word)
    return order

@agent(deadline_s=3, retries=3)
def stumbles(n: int, ctx: Context) -> int:
    if random.random() < 0.5:
        raise LookupError(ctx.task)
    time.sleep(random.random() * 4)
    return n
"""

STORY = """
import sys
from hubless import MeshError
from hubless_sim import SimulatedMesh

with SimulatedMesh(sys.argv[1], seed=int(sys.argv[2]), nodes=4) as mesh:
    words = ["gossip", "ring", "shard", "owner"]
    calls = [mesh.begin(name, words, key=word) for word in words for name in ("mixes", "races")]
    calls += [mesh.begin("stumbles", n) for n in range(8)]
    mesh.advance(0.4)
    mesh.kill(mesh.attempts()[0].node)
    with mesh.cut(mesh.running()[:1]):
        mesh.advance(2)
    print([call.reply() for call in calls])
    print(mesh.log())
print(mesh.digest)
"""


def told(tmp_path: Path, *, seed: int, hash_seed: int) -> str:
    agents, story = tmp_path / "agents.py", tmp_path / "story.py"
    agents.write_text(AGENTS)
    story.write_text(STORY)
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    ran = subprocess.run(
        [sys.executable, story, agents, str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def test_one_seed_is_one_run_whatever_the_hash_seed(tmp_path: Path) -> None:
    assert told(tmp_path, seed=3, hash_seed=1) == told(tmp_path, seed=3, hash_seed=2)


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    assert told(tmp_path, seed=3, hash_seed=1) != told(tmp_path, seed=4, hash_seed=1)


def test_meshes_one_after_another_do_not_know_of_each_other(tmp_path: Path) -> None:
    agents = tmp_path / "agents.py"
    agents.write_text(AGENTS)

    def digest() -> str:
        with SimulatedMesh(agents, nodes=3) as mesh:
            mesh.call("mixes", ["a", "b"])
            mesh.call("races", ["a", "b", "c"])
        return mesh.digest

    assert digest() == digest()


@pytest.mark.parametrize("seed", [1, 2])
def test_two_meshes_at_once_have_a_time_each(tmp_path: Path, seed: int) -> None:
    agents = tmp_path / "agents.py"
    agents.write_text(AGENTS)
    with (
        SimulatedMesh(agents, nodes=1, seed=seed) as first,
        SimulatedMesh(agents, nodes=1, seed=seed) as second,
    ):
        first.advance(10)
        assert second.now < first.now
        assert len(second.call("races", ["a", "b"])) == len(first.call("races", ["a", "b"]))
