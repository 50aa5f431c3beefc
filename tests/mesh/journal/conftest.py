"""Journals in temporary directories, records for them, and a dumb model of what they should say."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hubless.journal import Journal
from hubless.shard.records import Entries, Forget, HardState, Record, Recovered, Snapshot
from hubless.wire.replication import Config, Entry

MESH = b"\1" * 8
NODE = "n1"
CONFIG = Config(("n1", "n2", "n3"))


def entries(shard: int, first: int, last: int, *, term: int = 1, body: bytes = b"") -> Entries:
    """Entries whose bodies say which they are, unless one is given."""
    return Entries(
        shard,
        tuple(Entry(i, term, 1, body or f"{shard}/{i}/{term}".encode()) for i in range(first, last + 1)),
    )


def snapshot(shard: int, index: int, *, state: bytes = b"state", keeps_log: bool = True) -> Snapshot:
    return Snapshot(shard, index, 1, CONFIG, state, keeps_log)


@dataclass
class Shard:
    """A shard as the model keeps it."""

    term: int = 0
    vote: str = ""
    snapshot: Snapshot | None = None
    entries: list[Entry] = field(default_factory=list)

    def recovered(self, shard: int) -> Recovered:
        return Recovered(
            shard=shard,
            term=self.term,
            vote=self.vote,
            snapshot=self.snapshot,
            entries=tuple(self.entries),
        )


class Model:
    """Does to a dictionary what the records' docstrings say."""

    def __init__(self) -> None:
        self.shards: dict[int, Shard] = {}

    def commit(self, records: Sequence[Record]) -> None:
        for record in records:
            shard = self.shards.setdefault(record.shard, Shard())
            match record:
                case HardState(term=term, vote=vote):
                    shard.term, shard.vote = term, vote
                case Entries(entries=new):
                    start = shard.snapshot.index if shard.snapshot else 0
                    kept = [entry for entry in shard.entries if entry.index < new[0].index]
                    shard.entries = kept + [entry for entry in new if entry.index > start]
                case Snapshot(index=index, keeps_log=keeps_log):
                    after = [entry for entry in shard.entries if entry.index > index]
                    shard.entries = after if keeps_log else []
                    shard.snapshot = Snapshot(record.shard, index, record.term, record.config, record.state)
                case Forget():
                    shard.entries, shard.snapshot = [], None

    def last(self, shard: int) -> int:
        held = self.shards.get(shard, Shard())
        if held.entries:
            return held.entries[-1].index
        return held.snapshot.index if held.snapshot else 0

    def start(self, shard: int) -> int:
        held = self.shards.get(shard, Shard())
        return held.snapshot.index if held.snapshot else 0

    def recovered(self) -> list[Recovered]:
        return [self.shards[number].recovered(number) for number in sorted(self.shards)]


Opener = Callable[..., Journal]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens the journal of this test's node; again and again, if it is closed between."""
    made: list[Journal] = []

    def open_it(path: Path | None = None, **options: Any) -> Journal:
        options = {"mesh": MESH, "node": NODE} | options
        made.append(Journal(path or tmp_path / "journal.db", **options))
        return made[-1]

    yield open_it
    for journal in made:
        journal.close()


class Faulty(sqlite3.Connection):
    """A connection whose next COMMIT, or whatever begins as `on` says, fails as SQLite would."""

    code = ""
    on = "COMMIT"

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if Faulty.code and sql.startswith(Faulty.on):
            name, Faulty.code = Faulty.code, ""
            problem = sqlite3.OperationalError("disk I/O error")
            problem.sqlite_errorname = name
            problem.sqlite_errorcode = getattr(sqlite3, name)
            raise problem
        return super().execute(sql, *arguments)


@pytest.fixture
def faulty() -> Iterator[type[Faulty]]:
    """A class of connections that fails where a test says."""
    yield Faulty
    Faulty.code, Faulty.on = "", "COMMIT"


class Limited(sqlite3.Connection):
    """A connection whose file a test may keep from growing."""

    newest: Limited

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        Limited.newest = self

    def limit(self, more_pages: int) -> None:
        (pages,) = self.execute("PRAGMA page_count").fetchone()
        self.execute(f"PRAGMA max_page_count = {pages + more_pages}").fetchall()


@pytest.fixture(scope="session")
def limited() -> type[Limited]:
    return Limited


@dataclass(frozen=True)
class Kit:
    """What tests of journals need, for those that cannot take a fixture per example too."""

    entries = staticmethod(entries)
    snapshot = staticmethod(snapshot)
    model = Model
    mesh = MESH
    node = NODE


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()
