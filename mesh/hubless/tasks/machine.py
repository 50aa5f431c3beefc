"""The state machine of a shard's tasks: a pure reducer over the committed entries of the shard's log.

What an entry means is decided here and nowhere else, so that every replica that reads the same log holds the same
rows, forgets the same ones, and writes the same snapshot. An entry that does not fit (an old attempt's result, a
second submission of an id, bytes of a version to come) changes nothing but a counter.
"""

from __future__ import annotations

from sys import intern
from typing import Final

import msgspec
from msgspec import Struct

from hubless.tasks.entries import (
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Dropped,
    Entered,
    Entry,
    Expired,
    Forked,
    Merged,
    Retried,
    Submitted,
    TaskEntry,
    decode_entry,
)
from hubless.tasks.retention import DEFAULT_RETENTION, Retention, Shelf
from hubless.tasks.row import ROW_BYTES, TERMINAL, Row, State
from hubless_gossip.marks import sometimes

MOST_FORKS: Final = 4

_CLOCKS_MS: Final = 1_000
"""How much the clocks of nodes may differ."""

_VERSION: Final = 1
_HEAD_BYTES: Final = 128
_ENCODED_ROW_BYTES: Final = 96


class MachineCounters(Struct, array_like=True):
    """What became of the entries, part of the state: `unknown` could not be read, `unfit` changed nothing."""

    unknown: int = 0
    unfit: int = 0
    evicted: int = 0


class _Image(Struct, frozen=True, array_like=True):
    """A snapshot. The rows of each shelf are in their order, which is all that the machine's own order is."""

    version: int
    clock_ms: int
    applied: int
    counters: MachineCounters
    forks: tuple[Forked, ...]
    live: tuple[Row, ...]
    ended: tuple[Row, ...]
    dead: tuple[Row, ...]
    forgotten_ms: int = 0


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Image)


class Machine:
    """The tasks of one shard, as of the entries applied.

    `rows` are all tasks that are known, in no order that means anything; `clock_ms` the latest time that any entry
    has named, which never goes back; `forks` the last times that the shard was given a new lineage. Of tasks submitted
    after `forgotten_ms` none is forgotten.
    """

    def __init__(self, *, retention: Retention = DEFAULT_RETENTION) -> None:
        self.rows: dict[bytes, Row] = {}
        self.clock_ms = 0
        self.applied = 0
        self.counters = MachineCounters()
        self.forks: tuple[Forked, ...] = ()
        self.forgotten_ms = 0
        self.counts: dict[State, int] = dict.fromkeys(State, 0)
        self._unmerged: dict[bytes, Row] = {}
        self._live = Shelf()
        self._ended = Shelf(retention.kept_ms, retention.rows, retention.size_bytes)
        self._dead = Shelf(retention.dead_kept_ms, retention.dead_rows, retention.dead_bytes)
        self._shelves = {state: self._ended if state in TERMINAL else self._live for state in State}
        self._shelves[State.DEAD] = self._dead

    def apply(self, body: bytes) -> tuple[Entry | None, Row | None]:
        """Applies the body of the next committed entry.

        Returns the entry, None if it cannot be read, and the row that it changed, None if it fitted none. The row
        of a `Forked` entry is None, too. The row may be forgotten already if the shard keeps very little.
        """
        self.applied += 1
        entry = decode_entry(body)
        if entry is None:
            self.counters.unknown += 1
            return None, None
        return entry, self.follow(entry)

    def follow(self, entry: Entry) -> Row | None:
        """Applies an entry as it is, for logs that are never written down; the row that it changed, or None."""
        is_later = entry.at_ms > self.clock_ms
        if is_later:
            self.clock_ms = entry.at_ms
        if isinstance(entry, Forked):
            self._fork(entry)
            row = None
        else:
            row = self._change(entry)
            if row is None:
                self.counters.unfit += 1
                sometimes("an entry of the log did not fit its task any more")
        if is_later or (row is not None and row.state in TERMINAL):  # else the shelves are as they were
            self._forget_overdue()
        return row

    def may_have_forgotten(self, submitted_ms: int) -> bool:
        """Whether a task without a row, submitted at that time by anybody's clock or later, may have had one."""
        return self.forgotten_ms >= submitted_ms - _CLOCKS_MS

    def live(self) -> list[Row]:
        """The unfinished tasks in the order of their submission; a retried one was submitted again."""
        return list(self._live)

    def ended(self) -> list[Row]:
        """The finished tasks that are kept, dead letters aside, in the order in which they ended."""
        return list(self._ended)

    def dead_letters(self) -> list[Row]:
        """The tasks that nobody could run, with their failures, in the order in which they were given up."""
        return list(self._dead)

    def unmerged(self) -> list[Row]:
        """The finished tasks with results that `merge` could make one of."""
        return list(self._unmerged.values())

    @property
    def live_bytes(self) -> int:
        """Memory that unfinished tasks take, about."""
        return self._live.size_bytes

    @property
    def retained_bytes(self) -> int:
        """Memory that finished tasks take, about."""
        return self._ended.size_bytes + self._dead.size_bytes

    @property
    def size_bytes(self) -> int:
        """What `state()` has, about, without building it."""
        spared = (ROW_BYTES - _ENCODED_ROW_BYTES) * len(self.rows)
        return _HEAD_BYTES + self.live_bytes + self.retained_bytes - spared

    def state(self) -> bytes:
        """A snapshot. Equal machines give equal bytes."""
        shelves = (tuple(self._live), tuple(self._ended), tuple(self._dead))
        return _ENCODER.encode(
            _Image(
                _VERSION, self.clock_ms, self.applied, self.counters, self.forks, *shelves, self.forgotten_ms
            )
        )

    @classmethod
    def from_state(cls, state: bytes, *, retention: Retention = DEFAULT_RETENTION) -> Machine:
        """The machine of a snapshot. Raises ValueError for bytes that are none, or of another version."""
        try:
            image = _DECODER.decode(state)
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValueError(
                f"these {len(state)} bytes are no snapshot of a shard's tasks: {error}"
            ) from error
        if image.version != _VERSION:
            raise ValueError(f"the snapshot has version {image.version}, this code reads {_VERSION}")
        machine = cls(retention=retention)
        machine.clock_ms, machine.applied = image.clock_ms, image.applied
        machine.counters, machine.forks = image.counters, image.forks
        machine.forgotten_ms = image.forgotten_ms
        for rows in (image.live, image.ended, image.dead):
            for row in rows:
                row.agent, row.executor = intern(row.agent), intern(row.executor)
                machine._add(row)
        return machine

    def _change(self, entry: TaskEntry) -> Row | None:
        """The row that the entry has changed, or None."""
        row = self.rows.get(entry.task)
        if row is None:
            return self._begin(entry)
        before = row.state
        match entry:
            case AttemptEnded():
                fits = row.end_attempt(entry, self.clock_ms)
            case AttemptStarted():
                fits = row.start(entry.attempt, entry.executor)
            case Cancelled():
                fits = row.cancel(self.clock_ms)
            case Expired():
                fits = row.expire(entry.failure, self.clock_ms)
            case Retried():
                fits = row.retry(entry.deadline_ms)
            case Entered():
                fits = row.enter(entry, self.clock_ms)
            case Merged():
                fits = row.merge(entry)
            case Dropped():
                return self._drop(row)
            case Submitted():
                fits = False
        if not fits:
            return None
        self._account(row, before)
        return row

    def _begin(self, entry: TaskEntry) -> Row | None:
        """The row of a task that was not known, which only two kinds of entry give."""
        if isinstance(entry, Submitted):
            deadline_ms, retries = entry.deadline_ms, entry.retries
        elif isinstance(entry, Entered):
            deadline_ms, retries = entry.at_ms, 0
        else:
            return None
        row = Row(
            entry.task, intern(entry.agent), entry.key, entry.payload, entry.at_ms, deadline_ms, retries
        )
        if isinstance(entry, Entered):
            row.enter(entry, self.clock_ms, is_new=True)
            row.in_doubt = entry.submitted_ms > 0 and self.may_have_forgotten(entry.submitted_ms)
        elif entry.executor:
            row.start(1, entry.executor)
        row.size_bytes = row.measure()
        self._add(row)
        return row

    def _add(self, row: Row) -> None:
        self.rows[row.task] = row
        self.counts[row.state] += 1
        self._shelves[row.state].put(row)
        if row.superseded:
            self._index(row)

    def _account(self, row: Row, before: State) -> None:
        """Keeps the books of a changed row: it stays in its place unless its state belongs on another shelf."""
        self.counts[before] -= 1
        self.counts[row.state] += 1
        old, new = self._shelves[before], self._shelves[row.state]
        if old is new:
            old.resize(row, row.measure())
        else:
            old.take(row)
            row.size_bytes = row.measure()
            new.put(row)
        if row.superseded:
            self._index(row)

    def _index(self, row: Row) -> None:
        if row.is_unmerged:
            self._unmerged[row.task] = row
        else:
            self._unmerged.pop(row.task, None)

    def _fork(self, entry: Forked) -> None:
        self.forks = (*self.forks, entry)[-MOST_FORKS:]
        for row in self._live:
            sometimes("marked an unfinished task as one of a shard that was forked")
            row.forked = True

    def _forget_overdue(self) -> None:
        for shelf in (self._ended, self._dead):
            while (row := shelf.take_overdue(self.clock_ms)) is not None:
                self._forget(row)
                self.counters.evicted += 1
                self.forgotten_ms = max(self.forgotten_ms, row.submitted_ms)

    def _drop(self, row: Row) -> Row | None:
        if row.state not in TERMINAL:
            return None
        self._shelves[row.state].take(row)
        self._forget(row)
        return row

    def _forget(self, row: Row) -> None:
        del self.rows[row.task]
        self._unmerged.pop(row.task, None)
        self.counts[row.state] -= 1
