"""Commits of a running node: at once on a fast disk, in a thread on a slow one, and again and again on a full one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import trio

from hubless.journal.errors import JournalFailedError, JournalFullError
from hubless.journal.memory import Store
from hubless.journal.pace import Pace
from hubless.shard import events
from hubless.shard.records import Entries, Record, Snapshot

_MOST_JOINED_BYTES = 4 * 1024 * 1024
_RECORD_BYTES = 64


class Writer:
    """Has batches of records written in the order they were put, one commit at a time.

    What is put while a commit is under way is joined into the next one. Once a commit has failed nothing is written
    any more, and no mark is told any more.

    Args:
        tell: called in the loop's thread with `Flushed`, `JournalFailed`, `JournalFull` and `JournalHasRoom`; by `put`
            before it returns, if the disk is fast.
        pause_s: before a batch that did not fit is tried again; doubles up to `longest_pause_s`.
    """

    def __init__(
        self,
        journal: Store,
        nursery: trio.Nursery,
        tell: Callable[[events.JournalEvent], None],
        *,
        pace: Pace | None = None,
        pause_s: float = 0.05,
        longest_pause_s: float = 1.0,
    ) -> None:
        self._journal = journal
        self._nursery = nursery
        self._tell = tell
        self._pace = pace or Pace()
        self._pause_s = self._next_pause_s = pause_s
        self._longest_pause_s = longest_pause_s
        self._waiting: deque[tuple[int, Sequence[Record]]] = deque()
        self._is_busy = False
        self._is_full = False
        self._has_failed = False
        self.commits = 0
        self.waiting_bytes = 0
        """About how much was put and is not on disk."""

    @property
    def is_on_loop(self) -> bool:
        """Whether the next commit is made by `put` itself."""
        return self._pace.is_fast and not self._is_busy

    @property
    def is_busy(self) -> bool:
        """Whether a commit is under way in a thread, whose end only a task of the loop will see."""
        return self._is_busy

    @property
    def commit_ms(self) -> float:
        """How long commits take lately."""
        return self._pace.mean_ms

    def put(self, mark: int, records: Sequence[Record]) -> None:
        """Has the records written; `Flushed(mark)`, or that of a later mark, says that they are on disk."""
        if self._has_failed:
            return
        self._waiting.append((mark, records))
        self.waiting_bytes += bytes_of(records)
        if self._is_busy:
            return
        if self._pace.is_fast:
            self._commit_here()
        if self._waiting and not self._has_failed:
            self._is_busy = True
            self._nursery.start_soon(self._commit_beside)

    def _commit_here(self) -> None:
        mark, records, count = self._joined()
        started_ns = time.perf_counter_ns()
        try:
            self._journal.commit(records)
        except JournalFullError as problem:
            self._was_full(problem)
        except JournalFailedError as problem:
            self._failed(problem)
        else:
            self._flushed(mark, count, time.perf_counter_ns() - started_ns)

    async def _commit_beside(self) -> None:
        """Until nothing waits. A commit that is under way is seen to its end even if the nursery is cancelled."""
        while self._waiting:
            if self._is_full:
                await trio.sleep(self._next_pause_s)
                self._next_pause_s = min(2 * self._next_pause_s, self._longest_pause_s)
            mark, records, count = self._joined()
            started_ns = time.perf_counter_ns()
            try:
                await trio.to_thread.run_sync(self._journal.commit, records)
            except JournalFullError as problem:
                self._was_full(problem)
            except JournalFailedError as problem:
                self._failed(problem)
            else:
                self._flushed(mark, count, time.perf_counter_ns() - started_ns)
        self._is_busy = False

    def _joined(self) -> tuple[int, Sequence[Record], int]:
        """What goes into the next commit: the mark it reaches, the records, and how many puts they are."""
        if len(self._waiting) == 1:
            mark, records = self._waiting[0]
            return mark, records, 1
        joined: list[Record] = []
        size = count = mark = 0
        for mark, records in self._waiting:  # noqa: B007 -- the last one joined is what is reached
            joined += records
            count += 1
            size += bytes_of(records)
            if size >= _MOST_JOINED_BYTES:
                break
        return mark, joined, count

    def _flushed(self, mark: int, count: int, elapsed_ns: int) -> None:
        for _ in range(count):
            _, records = self._waiting.popleft()
            self.waiting_bytes -= bytes_of(records)
        self.commits += 1
        self._pace.took(elapsed_ns)
        if self._is_full:
            self._is_full = False
            self._next_pause_s = self._pause_s
            self._tell(events.JournalHasRoom())
        self._tell(events.Flushed(mark))

    def _was_full(self, problem: JournalFullError) -> None:
        if not self._is_full:
            self._is_full = True
            self._tell(events.JournalFull(str(problem)))

    def _failed(self, problem: JournalFailedError) -> None:
        self._has_failed = True
        self._waiting.clear()
        self.waiting_bytes = 0
        self._tell(events.JournalFailed(str(problem)))


def bytes_of(records: Sequence[Record]) -> int:
    """About what the records take on disk."""
    size = _RECORD_BYTES * len(records)
    for record in records:
        if type(record) is Entries:
            size += sum([len(entry.body) for entry in record.entries])
        elif type(record) is Snapshot:
            size += len(record.state)
    return size
