"""The log of one replica in memory: which entries there are, which of them are on disk, what came before them.

Indexes start at 1. On disk is what follows `snapshot_index`. In memory is what follows `first_index`, which has nothing
to do with that: entries that the machine has applied are in it, so only a margin of them stays here for followers.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

from hubless.wire.replication import Entry

ENTRY_BYTES = 16
"""What an entry counts for beside its body, in limits of size."""


class Log:
    """Entries in memory, with a running total of their bytes so that limits cost no pass over them."""

    __slots__ = (
        "_base",
        "_before_term",
        "_ends",
        "_entries",
        "_marks",
        "_snapshot_end",
        "_unsaved",
        "first_index",
        "floor_index",
        "floor_term",
        "last_index",
        "last_term",
        "snapshot_index",
        "snapshot_term",
        "stable",
    )

    def __init__(self, snapshot_index: int = 0, snapshot_term: int = 0) -> None:
        self._entries: list[Entry] = []
        self._ends: list[int] = []
        self._base = self._snapshot_end = 0
        self._before_term = snapshot_term
        self._marks: deque[tuple[int, int]] = deque()
        self._unsaved = snapshot_index + 1
        self.first_index = snapshot_index + 1
        """Index of the first entry in memory, or where it would be."""
        self.last_index = snapshot_index
        self.last_term = snapshot_term
        self.snapshot_index = snapshot_index
        self.snapshot_term = snapshot_term
        self.stable = snapshot_index
        """Everything up to this index is on disk."""
        self.floor_index = 0
        self.floor_term = 0

    def term(self, index: int) -> int:
        """Term of the entry at `index`; -1 if it is not known (not in memory any more, or beyond the end)."""
        at = index - self.first_index
        if at >= 0:
            return self._entries[at].term if index <= self.last_index else -1
        return self._before_term if at == -1 else -1

    def matches(self, index: int, term: int) -> bool:
        """Whether the log holds an entry of that index and term (3.5)."""
        return self.term(index) == term

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends so is at least as up to date as this one (3.6.1).

        And as that of the replica that was forgotten here: its part in a commit must not be forgotten with it.
        """
        return (last_term, last_index) >= max(
            (self.last_term, self.last_index), (self.floor_term, self.floor_index)
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is as up to date as any log that this node had."""
        return (self.last_term, self.last_index) >= (self.floor_term, self.floor_index)

    def guess(self, index: int, term: int) -> int:
        """Highest index up to `index` whose term is at most `term`: where two logs may agree, a term a step (3.5).

        Before what is in memory it may be any that is too low to tell.
        """
        index = min(index, self.last_index)
        while self.term(index) > term:
            index -= 1
        return index

    def append(self, entry: Entry) -> None:
        """Adds one entry right after the last."""
        self._entries.append(entry)
        ends = self._ends
        ends.append((ends[-1] if ends else self._base) + len(entry.body) + ENTRY_BYTES)
        self.last_index = entry.index
        self.last_term = entry.term

    def extend(self, entries: Sequence[Entry]) -> None:
        """Adds entries right after the last; there is at least one."""
        ends = self._ends
        total = ends[-1] if ends else self._base
        for entry in entries:
            total += len(entry.body) + ENTRY_BYTES
            ends.append(total)
        self._entries.extend(entries)
        self.last_index = entry.index
        self.last_term = entry.term

    def truncate(self, index: int) -> None:
        """Drops the entry at `index` and all after it. What was promised of them to the disk no longer counts."""
        at = index - self.first_index
        del self._entries[at:]
        del self._ends[at:]
        self.last_index = index - 1
        self.last_term = self.term(index - 1)
        self.stable = min(self.stable, index - 1)
        self._unsaved = min(self._unsaved, index)
        self._marks = deque((token, min(marked, index - 1)) for token, marked in self._marks)

    def slice(self, first: int, last: int) -> tuple[Entry, ...]:
        """Entries from `first` to `last`, both included; both must be in memory."""
        start = first - self.first_index
        return tuple(self._entries[start : last + 1 - self.first_index])

    def batch(self, first: int, most_bytes: int, most_entries: int) -> tuple[Entry, ...]:
        """As many entries from `first` on as the limits allow, at least one if there is one."""
        start = first - self.first_index
        stop = min(len(self._entries), start + most_entries)
        if start >= stop:
            return ()
        limit = (self._ends[start - 1] if start else self._base) + most_bytes
        if self._ends[stop - 1] > limit:
            stop = max(start + 1, bisect_right(self._ends, limit, start, stop))
        return tuple(self._entries[start:stop])

    def bytes_after(self, index: int) -> int:
        """Bytes of the entries in memory after `index`, bodies and what each counts for beside."""
        at = index - self.first_index
        ends = self._ends
        if not ends:
            return 0
        return ends[-1] - (ends[at] if at >= 0 else self._base)

    @property
    def uncompacted_bytes(self) -> int:
        """Bytes of the entries after the snapshot, in memory or not."""
        return (self._ends[-1] if self._ends else self._base) - self._snapshot_end

    def take_unsaved(self) -> tuple[Entry, ...]:
        """Entries that no record has carried yet; asked again, none."""
        if self._unsaved > self.last_index:
            return ()
        entries = self.slice(self._unsaved, self.last_index)
        self._unsaved = self.last_index + 1
        return entries

    def mark(self, token: int) -> None:
        """All there is now is on disk once `token` is flushed."""
        self._marks.append((token, self.last_index))

    def flushed(self, token: int) -> None:
        """Every mark up to `token` is on disk."""
        marks = self._marks
        while marks and marks[0][0] <= token:
            self.stable = marks.popleft()[1]

    def compact(self, index: int) -> None:
        """The snapshot now reaches `index`, which is not before `first_index - 1`."""
        self.snapshot_index, self.snapshot_term = index, self.term(index)
        at = index - self.first_index
        self._snapshot_end = self._ends[at] if at >= 0 else self._base

    def margin(self, index: int, most_entries: int, most_bytes: int) -> int:
        """Where the entries in memory up to `index` begin that are within the limits: `index + 1` if none is."""
        ends = self._ends
        count = min(index, self.last_index) + 1 - self.first_index
        if count <= 0:
            return self.first_index
        least = ends[count - 1] - most_bytes
        drop = 0 if self._base >= least else bisect_left(ends, least, 0, count) + 1
        return self.first_index + max(drop, count - most_entries)

    def forget(self, first: int) -> None:
        """What comes before `first` leaves the memory. It must be on its way to the disk, and be applied."""
        drop = first - self.first_index
        if drop > 0:
            self._before_term = self.term(first - 1)
            self._base = self._ends[drop - 1]
            del self._entries[:drop]
            del self._ends[:drop]
            self.first_index = first

    def reset(self, index: int, term: int) -> None:
        """Everything is replaced by a snapshot at `index`, which is not on disk yet."""
        self._entries.clear()
        self._ends.clear()
        self._base = self._snapshot_end = 0
        self._before_term = term
        self._marks.clear()
        self._unsaved = index + 1
        self.first_index = index + 1
        self.last_index = self.snapshot_index = index
        self.last_term = self.snapshot_term = term
        self.stable = min(self.stable, index)

    def recover(self, entries: Sequence[Entry]) -> bool:
        """Takes over what the disk has after the snapshot. False, and nothing taken, if the entries do not join up."""
        kept = [entry for entry in entries if entry.index > self.snapshot_index]
        term = self.snapshot_term
        for at, entry in enumerate(kept, self.snapshot_index + 1):
            if entry.index != at or entry.term < term:
                return False
            term = entry.term
        if kept:
            self.extend(kept)
        self._unsaved = self.last_index + 1
        self.stable = self.last_index
        return True
