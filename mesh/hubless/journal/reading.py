"""What a journal says at a start: first the heads of its rows, then the bytes of what they say is wanted."""

from __future__ import annotations

import sqlite3

from hubless.journal.database import UNREADABLE
from hubless.journal.ledger import Held, Ledger, Row, Run, gap_of
from hubless.journal.rows import SnapshotMark, UnverifiedError, checksum, unpack_entries, unpack_head
from hubless.shard.records import Recovered, Snapshot
from hubless.wire.replication import Entry

VERSION_MASK = 0x7FFF_FFFF
_SCAN = "SELECT number, checksum, head, length(body) FROM rows ORDER BY number"


class Heads:
    """The rows of a journal, followed in order.

    `problem` is "" or says which row is not what was written: then nobody can say of which shards it was, and all
    that the journal has anything of are damaged.
    """

    def __init__(self, database: sqlite3.Connection, slack_bytes: int) -> None:
        self.ledger = Ledger(slack_bytes)
        self.checksum = 0
        """Of the newest row's head."""
        self.problem = ""
        self._oldest = 0
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (newest,) = database.execute("SELECT max(number) FROM rows").fetchone()
        if newest is None:
            newest = 0
        if newest & VERSION_MASK != version:
            self._complain(f"its newest row is {newest}, and {version} was written")
        first = 0
        for number, expected, raw, body_bytes in database.execute(_SCAN):
            if isinstance(raw, bytes) and isinstance(body_bytes, int):
                self._follow(number, expected, raw, body_bytes)
            else:
                self._complain(f"row {number} cannot be read")
            first = first or number
        if self._oldest != first and not self.problem:
            self._complain(f"it begins with row {first}, and row {self._oldest} was the oldest")
        self.ledger.number = max(self.ledger.number, newest)

    def _follow(self, number: int, expected: int, raw: bytes, body_bytes: int) -> None:
        before = self.ledger.number
        try:
            head = unpack_head(raw, expected, number)
        except UnverifiedError as problem:
            self._complain(f"row {number} is damaged: {problem}")
            return
        if before and number != before + 1:
            self._complain(f"row {before + 1} is missing or damaged")
        elif before and head.before != self.checksum:
            self._complain(f"row {before} is not the one that row {number} was written after")
        self.checksum = expected
        self._oldest = head.oldest
        self.ledger.add(head, len(raw) + body_bytes)

    def _complain(self, problem: str) -> None:
        self.problem = self.problem or problem


class Bodies:
    """Reads what the ledger wants, shard by shard, and notes what does not verify.

    Args:
        damage: by shard, what is known to be damaged already; what is found is added.
    """

    def __init__(self, database: sqlite3.Connection, ledger: Ledger, damage: dict[int, str]) -> None:
        self._database = database
        self._ledger = ledger
        self._damage = damage
        self._entries: dict[Run, tuple[Entry, ...]] = {}

    def recovered(self) -> list[Recovered]:
        """One for every shard that anything is kept of, in the order of their numbers."""
        for row in self._ledger.rows:
            if row.wanted:
                self._read(row)
        shards = sorted(self._ledger.held.keys() | self._damage.keys())
        return [self._recovered(self._ledger.held.get(shard) or Held(shard)) for shard in shards]

    def _read(self, row: Row) -> None:
        runs = [run for run in row.runs if run.row is row]
        if not runs:
            return
        body = body_of(self._database, row.number)
        for run in runs:
            raw = body[run.offset : run.offset + run.size]
            try:
                entries = unpack_entries(raw, run.checksum, run.shard)
            except UnverifiedError as problem:
                self._note(run.shard, f"entries {run.first} to {run.last} in row {row.number}: {problem}")
            else:
                self._entries[run] = entries

    def _recovered(self, held: Held) -> Recovered:
        shard, start = held.shard, held.start
        gap = gap_of(held)
        if gap:
            self._note(shard, gap)
        mark = held.state.snapshot
        snapshot = None if mark is None else self._snapshot(shard, mark)
        damage = self._damage.get(shard, "")
        entries: list[Entry] = []
        if not damage:
            for run in held.runs:
                first = max(run.first, start + 1)
                entries += [entry for entry in self._entries[run] if first <= entry.index <= run.last]
        return Recovered(
            shard=shard,
            term=held.state.term,
            vote=held.state.vote,
            floor_index=held.state.floor_index,
            floor_term=held.state.floor_term,
            snapshot=snapshot,
            entries=tuple(entries),
            damage=damage,
        )

    def _snapshot(self, shard: int, mark: SnapshotMark) -> Snapshot | None:
        try:
            pieces = self._database.execute(
                "SELECT body FROM chunks WHERE number >= ? AND number < ? ORDER BY number",
                (mark.chunk, mark.chunk + mark.chunks),
            ).fetchall()
        except UNREADABLE as problem:
            self._note(shard, f"the snapshot at {mark.index} cannot be read ({problem})")
            return None
        state = b"".join(piece for (piece,) in pieces if isinstance(piece, bytes))
        if len(state) != mark.size or checksum(state, shard) != mark.checksum:
            self._note(shard, f"the snapshot at {mark.index}: the checksum does not fit")
            return None
        return Snapshot(shard, mark.index, mark.term, mark.config, state)

    def _note(self, shard: int, problem: str) -> None:
        self._damage.setdefault(shard, problem)


def body_of(database: sqlite3.Connection, number: int) -> bytes:
    """The body of a row; what can be had of it, b"" if nothing: its parts have checksums."""
    try:
        found = database.execute("SELECT body FROM rows WHERE number = ?", (number,)).fetchone()
    except UNREADABLE:
        return b""
    return found[0] if found is not None and isinstance(found[0], bytes) else b""
