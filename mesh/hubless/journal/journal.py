"""The journal of a node: what its replicas must not forget, in one SQLite database, one transaction a commit.

What is noticed at a start: any changed byte of what is wanted, rows that are missing, stale or misplaced, at either
end too, missing snapshots, a write-ahead log that is gone, or that lost more than its last transaction. What is
not: a whole data directory put back to an earlier state, a log that was cut at the end of a transaction, and bit
rot in the last one or two of it, which looks like an end that was torn before it was promised.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections import deque
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from hubless.journal.batch import Batch
from hubless.journal.database import (
    UNREADABLE,
    DamagedError,
    checkpoint,
    close_database,
    open_database,
    read_fact,
    write_fact,
)
from hubless.journal.errors import JournalError, JournalFailedError, JournalFullError
from hubless.journal.ledger import SLACK_BYTES, Cleaning, Ledger
from hubless.journal.reading import VERSION_MASK, Bodies, Heads, body_of
from hubless.journal.rows import RowHead, SnapshotMark, checksum, pack_head
from hubless.journal.wal import wal_of
from hubless.shard.records import Forget, Record, Recovered

_CHECKPOINT_BYTES = 4 * 1024 * 1024
_COMMIT_BYTES = 3 * 4096
_MOST_CHUNKS_DROPPED = 16


class Journal:
    """An open journal. One commit at a time, from any thread.

    Args:
        path: the database; SQLite keeps a log beside it, and `PATH-made` says that there is to be a journal.
        mesh: id of the mesh; a journal of another one is refused, as is one of another node.
        slack_bytes: the file may grow to twice what is wanted of it and this, before records are moved together.
        connection: class of the SQLite connection.

    Raises:
        JournalError: it cannot be used: not readable, another's, of another format, or gone. Nothing was deleted.
    """

    def __init__(
        self,
        path: Path,
        *,
        mesh: bytes,
        node: str,
        slack_bytes: int = SLACK_BYTES,
        connection: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self._path = path
        self._problem = ""
        self._body_bytes = 0
        """Of the last row, which tells how much to clean along with the next."""
        self._wal_bytes = 0
        self._database = open_database(path, mesh=mesh, node=node, connection=connection)
        self._closing = weakref.finalize(self, close_database, self._database)
        try:
            heads = Heads(self._database, slack_bytes)
            self._ledger, self._checksum = heads.ledger, heads.checksum
            self._damage = _known_damage(self._database, heads)
            self._shards = heads.ledger.held.keys() | self._damage.keys()
            self._next_chunk, self._doomed = _chunks(self._database, heads.ledger)
        except (*UNREADABLE, DamagedError) as problem:
            self._closing()
            raise JournalError(
                f"the journal {path} is damaged ({problem}): restore the data directory, or empty it to start as a "
                "new node. Nothing was deleted"
            ) from problem

    def recovered(self) -> list[Recovered]:
        """Everything that is kept, verified; one for each shard that anything is kept of, in ascending order.

        A shard with damage stays damaged until it is forgotten, even if what was damaged is not wanted any more.
        """
        known = len(self._damage)
        found = Bodies(self._database, self._ledger, self._damage).recovered()
        if len(self._damage) > known:
            try:
                write_fact(self._database, "damage", self._damage)
            except sqlite3.Error as problem:
                self._fail(problem)
        return found

    @property
    def size_bytes(self) -> int:
        """What the journal takes on disk."""
        return sum(file.stat().st_size for file in (self._path, wal_of(self._path)) if file.exists())

    def commit(self, records: Sequence[Record]) -> None:
        """Writes the records in order, all or none; they are on disk when it returns.

        Raises:
            JournalFullError: no room; nothing was written, and the same records may be committed later.
            JournalFailedError: the journal cannot be trusted any more. Whether the records will be found is not known.
            ValueError: entries that do not follow the shard's last one, or records of a damaged shard. One that is
                forgotten by the same records is not damaged any more: nothing is left of it that could be.
        """
        if self._problem:
            raise JournalFailedError(self._problem)
        ledger = self._ledger
        cleaning = ledger.cleaning(self._body_bytes)
        healed, damage = _healed(records, self._damage)
        batch = Batch(ledger, chunk=self._next_chunk, refused=damage)
        if cleaning.runs or cleaning.shards:
            batch.move(cleaning.runs, self._moving(cleaning), cleaning.shards)
        batch.add(records)
        if not batch.parts:
            return
        number = ledger.number + 1
        oldest = cleaning.drop + 1 if cleaning.drop else ledger.rows[0].number if ledger.rows else number
        head = RowHead(number, oldest, self._checksum, batch.parts)
        raw, body = pack_head(head), b"".join(batch.bodies)
        mine = checksum(raw)
        shards = {part.shard for part in batch.parts} - self._shards
        try:
            self._write(
                (number, mine, raw, body), batch.chunks, cleaning.drop, shards, damage if healed else None
            )
        except sqlite3.Error as problem:
            self._undo(problem)
        for shard in healed:
            del self._damage[shard]
        self._checksum = mine
        self._next_chunk = batch.next_chunk
        self._body_bytes = len(body)
        self._shards.update(shards)
        gone = ledger.add(head, len(raw) + len(body), cleaning.runs)
        ledger.dropped(cleaning.drop)
        self._doom(gone)
        self._wal_bytes += len(raw) + len(body) + sum(len(chunk) for _, chunk in batch.chunks) + _COMMIT_BYTES
        if self._wal_bytes >= _CHECKPOINT_BYTES:
            self._checkpoint()

    def close(self) -> None:
        """Closes the database."""
        self._problem = self._problem or f"the journal {self._path} is closed"
        self._closing()

    # -- a commit ---------------------------------------------------------------------------------------

    def _write(
        self,
        row: tuple[int, int, bytes, bytes],
        chunks: Sequence[tuple[int, bytes]],
        drop: int,
        shards: set[int],
        damage: dict[int, str] | None,
    ) -> None:
        execute = self._database.execute
        execute("BEGIN IMMEDIATE")
        if drop:
            execute("DELETE FROM rows WHERE number <= ?", (drop,))
        execute("INSERT INTO rows VALUES (?, ?, ?, ?)", row)
        execute(f"PRAGMA user_version = {row[0] & VERSION_MASK}")
        if chunks:
            self._database.executemany("INSERT INTO chunks VALUES (?, ?)", chunks)
        if shards:
            write_fact(self._database, "shards", sorted(self._shards | shards))
        if damage is not None:
            write_fact(self._database, "damage", damage)
        dropped = [(number,) for number in islice(self._doomed, _MOST_CHUNKS_DROPPED)]
        if dropped:
            self._database.executemany("DELETE FROM chunks WHERE number = ?", dropped)
        execute("COMMIT")
        for _ in dropped:
            self._doomed.popleft()

    def _moving(self, cleaning: Cleaning) -> list[bytes]:
        """The bytes of what moves, as they are. Those of damaged shards move with their damage."""
        moving: list[bytes] = []
        number, body = 0, b""
        for run in cleaning.runs:
            if run.row.number != number:
                number = run.row.number
                body = body_of(self._database, number)
            raw = body[run.offset : run.offset + run.size]
            if checksum(raw, run.shard) != run.checksum and run.shard not in self._damage:
                problem = (
                    f"entries {run.first} to {run.last} of shard {run.shard} in row {number} do not verify"
                )
                self._problem = f"the journal {self._path} cannot be trusted any more: {problem}"
                raise JournalFailedError(self._problem)
            moving.append(raw.ljust(run.size, b"\0"))
        return moving

    def _doom(self, gone: Sequence[SnapshotMark]) -> None:
        for mark in gone:
            self._doomed.extend(range(mark.chunk, mark.chunk + mark.chunks))

    def _undo(self, problem: sqlite3.Error) -> None:
        """Nothing of the transaction stays if there was no room; after anything else nothing is known."""
        if not _is_full(problem):
            self._fail(problem)
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        except sqlite3.Error as second:
            self._fail(second)
        self._checkpoint()  # the log may then start anew in the room that it has
        raise JournalFullError(f"no room for the journal {self._path} ({problem})") from problem

    def _checkpoint(self) -> None:
        self._wal_bytes = 0
        try:
            checkpoint(self._database)
        except sqlite3.Error as problem:
            if not _is_full(problem):
                self._fail(problem)

    def _fail(self, problem: sqlite3.Error) -> None:
        name = getattr(problem, "sqlite_errorname", type(problem).__name__)
        self._problem = f"the journal {self._path} cannot be trusted any more: {problem} ({name})"
        raise JournalFailedError(self._problem) from problem


def _healed(records: Sequence[Record], damage: dict[int, str]) -> tuple[set[int], dict[int, str]]:
    """The damaged shards that the records forget, and the damage that is left then."""
    if not damage:
        return set(), damage
    healed = {record.shard for record in records if type(record) is Forget} & damage.keys()
    return healed, {shard: why for shard, why in damage.items() if shard not in healed}


def _known_damage(database: sqlite3.Connection, heads: Heads) -> dict[int, str]:
    """By shard: what was found at earlier starts, and what the heads of the rows say.

    Raises DamagedError if the list of shards is needed and damaged too: then nobody can say what is missing.
    """
    damage: dict[int, str] = dict(sorted((read_fact(database, "damage") or {}).items()))
    held = heads.ledger.held
    if heads.problem:
        for shard in sorted(held.keys() | set(read_fact(database, "shards") or ())):
            damage.setdefault(shard, f"the journal's {heads.problem}")
        write_fact(database, "damage", damage)
        return damage
    try:
        listed = set(read_fact(database, "shards") or ())
    except DamagedError:
        write_fact(database, "shards", sorted(held))  # while no row is missing, they say it all
        return damage
    for shard in sorted(listed - held.keys()):
        damage.setdefault(shard, "nothing of it is left")
    return damage


def _chunks(database: sqlite3.Connection, ledger: Ledger) -> tuple[int, deque[int]]:
    """The first number that is free, and the chunks that no snapshot refers to: they go with later commits."""
    marks = [held.state.snapshot for held in ledger.held.values() if held.state.snapshot is not None]
    wanted = {number for mark in marks for number in range(mark.chunk, mark.chunk + mark.chunks)}
    there = [number for (number,) in database.execute("SELECT number FROM chunks ORDER BY number")]
    after = max([*there[-1:], *(mark.chunk + mark.chunks for mark in marks), 0]) + 1
    return after, deque(number for number in there if number not in wanted)


def _is_full(problem: sqlite3.Error) -> bool:
    return getattr(problem, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
