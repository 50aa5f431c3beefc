"""What a test sees of tasks, attempts and logs."""

from __future__ import annotations

from typing import Any, Self

import msgspec

from hubless.tasks.row import Row
from hubless_agents import Failure


class TaskSight(msgspec.Struct, frozen=True):
    """A task as its shard has it. ``result`` is decoded, and None unless ``state`` is "succeeded"."""

    id: str
    agent: str
    state: str
    attempts: int
    node: str
    """Who ran the last attempt."""
    result: Any
    failures: tuple[Failure, ...]

    @classmethod
    def of(cls, row: Row) -> Self:
        """As a row has it."""
        result = None if row.result is None else msgspec.json.decode(row.result)
        return cls(
            row.task.hex(), row.agent, row.state.value, row.attempt, row.executor, result, row.failures
        )


class Attempt(msgspec.Struct, frozen=True):
    """One run of an agent that began: ``at`` in s. Whether it came to its end is another matter."""

    task: str
    agent: str
    attempt: int
    node: str
    at: float


class LogLine(msgspec.Struct, frozen=True):
    """A line that an agent wrote with ``ctx.log``; ``at`` in s."""

    at: float
    node: str
    worker: int
    text: str
