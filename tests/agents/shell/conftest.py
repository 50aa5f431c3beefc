"""Real worker processes for the tests of this folder: a user's file, and a node that runs it."""

import itertools
import os
import select
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubless_agents import Assignment, Offered, OffersChanged, Outcome, SupervisorConfig
from hubless_agents.standalone import Standalone


class Node(Standalone):
    """A standalone node with words for tests. It owns what its workers print: `lines`."""

    def __init__(self, path: Path, **knobs: float) -> None:
        self.lines: list[tuple[int, str, str]] = []
        self._numbers = itertools.count(1)
        super().__init__(
            str(path),
            config=SupervisorConfig(**knobs),
            on_log=lambda worker, stream, line: self.lines.append((worker, stream, line)),
        )

    def ready(self, workers: int = 1) -> "Node":
        """Wait until so many processes, spares included, have started and offers are known."""
        self.until(lambda: any(isinstance(effect, OffersChanged) for effect in self.told))
        self.until(lambda: len(self.pool.pids()) >= workers)
        return self

    def ask(self, agent: str, payload: bytes = b"null", *, deadline_s: float = 60.0) -> tuple[bytes, int]:
        task = next(self._numbers).to_bytes(16, "big")
        deadline_ns = time.monotonic_ns() + int(deadline_s * 1e9)
        self.offer(Offered(Assignment(task, 1, agent, payload, deadline_ns)))
        return task, 1

    def answer(self, key: tuple[bytes, int]) -> Outcome:
        self.until(lambda: key in self.outcomes)
        return self.outcomes[key]

    def call(self, agent: str, payload: bytes = b"null", *, deadline_s: float = 60.0) -> Outcome:
        return self.answer(self.ask(agent, payload, deadline_s=deadline_s))


@pytest.fixture
def user_file(tmp_path: Path) -> Callable[..., Path]:
    def write(source: str, name: str = "shop.py") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    return write


@pytest.fixture
def node(user_file: Callable[..., Path]) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def start(source: str, *, name: str = "shop.py", **knobs: float) -> Node:
        nodes.append(Node(user_file(source, name), **knobs))
        return nodes[-1]

    yield start
    for one in nodes:
        one.pool.close()


def wait_for_end(pid: int, timeout_s: float = 20.0) -> bool:
    """Has the process (perhaps no child of ours) ended? Waits for it without polling."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], timeout_s)[0])
    finally:
        os.close(fd)


@pytest.fixture
def ended() -> Callable[[int], bool]:
    return wait_for_end
