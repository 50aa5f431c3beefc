"""The demo's run: five node processes, a pipeline through them, one kill, one return, and the comparison."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trio

from hubless.client import Mesh, MeshError, connect
from hubless.demo import documents
from hubless.demo.board import STAGES, Board, wrong_entries
from hubless.demo.processes import LocalMesh, LocalNode, NodeFailedError, free_ports, local_mesh

_AGENTS = "hubless.demo.agents"
_KILL_AT = 0.4
_IN_FLIGHT = 48
_LOOK_S = 0.02
_START_S = 60.0
_BACK_S = 20.0
_TASK_TIMEOUT_S = 120.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """How the run ended.

    `seconds` is the pipeline alone: from the first task to the last answer; `plain_seconds` the same work in one
    plain process. `lost` counts tasks without an answer, `wrong` documents whose index entry is not the plain run's.
    """

    board: Board
    nodes: int
    seconds: float
    plain_seconds: float
    lost: int
    wrong: int
    terms: int


async def run(paths: list[Path], nodes: int, place: Path, board: Board, say: Say) -> Verdict:
    """Runs the demo over the documents, keeping `board` up to date. `place` is a directory for the nodes' data.

    Raises:
        NodeFailedError: a node did not start, or the nodes did not find each other within a minute.
    """
    async with local_mesh(lambda _node, _event: None) as mesh:
        say(f"starting {nodes} nodes")
        with trio.move_on_after(_START_S) as starting:
            await _start(mesh, nodes, place)
            await _all_alive(mesh, board)
        if starting.cancelled_caught:
            raise NodeFailedError(f"{nodes} nodes did not find each other in {_START_S:.0f} s")
        async with connect(*(node.work for node in mesh.nodes)) as client:
            board.shards = client.shards
            say(f"{nodes} nodes see each other; {len(paths)} documents go in")
            seconds = await _work(client, mesh, paths, board, say)
    say("doing the same work in one plain process, to compare")
    began = time.monotonic()
    expected = await trio.to_thread.run_sync(_plainly, paths)
    return Verdict(
        board=board,
        nodes=nodes,
        seconds=seconds,
        plain_seconds=time.monotonic() - began,
        lost=board.tasks - board.done,
        wrong=wrong_entries(board.entries, expected),
        terms=len(documents.index_of(board.entries)),
    )


# -- the nodes --------------------------------------------------------------------------------------------


async def _start(mesh: LocalMesh, nodes: int, place: Path) -> None:
    made = [
        LocalNode(
            f"node-{number}",
            _AGENTS,
            place / f"node-{number}",
            f"127.0.0.1:{port}",
            options=("--profile", "local"),
        )
        for number, port in enumerate(free_ports(nodes), start=1)
    ]
    await mesh.form(made)


async def _all_alive(mesh: LocalMesh, board: Board) -> None:
    """Waits until every node sees every node alive with its agents, and learns their names."""
    addresses = [node.work for node in mesh.nodes]
    members: list[dict[str, Any]] = []
    async with connect(*addresses) as client:
        for address in addresses:
            while True:
                members = (await client.ask("members", at=address))["members"]
                alive = [member for member in members if member["condition"] == "alive" and member["agents"]]
                if len(alive) == len(addresses):
                    break
                await trio.sleep(_LOOK_S)
        board.names = {member["node"]: member["name"] for member in members}


# -- the work ---------------------------------------------------------------------------------------------


async def _work(client: Mesh, mesh: LocalMesh, paths: list[Path], board: Board, say: Say) -> float:
    """The pipeline, with a kill in the middle of it; returns its seconds."""
    halfway = trio.Event()
    began = time.monotonic()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_kill_and_return, client, mesh, board, halfway, say)
        await _pipeline(client, paths, board, halfway)
        seconds = time.monotonic() - began
        say(f"the last answer came after {seconds:.1f} s")
        halfway.set()
    return seconds


async def _pipeline(client: Mesh, paths: list[Path], board: Board, halfway: trio.Event) -> None:
    """Streams every document through the three stages; each stage is fed by the one before as it answers."""

    async def stage(name: str, items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
        def key(item: Any) -> str:
            return board.sent(name, item if isinstance(item, str) else item["path"])

        replies = client.stream(
            name, items, key=key, in_flight=_IN_FLIGHT, ordered=False, timeout=_TASK_TIMEOUT_S
        )
        async for reply in replies:
            if reply.failure is not None:
                board.failed(name, f"{reply.failure.code}: {reply.failure.message}")
                continue
            answer = reply.value
            board.came(time.monotonic_ns(), name, answer["path"], reply.node, reply.attempt)
            if board.done >= _KILL_AT * board.tasks:
                halfway.set()
            yield answer

    flow: Iterable[Any] | AsyncIterable[Any] = [str(path) for path in paths]
    for name in STAGES:
        flow = stage(name, flow)
    async for entry in flow:  # type: ignore[union-attr]
        board.entries[entry["path"]] = entry


async def _kill_and_return(
    client: Mesh, mesh: LocalMesh, board: Board, halfway: trio.Event, say: Say
) -> None:
    """Kills the node that holds the most unanswered tasks, watches the others find out, and starts it again."""
    await halfway.wait()
    owners = (await client.ask("ring"))["owners"]
    held = board.held_by(owners)
    victim = max(mesh.nodes, key=lambda node: len(held.get(_id(node), ())))
    node, others = _id(victim), [other.work for other in mesh.nodes if other is not victim]
    kill = board.killed(time.monotonic_ns(), node, held.get(node, set()))
    victim.kill()
    say(f"{kill.name} killed (SIGKILL) with {len(kill.held)} unanswered tasks")
    with trio.move_on_after(_BACK_S):
        await _seen_by_all(client, others, node, "dead")
        kill.known_ms = (time.monotonic_ns() - kill.at_ns) / 1e6
        say(f"{kill.name} known dead to all others after {kill.known_ms:.0f} ms")
        mesh.start(victim, others)
        await victim.wait_ready()
        await _seen_by_all(client, others, node, "alive")
        kill.back_ms = (time.monotonic_ns() - kill.at_ns) / 1e6
        say(f"{kill.name} started again, back for all others after {kill.back_ms:.0f} ms")


def _id(node: LocalNode) -> str:
    return str(node.ready["node"]) if node.ready is not None else ""


async def _seen_by_all(client: Mesh, addresses: list[str], node: str, condition: str) -> None:
    """Waits until each of the nodes at the addresses holds `node` to be in that condition."""
    for address in addresses:
        while True:
            try:
                members = (await client.ask("members", at=address))["members"]
            except MeshError:
                members = []
            if any(member["node"] == node and member["condition"] == condition for member in members):
                break
            await trio.sleep(_LOOK_S)


def _plainly(paths: list[Path]) -> dict[str, Any]:
    """The index as one process makes it, through the same JSON."""
    entries = {str(path): documents.summarise(documents.extract(documents.read(str(path)))) for path in paths}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(entries))
    return plain
