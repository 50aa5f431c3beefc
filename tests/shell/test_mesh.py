"""Meshes of real processes on loopback: what people see when something breaks."""

import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq

from hubless import Mesh, connect
from hubless.demo.processes import LocalMesh, LocalNode, free_ports, local_mesh
from hubless.wire import Hello, encode

PATIENCE_S = 60
AGENTS = """
import os, time
from hubless import agent

@agent
def double(number: int) -> int:
    return 2 * number

@agent(retries=5)
def slowly(number: int) -> int:
    time.sleep(0.05)
    return 2 * number
"""
BLOCKABLE = """
import ctypes, signal, sys
from hubless.cli import main

def block(number, frame):
    for _ in range(6):
        ctypes.PyDLL(None).usleep(500_000)  # PyDLL holds the interpreter during the call

signal.signal(signal.SIGUSR1, block)
main()
"""


class BlockableNode(LocalNode):
    """A node whose interpreter SIGUSR1 holds for three seconds."""

    def command(self, join: Any) -> list[str]:
        ours = super().command(join)
        return [sys.executable, "-c", BLOCKABLE, *ours[ours.index("up") :]]


class Town:
    """A running mesh and everything that its nodes have said."""

    def __init__(
        self, mesh: LocalMesh, nodes: list[LocalNode], events: list[tuple[str, dict[str, Any]]]
    ) -> None:
        self.mesh = mesh
        self.nodes = nodes
        self._events = events

    def told(self, condition: str) -> set[tuple[str, str]]:
        """(observer's name, member's id) pairs of all lines that told this condition."""
        return {
            (name, event["member"]) for name, event in self._events if event.get("condition") == condition
        }

    def client(self, nodes: list[LocalNode] | None = None) -> Any:
        return connect(*(node.work for node in nodes or self.nodes))

    async def until(self, is_so: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not is_so():
                await trio.sleep(0.01)


@asynccontextmanager
async def _town(
    folder: Path, count: int, kind: type[LocalNode] = LocalNode, *options: str
) -> AsyncIterator[Town]:
    (folder / "agents.py").write_text(AGENTS)
    events: list[tuple[str, dict[str, Any]]] = []
    async with local_mesh(lambda node, event: events.append((node.name, event))) as mesh:
        nodes = [
            kind(
                f"n{number}",
                str(folder / "agents.py"),
                folder / f"n{number}",
                f"127.0.0.1:{port}",
                ("--profile", "local", *options),
            )
            for number, port in enumerate(free_ports(count))
        ]
        with trio.fail_after(PATIENCE_S):
            await mesh.form(nodes)
        town = Town(mesh, nodes, events)
        await town.until(lambda: len(town.told("alive")) == count * (count - 1))
        async with town.client() as client:
            await client.settled()
        yield town


def _id(node: LocalNode) -> str:
    assert node.ready is not None
    return str(node.ready["node"])


async def _doubles(client: Mesh, agent: str, numbers: range) -> list[int]:
    with trio.fail_after(PATIENCE_S):
        return [answer async for answer in client.map(agent, numbers, in_flight=32)]


async def test_a_node_that_is_killed_in_the_middle_costs_no_answer(tmp_path: Path) -> None:
    async with _town(tmp_path, 3) as town, town.client() as client, trio.open_nursery() as nursery:
        victim = town.nodes[1]

        async def kill_in_the_middle() -> None:
            await trio.sleep(0.3)
            victim.kill()

        nursery.start_soon(kill_in_the_middle)
        assert await _doubles(client, "slowly", range(100)) == [2 * number for number in range(100)]


async def test_the_first_node_is_as_mortal_as_any_other(tmp_path: Path) -> None:
    async with _town(tmp_path, 3) as town:
        first, *others = town.nodes
        first.kill()
        await town.until(lambda: len(town.told("dead")) == 2)
        async with town.client(others) as client:
            assert await _doubles(client, "double", range(20)) == [2 * number for number in range(20)]
        town.mesh.start(first, [others[0].work])
        with trio.fail_after(PATIENCE_S):
            await first.wait_ready()
        async with town.client([first]) as client:
            assert await _doubles(client, "double", range(5)) == [0, 2, 4, 6, 8]


async def test_all_nodes_are_replaced_under_load_and_every_task_is_kept(tmp_path: Path) -> None:
    """Three are drained one after the other and three others come. The client was told of the first ones only."""
    few = ("--shards", "8")
    async with _town(tmp_path, 3, LocalNode, *few) as town, town.client() as client:
        accepted: dict[str, int] = {}
        is_over = trio.Event()

        async def submit() -> None:
            while not is_over.is_set():
                number = len(accepted)
                handle = await client.submit("slowly", number)
                accepted[handle.id] = number
                await trio.sleep(0.02)

        async def replace(old: LocalNode, number: int, port: int) -> None:
            listen = f"127.0.0.1:{port}"
            newcomer = LocalNode(f"n{number}", old.target, tmp_path / f"n{number}", listen, old.options)
            town.mesh.start(newcomer, [old.work])
            await newcomer.wait_ready()
            command = [sys.executable, "-m", "hubless.cli", "drain", _id(old), "--at", newcomer.work]
            await trio.run_process(command, capture_stdout=True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit)
            for number, (old, port) in enumerate(zip(town.nodes, free_ports(3), strict=True), start=3):
                with trio.fail_after(PATIENCE_S):
                    await replace(old, number, port)
                    await town.until(lambda old=old: old.ready is None)
            is_over.set()
        with trio.fail_after(PATIENCE_S):
            kept = {task: await client.result(task) for task in accepted}
        assert kept == {task: 2 * number for task, number in accepted.items()}
        assert len(kept) > 20


async def test_a_restarted_node_keeps_its_id_and_counts_its_boots(tmp_path: Path) -> None:
    async with _town(tmp_path, 2) as town:
        node = town.nodes[1]
        before = dict(node.ready or {})
        node.kill()
        await town.until(lambda: node.ready is None)
        town.mesh.start(node)  # nobody is named: it remembers its peers
        with trio.fail_after(PATIENCE_S):
            after = await node.wait_ready()
        assert (after["node"], after["mesh"], after["boot"]) == (
            before["node"],
            before["mesh"],
            before["boot"] + 1,
        )
        async with town.client([town.nodes[0]]) as client:
            with trio.fail_after(PATIENCE_S):
                while sum(member["condition"] == "alive" for member in await client.members()) < 2:
                    await trio.sleep(0.02)


async def test_a_node_whose_interpreter_is_blocked_is_busy_and_never_dead(tmp_path: Path) -> None:
    async with _town(tmp_path, 4, BlockableNode) as town:
        victim, *others = town.nodes
        assert victim.process is not None
        os.kill(victim.process.pid, signal.SIGUSR1)
        await town.until(lambda: any(member == _id(victim) for _, member in town.told("busy")))
        async with town.client(others) as client:
            assert await _doubles(client, "double", range(20)) == [2 * number for number in range(20)]
        async with town.client([victim]) as client:  # answers once it is back
            assert await _doubles(client, "double", range(3)) == [0, 2, 4]
        assert town.told("dead") == set()


async def test_a_node_that_leaves_is_left_and_not_dead(tmp_path: Path) -> None:
    async with _town(tmp_path, 3) as town, town.client(town.nodes[:1]) as client:
        leaver = town.nodes[2]
        gone = _id(leaver)
        await client.ask("leave", "n2")
        await town.until(lambda: leaver.ready is None)
        await town.until(lambda: len(town.told("left")) >= 2)
        assert not any(member == gone for _, member in town.told("dead"))
        assert await _doubles(client, "double", range(20)) == [2 * number for number in range(20)]


@pytest.mark.parametrize("port", ["work", "gossip"])
async def test_garbage_on_a_socket_hurts_nobody(tmp_path: Path, port: str) -> None:
    async with _town(tmp_path, 2) as town:
        node = town.nodes[0]
        assert node.ready is not None
        host, _, number = node.ready[port].rpartition(":")
        for size in (0, 1, 64, 4096, 1 << 16):  # not even ZeroMQ
            with socket.create_connection((host, int(number))) as raw, suppress(ConnectionError):
                raw.sendall(secrets.token_bytes(size))
        kind = zmq.DEALER if port == "work" else zmq.PUSH
        with zmq.Context() as context, context.socket(kind) as peer:
            peer.setsockopt(zmq.LINGER, 5_000)
            peer.connect(f"tcp://{host}:{number}")
            for size in (0, 1, 64, 4096, 1 << 16):
                peer.send_multipart([secrets.token_bytes(size)])
                peer.send_multipart([secrets.token_bytes(size), b"", secrets.token_bytes(size)])
                peer.send_multipart([encode(b"", "", 0, [])[0], secrets.token_bytes(size)])
            peer.send_multipart(encode(b"otherone", "n9", 1, [Hello("node")]))
        async with town.client() as client:
            assert await _doubles(client, "double", range(20)) == [2 * number for number in range(20)]
        async with town.client([node]) as client:
            counters = (await client.ask("node"))["counters"]
        dropped = (
            counters["reception"]["garbage"] if port == "work" else counters["gossip"]["malformed_packets"]
        )
        assert dropped >= 5
        assert town.told("dead") == set()
