"""The SQLite file under a journal: how it is opened, whose it is, and the few facts beside its rows.

    rows     one per commit: number, checksum of the head, head, body (see `rows`)
    chunks   the bytes of snapshots, 256 KiB at most in each
    facts    identity, the shards that anything is kept of, damage that was found, whether the journal is in use

`user_version` is the number of the newest row (31 bits of it): it lies on the file's first page, which a commit writes
anyway, and so tells of a newest row that is not there.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from hubless.journal.errors import JournalError
from hubless.journal.wal import Keepsake, dropped_commits, wal_of

FORMAT: Final = 1
UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises: texts of errors may quote it, which Python's module then cannot decode."""
_PAGE_BYTES = 4096
_CACHE_KIB = 8 * 1024
_REMEDY = "restore the data directory, or empty it to start as a new node"
_SCHEMA = (
    (
        "CREATE TABLE rows"
        " (number INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, head BLOB NOT NULL, body BLOB NOT NULL)"
    ),
    "CREATE TABLE chunks (number INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)",
)


class DamagedError(Exception):
    """A fact that is not what was written."""


def open_database(
    path: Path, *, mesh: bytes, node: str, connection: type[sqlite3.Connection]
) -> sqlite3.Connection:
    """Opens the journal of that node, or makes it.

    Raises:
        JournalError: not readable, another node's or mesh's, of another format, in use, or gone after it was made.
    """
    made = path.with_name(f"{path.name}-made")
    if made.exists() and not path.exists():
        raise JournalError(f"the journal {path} is gone: {_REMEDY}")
    keepsake = Keepsake(wal_of(path))
    try:
        database = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=0, factory=connection
        )
    except sqlite3.Error as problem:
        raise JournalError(f"the journal {path} cannot be opened ({problem}): {_REMEDY}") from problem
    try:
        _configure(database)
        if made.exists() or _has_tables(database):
            _check(database, path, mesh, node, had_wal=keepsake.is_there)
        else:
            _make(database, mesh, node)
        write_fact(database, "open", 1)
        checkpoint(database)
        if not made.exists():
            made.touch()
            _sync_directory(path.parent)
    except (*UNREADABLE, OSError, DamagedError) as problem:
        database.close()
        keepsake.restore()
        raise JournalError(_text_of(path, problem)) from problem
    except JournalError:
        database.close()
        keepsake.restore()
        raise
    keepsake.drop()
    return database


def close_database(database: sqlite3.Connection) -> None:
    """Marks the journal as complete without a log beside it, and closes it: SQLite then removes the log.

    What was committed is on disk before, so nothing that goes wrong here is worth telling.
    """
    with suppress(sqlite3.Error):
        if database.in_transaction:
            database.execute("ROLLBACK")
        write_fact(database, "open", 0)
    with suppress(sqlite3.Error):
        database.close()


def checkpoint(database: sqlite3.Connection) -> int:
    """Copies the write-ahead log into the file, so that the log starts anew. Returns the frames of the log."""
    (_busy, frames, _copied) = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(frames)


def read_fact(database: sqlite3.Connection, name: str) -> Any:
    """What was written under that name; None if nothing.

    Raises:
        DamagedError: it does not verify.
        sqlite3.Error: it cannot be read.
    """
    row = database.execute("SELECT value, checksum FROM facts WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    value, expected = row
    if not isinstance(value, bytes) or _checksum(name, value) != expected:
        raise DamagedError(f"its fact {name!r} does not verify")
    return msgspec.msgpack.decode(value)


def write_fact(database: sqlite3.Connection, name: str, fact: object) -> None:
    """Within the transaction under way, or as one of its own."""
    value = msgspec.msgpack.encode(fact)
    database.execute("REPLACE INTO facts VALUES (?, ?, ?)", (name, value, _checksum(name, value)))


def _checksum(name: str, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(name.encode()))


def _configure(database: sqlite3.Connection) -> None:
    for setting in (
        f"page_size = {_PAGE_BYTES}",
        "locking_mode = EXCLUSIVE",  # the directory is locked anyway; spares the shared index and its locks
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 0",  # SQLite would keep a checkpoint's failed flush to itself
        "secure_delete = OFF",
        f"cache_size = -{_CACHE_KIB}",
        "trusted_schema = OFF",
        "cell_size_check = ON",
    ):
        database.execute(f"PRAGMA {setting}").fetchall()


def _has_tables(database: sqlite3.Connection) -> bool:
    (count,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(count)


def _make(database: sqlite3.Connection, mesh: bytes, node: str) -> None:
    database.execute("BEGIN IMMEDIATE")
    for table in _SCHEMA:
        database.execute(table)
    write_fact(database, "identity", [FORMAT, mesh, node])
    database.execute("COMMIT")


def _check(database: sqlite3.Connection, path: Path, mesh: bytes, node: str, *, had_wal: bool) -> None:
    found = [
        sql
        for (sql,) in database.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
    ]
    identity = read_fact(database, "identity")
    if identity is None:
        raise DamagedError("its identity is missing")
    found_format, found_mesh, found_node = identity
    if found_format != FORMAT:
        raise JournalError(
            f"the journal {path} has format {found_format} and this release reads {FORMAT}: "
            "use the release that wrote it"
        )
    if (found_mesh, found_node) != (mesh, node):
        raise JournalError(
            f"the journal {path} is of node {found_node} of mesh {found_mesh.hex()}, not of node {node} of mesh "
            f"{mesh.hex()}: give every node a data directory of its own"
        )
    if found != list(_SCHEMA):
        raise DamagedError("its tables are not those that were made")
    if read_fact(database, "open") and not had_wal:
        raise DamagedError(f"{wal_of(path).name}, which belongs to it, is gone")
    (structure,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if structure != "ok":
        raise DamagedError(f"its pages are in disorder: {structure}")
    frames = checkpoint(database)
    if had_wal and dropped_commits(wal_of(path), frames) > 1:
        raise DamagedError(
            f"{wal_of(path).name} is damaged after frame {frames}: commits that were flushed are lost"
        )


def _text_of(path: Path, problem: Exception) -> str:
    name = getattr(problem, "sqlite_errorname", "")
    if name.startswith("SQLITE_BUSY"):
        return f"the journal {path} is in use by another process: stop it"
    if name.startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN")) or isinstance(problem, OSError):
        return (
            f"the journal {path} cannot be written ({problem}): see to the disk's room and the file's rights"
        )
    return f"the journal {path} is damaged ({problem}): {_REMEDY}. Nothing was deleted"


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
