"""What becomes of a task that has several results: its agent's `merge`, if there is one, makes one of two at a time.

    superseded -> a task of the companion agent -> its result is the result of both

All that is needed is in the rows, so that the next owner goes on where the last one stopped. The companion's task is
named after the two results that it is given, and has the first task's id as its key.
"""

from __future__ import annotations

from collections.abc import Container
from hashlib import blake2b
from typing import NamedTuple

from hubless.placement import mint_task_id, shard_of_task
from hubless.placement.preference import TASK_ID_BYTES
from hubless.tasks.log import TaskLog
from hubless.tasks.retention import DEFAULT_RETENTION
from hubless.tasks.row import TERMINAL, Row, State
from hubless.tasks.wheel import Wheel
from hubless.view import View
from hubless_agents import MERGE, companion_of

MERGE_DEADLINE_MS = DEFAULT_RETENTION.kept_ms
"""Nobody waits for a merge, and workers are busy after a partition: it has as long as its task is kept."""

_MS = 1_000_000
_AGAIN_NS = 500 * _MS
_SHARD_BYTES = 2


class Ask(NamedTuple):
    """A task of the companion `agent` is to be submitted."""

    task: bytes
    agent: str
    key: str
    payload: bytes


class Done(NamedTuple):
    """The companion's `result` takes the place of the row's, with superseded outcome `number` in it."""

    number: int
    result: bytes


class Merging:
    """The merges that an owner's finished tasks ask for."""

    def __init__(self, *, view: View, log: TaskLog) -> None:
        self._view = view
        self._log = log
        self._later: set[bytes] = set()
        self._wheel: Wheel[bytes] = Wheel(width_ns=_AGAIN_NS)

    def concerned(self, row: Row) -> Row | None:
        """The task with several results that a change of this row may bring further."""
        if row.superseded:
            return row
        if not row.agent.endswith(MERGE):
            return None
        try:
            task = bytes.fromhex(row.key)
            return self._log.row(task) if shard_of_task(task) == shard_of_task(row.task) else None
        except ValueError:
            return None  # somebody's own call of the companion

    def next_step(self, now_ns: int, row: Row, under_way: Container[bytes]) -> Ask | Done | None:
        """What is to be done now, if anything: one result after the other, each into what the last one has led to.

        A merge that has failed is passed over, and tried again only with another result.
        """
        if not row.is_unmerged:
            return None
        for number, other in enumerate(row.superseded):
            if not other.to_merge:
                continue
            ask = merge_of(row, number)
            companion = self._log.row(ask.task)
            if companion is None:
                is_wanted = ask.task not in under_way and self._is_offered(now_ns, row)
                return ask if is_wanted else None
            if companion.state is State.SUCCEEDED:
                return Done(number, companion.result or b"")
            if companion.state not in TERMINAL:
                return None
        return None

    def put_off(self, now_ns: int, task: bytes) -> None:
        """The step could not be taken now."""
        if task not in self._later:
            self._later.add(task)
            self._wheel.add(now_ns + _AGAIN_NS, task)

    def gave_up(self, shard: int) -> None:
        """The shard is another owner's now."""
        self._later = {task for task in self._later if shard_of_task(task) != shard}

    def due(self, now_ns: int) -> list[Row]:
        """The tasks to be looked at again."""
        tasks = [task for task in self._wheel.take_due(now_ns) if task in self._later]
        self._later.difference_update(tasks)
        rows = (self._log.row(task) for task in tasks)
        return [row for row in rows if row is not None]

    def next_deadline_ns(self) -> int | None:
        return self._wheel.next_deadline_ns()

    def _is_offered(self, now_ns: int, row: Row) -> bool:
        """Whether the agent has a `merge`; while nobody who knows is there, it is looked at again."""
        if self._view.is_offered(companion_of(row.agent)):
            return True
        if not self._view.is_offered(row.agent):
            self.put_off(now_ns, row.task)
        return False


def merge_of(row: Row, number: int) -> Ask:
    """The companion's task that makes one of a row's result and the superseded one of that number."""
    other = row.superseded[number]
    payload = b'{"first":%b,"second":%b}' % (row.result or b"", other.result or b"")
    told = row.task + number.to_bytes(1, "big") + payload
    name = blake2b(told, digest_size=TASK_ID_BYTES - _SHARD_BYTES).digest()
    return Ask(mint_task_id(shard_of_task(row.task), name), companion_of(row.agent), row.task.hex(), payload)
