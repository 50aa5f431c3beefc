"""Where an owner writes down what becomes of its tasks, and what it hears when that is decided.

A proposal is decided later, or never; the owner acts on what was decided and on nothing else. For tasks that a shard
keeps, that is its replicated log (`shards.py`). For those that nobody keeps it is this process's memory, in which a
proposal is decided as soon as the owner has finished its sentence.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from hubless.tasks.entries import Entry
from hubless.tasks.machine import Machine
from hubless.tasks.retention import Retention
from hubless.tasks.row import Row


class TaskLog(Protocol):
    """The log of all tasks of one owner."""

    def row(self, task: bytes) -> Row | None:
        """What was decided about a task so far; None for one that is not known, or no longer."""

    def may_have_forgotten(self, task: bytes, since_ms: int) -> bool:
        """Whether a task without a row may have had one, if it was submitted at `since_ms` (unix ms) or later."""

    def term(self, task: bytes) -> int:
        """The term in which this node owns the task's shard; 0 when no shard keeps the task."""

    def propose(self, now_ns: int, task: bytes, entry: Entry) -> bool:
        """Proposes an entry; False when this node cannot: then it is never decided."""


class Decided(NamedTuple):
    """An entry about a task that no shard keeps is decided. `row` is None when it did not fit, and changed nothing."""

    entry: Entry
    row: Row | None


_KEPT = Retention(kept_ms=60_000, rows=20_000, size_bytes=16 * 1024 * 1024)


class Unlogged:
    """The tasks that nobody keeps but this process. Finished ones are recognised for a while when they come again."""

    def __init__(self) -> None:
        self._machine = Machine(retention=_KEPT)
        self._decided: list[Decided] = []

    def row(self, task: bytes) -> Row | None:
        return self._machine.rows.get(task)

    def may_have_forgotten(self, task: bytes, since_ms: int) -> bool:  # noqa: ARG002 - one machine for all
        return self._machine.forgotten_ms >= since_ms

    def term(self, task: bytes) -> int:  # noqa: ARG002 - the same for all
        return 0

    def propose(self, now_ns: int, task: bytes, entry: Entry) -> bool:  # noqa: ARG002 - as the protocol has it
        self._decided.append(Decided(entry, self._machine.follow(entry)))
        return True

    @property
    def has_decided(self) -> bool:
        """Whether anything was decided since the last time."""
        return bool(self._decided)

    def take_decided(self) -> list[Decided]:
        """What was decided since the last time."""
        decided, self._decided = self._decided, []
        return decided
