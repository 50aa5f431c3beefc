"""What of the journal's rows is still wanted, and which may go. Pure; the same rules serve a commit and a start.

Rows are only ever added at the end and dropped at the front, which costs SQLite a fraction of what rows in the
order of (shard, index) cost. The price is paid here: what is still wanted of the oldest rows is moved to the newest
one, once less than half of all bytes are wanted, and never more at a time than a commit's own size or so (the
cleaner of a log-structured file system: Rosenblum and Ousterhout, 1992).

Why moving is right: a row is dropped only with all rows before it, so nothing that replaced or cleared entries goes
before the entries that it replaced.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hubless.journal.rows import Kind, Part, RowHead, ShardState, SnapshotMark

SLACK_BYTES = 8 * 1024 * 1024
_LEAST_MOVED_BYTES = 64 * 1024
_NOTHING = ShardState()


class Row:
    """A row of the journal, and how many of its parts are wanted."""

    __slots__ = ("number", "runs", "shards", "size", "wanted")

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size
        self.wanted = 0
        self.runs: list[Run] = []
        self.shards: list[int] = []


class Run:
    """The entries `first` to `last` of one shard that are wanted, among those in `size` bytes of a row's body."""

    __slots__ = ("checksum", "first", "last", "offset", "row", "shard", "size")

    def __init__(self, part: Part, row: Row, offset: int) -> None:
        self.shard = part.shard
        self.first = part.first
        self.last = part.last
        self.size = part.size
        self.checksum = part.checksum
        self.row = row
        self.offset = offset


@dataclass(slots=True)
class Held:
    """What is kept of one shard: its state and where that is, and the runs of its log in the order of their
    indexes."""

    shard: int
    state: ShardState = _NOTHING
    row: Row | None = None
    runs: deque[Run] = field(default_factory=deque)

    @property
    def start(self) -> int:
        """The index before the log's first entry."""
        return self.state.snapshot.index if self.state.snapshot else 0

    @property
    def last(self) -> int:
        return max(self.runs[-1].last, self.start) if self.runs else self.start


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What the next commit does besides its own: rows up to `drop` go; `runs` and the states of `shards` move."""

    drop: int
    runs: Sequence[Run] = ()
    shards: Sequence[int] = ()


_NO_CLEANING = Cleaning(0)


class Ledger:
    """Which parts of which rows count, after the rows that it was told of, in order.

    Args:
        slack_bytes: the rows may take so much beside twice what is wanted of them, before anything is moved.
    """

    def __init__(self, slack_bytes: int = SLACK_BYTES) -> None:
        self._slack_bytes = slack_bytes
        self.held: dict[int, Held] = {}
        self.rows: deque[Row] = deque()
        self.stored_bytes = 0
        self.wanted_bytes = 0
        self.number = 0
        """Of the newest row."""

    def of(self, shard: int) -> Held:
        """What is kept of the shard; made if nothing is."""
        held = self.held.get(shard)
        if held is None:
            held = self.held[shard] = Held(shard)
        return held

    # -- rows come --------------------------------------------------------------------------------------

    def add(self, head: RowHead, size: int, moved: Sequence[Run] = ()) -> list[SnapshotMark]:
        """A row is in the journal, after all others. `moved` are the runs that its first parts are the new place of.

        Returns the snapshots that nothing refers to any more.
        """
        row = Row(head.number, size)
        self.rows.append(row)
        self.number = head.number
        self.stored_bytes += size
        gone: list[SnapshotMark] = []
        offset = 0
        for place, part in enumerate(head.parts):
            held = self.of(part.shard)
            if part.state is not None:
                self._set_state(held, row, part.state, gone)
            elif place < len(moved):
                self._move(moved[place], row, offset)
            else:
                run = Run(part, row, offset)
                if part.kind == Kind.ENTRIES:
                    self._cut(held, part.first)
                    held.runs.append(run)
                else:
                    insort(held.runs, run, key=_first)
                self._count(run)
                if held.state.snapshot is not None:
                    self._drop_prefix(held)
            offset += part.size
        return gone

    def dropped(self, up_to: int) -> None:
        """Rows up to that number are gone from the journal."""
        while self.rows and self.rows[0].number <= up_to:
            self.stored_bytes -= self.rows.popleft().size

    # -- rows go ----------------------------------------------------------------------------------------

    def cleaning(self, fresh_bytes: int) -> Cleaning:
        """What to clean along with a commit of that size: a bounded amount, and enough to keep up."""
        is_crowded = self.stored_bytes > 2 * self.wanted_bytes + self._slack_bytes
        if not is_crowded and (not self.rows or self.rows[0].wanted):
            return _NO_CLEANING
        budget = max(_LEAST_MOVED_BYTES, 2 * fresh_bytes)
        spare = 4 * budget
        drop = 0
        runs: list[Run] = []
        shards: list[int] = []
        for row in self.rows:
            if row.number == self.number or spare <= 0:
                break
            if row.wanted:
                if not is_crowded or budget <= 0:
                    break
                kept = [run for run in row.runs if run.row is row]
                runs += kept
                budget -= sum(run.size for run in kept)
                shards += [shard for shard in row.shards if self.held[shard].row is row]
            spare -= row.size
            drop = row.number
        return Cleaning(drop, runs, sorted(set(shards)))

    # -- parts ------------------------------------------------------------------------------------------

    def _set_state(self, held: Held, row: Row, state: ShardState, gone: list[SnapshotMark]) -> None:
        before = held.state.snapshot
        if before is not None and (state.snapshot is None or state.snapshot.chunk != before.chunk):
            gone.append(before)
        if held.row is not None:
            held.row.wanted -= 1
        held.state = state
        held.row = row
        row.wanted += 1
        row.shards.append(held.shard)
        if state.clears:
            while held.runs:
                self._uncount(held.runs.pop())
        self._drop_prefix(held)

    def _move(self, run: Run, row: Row, offset: int) -> None:
        run.row.wanted -= 1
        run.row = row
        run.offset = offset
        row.wanted += 1
        row.runs.append(run)

    def _cut(self, held: Held, first: int) -> None:
        runs = held.runs
        while runs and runs[-1].first >= first:
            self._uncount(runs.pop())
        if runs and runs[-1].last >= first:
            runs[-1].last = first - 1

    def _drop_prefix(self, held: Held) -> None:
        runs = held.runs
        if not runs:
            return
        start = held.start
        while runs and runs[0].last <= start:
            self._uncount(runs.popleft())

    def _count(self, run: Run) -> None:
        run.row.wanted += 1
        run.row.runs.append(run)
        self.wanted_bytes += run.size

    def _uncount(self, run: Run) -> None:
        run.row.wanted -= 1
        run.row = _NOWHERE
        self.wanted_bytes -= run.size


_NOWHERE = Row(0, 0)


def _first(run: Run) -> int:
    return run.first


def gap_of(held: Held) -> str:
    """What is missing between the snapshot and the log, or inside of it; "" if nothing."""
    expected = held.start + 1
    for run in held.runs:
        if run.first > expected:
            return f"entries {expected} to {run.first - 1} are missing"
        expected = run.last + 1
    return ""
