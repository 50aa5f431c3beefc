"""Nodes of a local mesh as processes: started, heard, killed, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

_POLL_S = 0.01
_PORTS = (20_000, 32_000)
_LINE_BYTES = 1024 * 1024

Heard = Callable[["LocalNode", dict[str, Any]], None]
"""Called with each event of a node: {"event": "ready" | "log" | "stopped" | "exit", ...}."""


class NodeFailedError(Exception):
    """A node ended before it was ready. The text is its own error line."""


@dataclass(eq=False)
class LocalNode:
    """One node of the local mesh, over all its processes: killed and started again it is the same node.

    `ready` holds the fields of the last ready event, None before the first and after the process has ended.
    """

    name: str
    target: str
    data: Path
    listen: str
    options: tuple[str, ...] = ()
    ready: dict[str, Any] | None = None
    process: subprocess.Popen[bytes] | None = None
    problem: str = ""
    _became_ready: trio.Event = field(default_factory=trio.Event)

    async def wait_ready(self) -> dict[str, Any]:
        """Waits for the ready event.

        Raises:
            NodeFailedError: the process ended first.
        """
        await self._became_ready.wait()
        if self.ready is None:
            raise NodeFailedError(f"{self.name} did not start: {self.problem or 'it said nothing'}")
        return self.ready

    def started(self, process: subprocess.Popen[bytes]) -> None:
        """A process of this node runs, and is not ready yet."""
        self.process = process
        self.ready = None
        self.problem = ""
        self._became_ready = trio.Event()

    def said_ready(self, event: dict[str, Any]) -> None:
        """The process serves."""
        self.ready = event
        self._became_ready.set()

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        """A process is gone; it may be an earlier one than that which runs now."""
        if self.process is process:
            self.ready = None
            self._became_ready.set()

    @property
    def work(self) -> str:
        """The work address; the gossip port is the next one."""
        return self.listen

    def command(self, join: Sequence[str]) -> list[str]:
        """The command line of the node's process."""
        command = [sys.executable, "-m", "hubless.cli", "up", self.target, "--json", "--name", self.name]
        command += ["--listen", self.listen, "--data", str(self.data), "--parent", str(os.getpid())]
        for address in join:
            command += ["--join", address]
        return [*command, *self.options]

    def kill(self) -> None:
        """SIGKILL, as a crash would be. Its workers die with it."""
        if self.process is not None:
            self.process.kill()


class LocalMesh:
    """The nodes that this process has started. Made by `local_mesh`, which also ends them."""

    def __init__(self, nursery: trio.Nursery, heard: Heard) -> None:
        self.nursery = nursery
        self._heard = heard
        self.nodes: list[LocalNode] = []

    def start(self, node: LocalNode, join: Sequence[str] = ()) -> None:
        """Starts the node's process, for the first time or again; does not wait until it is ready."""
        if node not in self.nodes:
            self.nodes.append(node)
        # Not trio's open_process: it forks in a thread of its own, and when that thread ends, the kernel takes it
        # for the death of the parent.
        process = subprocess.Popen(  # noqa: S603
            node.command(join),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        node.started(process)
        self.nursery.start_soon(self._listen, node, process)

    async def form(self, nodes: Sequence[LocalNode]) -> None:
        """Starts the first node, which makes the mesh, then the others, which join it; returns when all are ready.

        Raises:
            NodeFailedError: a process ended first.
        """
        first, *others = nodes
        self.start(first)
        await first.wait_ready()
        for node in others:
            self.start(node, [first.work])
        for node in others:
            await node.wait_ready()

    async def stop(self, leave_s: float) -> None:
        """Asks all nodes to leave, and kills after `leave_s` seconds those that have not."""
        running = [node.process for node in self.nodes if node.process is not None]
        if leave_s > 0:
            for process in running:
                process.send_signal(signal.SIGTERM)
        with trio.move_on_after(leave_s):
            for process in running:
                await _ended(process)
        self.kill()
        for process in running:
            await _ended(process)

    def kill(self) -> None:
        """SIGKILL to all, with the process groups they lead."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(node.process.pid, signal.SIGKILL)

    async def _listen(self, node: LocalNode, process: subprocess.Popen[bytes]) -> None:
        async for line in _lines(process):
            event = _event(line)
            if event.get("event") == "ready":
                node.said_ready(event)
            elif "error" in event:
                node.problem = str(event["error"].get("message", ""))
                continue
            self._heard(node, event)
        code = await _ended(process)
        node.ended(process)
        self._heard(node, {"event": "exit", "code": code, "problem": node.problem})


@asynccontextmanager
async def local_mesh(heard: Heard, *, leave_s: float = 0.0) -> AsyncIterator[LocalMesh]:
    """A place for nodes: leaving it, in whatever way, ends them all.

    Args:
        leave_s: how long they may take to leave in good order; 0 kills them at once.
    """
    async with trio.open_nursery() as nursery:
        mesh = LocalMesh(nursery, heard)
        try:
            yield mesh
        finally:
            with trio.CancelScope(shield=True):
                await mesh.stop(leave_s)
            nursery.cancel_scope.cancel()


def free_ports(count: int) -> list[int]:
    """A run of free ports, two for each node: the work port, which is returned, and the gossip port after it.

    They are below those that the kernel gives to outgoing connections: while a killed node is down, others try to
    reach it again and again, and such an attempt may be given the very port that it tries to reach.
    """
    first, last = _PORTS
    starts = list(range(first, last - 2 * count, 2))
    random.SystemRandom().shuffle(starts)
    for start in starts:
        if all(is_free(port) for port in range(start, start + 2 * count)):
            return list(range(start, start + 2 * count, 2))
    raise NodeFailedError(f"there are no {2 * count} free ports in a row between {first} and {last}")


def is_free(port: int) -> bool:
    """Whether a port of 127.0.0.1 can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """Waits for the end of a process and returns its exit code."""
    while (code := process.poll()) is None:  # noqa: ASYNC110 - not every system can wait for a process otherwise
        await trio.sleep(_POLL_S)
    return code


async def _lines(process: subprocess.Popen[bytes]) -> AsyncIterator[bytes]:
    buffered = b""
    if process.stdout is None:
        return
    descriptor = os.dup(process.stdout.fileno())
    process.stdout.close()
    async with trio.lowlevel.FdStream(descriptor) as stream:
        async for chunk in stream:
            *lines, buffered = (buffered + chunk).split(b"\n")
            for line in lines:
                yield line
            buffered = buffered[-_LINE_BYTES:]
    if buffered:
        yield buffered


def _event(line: bytes) -> dict[str, Any]:
    """A line of a node's JSON output; anything else becomes a log event."""
    with contextlib.suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return {"event": "log", "source": "stderr", "level": "warning", "text": line.decode(errors="replace")}
