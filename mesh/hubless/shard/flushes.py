"""What has to be on disk before what may leave: the order of promises of all replicas of a node.

Records of all shards of a tick are one commit with a mark. What a replica promises in a tick leaves when the commit
that has its latest record is on disk; several commits may be on their way to a slow disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hubless.shard.events import Commit
from hubless.shard.group import Group
from hubless.shard.output import Output
from hubless.shard.records import Record
from hubless.wire.replication import RaftMessage

Held = tuple[Group, int, list[tuple[str, RaftMessage]]]


class Flushes:
    """Records on their way to the disk, and the messages that wait for them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        """What the end of the tick will bring a commit of."""
        self._mark = 0
        self._waiting: deque[tuple[int, list[Held]]] = deque()
        self._next: list[Held] = []

    @property
    def unflushed(self) -> int:
        """Commits that are on their way."""
        return len(self._waiting)

    def write(self, records: Sequence[Record]) -> None:
        """Has records written with this tick's others."""
        self.records += records

    def add(self, group: Group, output: Output) -> None:
        """Takes in the records and promises of one replica."""
        if output.records:
            self.records += output.records
            group.mark = self._mark + 1
            self._next.append((group, output.flush, output.held))
        elif output.held:
            self._held_at(group.mark).append((group, output.flush, output.held))

    def commit(self) -> Commit | None:
        """What is to be written now."""
        if not self.records:
            return None
        self._mark += 1
        records, self.records = tuple(self.records), []
        waiting, self._next = self._next, []
        self._waiting.append((self._mark, waiting))
        return Commit(self._mark, records)

    def flushed(self, mark: int) -> list[Held]:
        """What was waiting for the commits up to `mark`, in the order of its making."""
        if mark > self._mark:
            raise ValueError(f"mark is {mark}, but the last commit was {self._mark}")
        ready: list[Held] = []
        while self._waiting and self._waiting[0][0] <= mark:
            ready += self._waiting.popleft()[1]
        return ready

    def _held_at(self, mark: int) -> list[Held]:
        """The list of a commit that has not been flushed yet: a replica holds nothing once its records are on disk."""
        return self._next if mark > self._mark else next(held for at, held in self._waiting if at == mark)
