"""The tasks that shards keep: a machine per replica, fed by its log, and the log as the owner sees it."""

from __future__ import annotations

from collections.abc import Iterator

from hubless.placement import shard_of_task
from hubless.shard.private import PRIVATE
from hubless.shard.replicas import Replicas
from hubless.tasks.entries import Entry, Forked, encode_entry
from hubless.tasks.machine import Machine
from hubless.tasks.row import Row
from hubless.wire.replication import Entry as LogEntry

TASKS = 1
"""The kind of log entries that are about tasks."""

Change = tuple[Entry, Row | None]
"""An entry, and the row that it changed; None when it did not fit."""


class ShardTasks:
    """Machines of all shards that this node replicates, and a `TaskLog` of those that it owns."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._machines: dict[int, Machine] = {}
        self._terms: dict[int, int] = {}

    # -- as the owner sees it ---------------------------------------------------------------------------

    def row(self, task: bytes) -> Row | None:
        """What was decided about a task so far, as far as this node knows."""
        machine = self._machines.get(shard_of_task(task))
        return None if machine is None else machine.rows.get(task)

    def may_have_forgotten(self, task: bytes, since_ms: int) -> bool:
        """Whether a task without a row may have had one."""
        machine = self._machines.get(shard_of_task(task))
        return machine is not None and machine.may_have_forgotten(since_ms)

    def term(self, task: bytes) -> int:
        """The term in which this node owns the task's shard; 0 if it does not."""
        return self._terms.get(shard_of_task(task), 0)

    def propose(self, now_ns: int, task: bytes, entry: Entry) -> bool:
        """Proposes an entry for the task's shard; False when this node does not own it, or has too much undecided."""
        shard = shard_of_task(task)
        return shard in self._terms and self._replicas.propose(now_ns, shard, encode_entry(entry))

    def fork(self, now_ns: int, shard: int, entry: Forked) -> bool:
        """Proposes that the shard was given a new lineage."""
        return shard in self._terms and self._replicas.propose(now_ns, shard, encode_entry(entry))

    # -- as the replicas tell it ------------------------------------------------------------------------

    def committed(self, shard: int, entries: tuple[LogEntry, ...]) -> list[Change]:
        """Applies entries; what they say, and the rows that they changed."""
        machine = self._machine(shard)
        changes: list[Change] = []
        for logged in entries:
            if logged.kind == TASKS:
                entry, row = machine.apply(logged.body)
                if entry is not None:
                    changes.append((entry, row))
        return changes

    def restored(self, shard: int, state: bytes) -> None:
        """Starts a shard's machine anew. Raises ValueError for a state that this version cannot read."""
        self._machines[shard] = Machine.from_state(state)

    def owning(self, shard: int, term: int) -> list[Row]:
        """This node owns the shard from now on; its unfinished tasks."""
        self._terms[shard] = term
        return self._machine(shard).live()

    def disowned(self, shard: int) -> None:
        self._terms.pop(shard, None)

    def forgotten(self, shard: int) -> None:
        self._machines.pop(shard, None)

    def compact(self) -> None:
        """Gives the logs that have grown too long a state to start from."""
        for shard in self._replicas.wants_compaction():
            if shard != PRIVATE:
                self._replicas.compact(shard, self._machine(shard).state())

    # -- as others ask ----------------------------------------------------------------------------------

    def owns(self, shard: int) -> bool:
        """Whether this node decides about the shard's tasks."""
        return shard in self._terms

    @property
    def owned(self) -> dict[int, int]:
        """The shards that this node owns, with the term of each; a live view."""
        return self._terms

    def machine(self, shard: int) -> Machine | None:
        """The tasks of a shard, as far as this node knows."""
        return self._machines.get(shard)

    def owned_machines(self) -> Iterator[tuple[int, Machine]]:
        """The machines of the owned shards, by number."""
        return ((shard, self._machine(shard)) for shard in sorted(self._terms))

    def _machine(self, shard: int) -> Machine:
        machine = self._machines.get(shard)
        if machine is None:
            machine = self._machines[shard] = Machine()
        return machine
