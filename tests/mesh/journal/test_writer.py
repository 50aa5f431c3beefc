"""Commits of a running node: order, what is told, and disks that are slow, full or broken."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from hubless.journal import (
    Journal,
    JournalFailedError,
    JournalFullError,
    MemoryJournal,
    Pace,
    Writer,
)
from hubless.shard.events import Flushed, JournalEvent, JournalFailed, JournalFull, JournalHasRoom
from hubless.shard.records import HardState, Record

MS = 1_000_000


class Disk(MemoryJournal):
    """Notes what is committed, and from which thread; a test says what goes wrong and when a commit ends."""

    def __init__(self) -> None:
        self.commits: list[list[Record]] = []
        self.threads: list[int] = []
        self.problems: list[Exception | None] = []
        self.gate = threading.Semaphore(1_000)
        self.begun = 0

    def commit(self, records: Sequence[Record]) -> None:
        self.begun += 1
        assert self.gate.acquire(timeout=30)
        self.threads.append(threading.get_ident())
        problem = self.problems.pop(0) if self.problems else None
        if problem is not None:
            raise problem
        self.commits.append(list(records))


def _slow() -> Pace:
    pace = Pace(fast_ms=1e-9, slow_ms=1e-9)
    pace.took(10_000 * MS)
    return pace


def _records(*terms: int) -> list[Record]:
    return [HardState(1, term, "") for term in terms]


async def _until(is_so) -> None:
    with trio.fail_after(30):
        while not is_so():
            await trio.sleep(0.001)


# -- a fast disk ------------------------------------------------------------------------------------------


async def test_a_fast_disk_is_written_at_once(nursery: trio.Nursery) -> None:
    told: list[JournalEvent] = []
    disk = Disk()
    writer = Writer(disk, nursery, told.append, pace=Pace(fast_ms=1e9, slow_ms=1e9))
    writer.put(1, _records(1))
    writer.put(2, _records(2, 3))
    assert told == [Flushed(1), Flushed(2)]
    assert disk.commits == [_records(1), _records(2, 3)]
    assert set(disk.threads) == {threading.get_ident()}
    assert writer.is_on_loop
    assert writer.waiting_bytes == 0


async def test_a_real_journal_through_a_writer(nursery: trio.Nursery, kit, tmp_path: Path) -> None:
    told: list[JournalEvent] = []
    journal = Journal(tmp_path / "journal.db", mesh=kit.mesh, node=kit.node)
    for pace in (None, _slow()):
        writer = Writer(journal, nursery, told.append, pace=pace)
        first = 1 if pace is None else 101
        for mark in range(first, first + 100):
            writer.put(mark, [kit.entries(1, mark, mark)])
        await _until(lambda mark=mark: Flushed(mark) in told)
    (recovered,) = journal.recovered()
    journal.close()
    assert len(recovered.entries) == 200
    marks = [event.mark for event in told if isinstance(event, Flushed)]
    assert marks == sorted(marks)


# -- a slow disk ------------------------------------------------------------------------------------------


async def test_a_slow_disk_is_written_in_a_thread_and_what_comes_meanwhile_is_joined(
    nursery: trio.Nursery,
) -> None:
    told: list[JournalEvent] = []
    disk = Disk()
    disk.gate = threading.Semaphore(0)
    writer = Writer(disk, nursery, told.append, pace=_slow())
    writer.put(1, _records(1))
    await _until(lambda: disk.begun)
    writer.put(2, _records(2))
    writer.put(3, _records(3))
    assert told == []
    assert not writer.is_on_loop
    assert writer.waiting_bytes > 0
    disk.gate.release(2)
    await _until(lambda: len(told) == 2)
    assert told == [Flushed(1), Flushed(3)]
    assert disk.commits == [_records(1), _records(2, 3)]
    assert threading.get_ident() not in disk.threads
    assert writer.waiting_bytes == 0


async def test_what_is_joined_has_a_bound(nursery: trio.Nursery, kit) -> None:
    told: list[JournalEvent] = []
    disk = Disk()
    disk.gate = threading.Semaphore(0)
    writer = Writer(disk, nursery, told.append, pace=_slow())
    writer.put(1, _records(1))
    await _until(lambda: disk.begun)
    for mark in range(2, 8):
        writer.put(mark, [kit.entries(1, mark, mark, body=bytes(2 * 1024 * 1024))])
    disk.gate.release(100)
    await _until(lambda: Flushed(7) in told)
    assert [len(batch) for batch in disk.commits] == [1, 2, 2, 2]


async def test_a_commit_under_way_is_seen_to_its_end(kit) -> None:
    told: list[JournalEvent] = []
    disk = Disk()
    disk.gate = threading.Semaphore(0)
    async with trio.open_nursery() as nursery:
        writer = Writer(disk, nursery, told.append, pace=_slow())
        writer.put(1, _records(1))
        await _until(lambda: disk.begun)
        nursery.cancel_scope.cancel()
        disk.gate.release()
    assert disk.commits == [_records(1)]


def test_the_pace_changes_late_enough_not_to_flutter() -> None:
    pace = Pace(fast_ms=2, slow_ms=5)
    assert pace.is_fast
    for _ in range(100):
        pace.took(4 * MS)
    assert pace.is_fast
    for _ in range(100):
        pace.took(8 * MS)
    assert not pace.is_fast
    for _ in range(100):
        pace.took(3 * MS)
    assert not pace.is_fast
    for _ in range(100):
        pace.took(MS)
    assert pace.is_fast


def test_one_checkpoint_does_not_make_a_disk_slow() -> None:
    pace = Pace()
    for _ in range(10):
        pace.took(MS // 5)
    pace.took(30 * MS)
    assert pace.is_fast


def test_an_impossible_pace_is_refused() -> None:
    with pytest.raises(ValueError, match="fast_ms"):
        Pace(fast_ms=5, slow_ms=2)


# -- a full disk, a broken one ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_full_disk_is_told_once_and_tried_until_it_has_room(
    nursery: trio.Nursery, is_slow: bool
) -> None:
    told: list[JournalEvent] = []
    disk = Disk()
    disk.problems = [None, *[JournalFullError("no room for the journal")] * 4]
    pace = _slow() if is_slow else Pace(fast_ms=1e9, slow_ms=1e9)
    writer = Writer(disk, nursery, told.append, pace=pace, pause_s=0.001)
    for mark in range(1, 4):
        writer.put(mark, _records(mark))
        await _until(lambda mark=mark: disk.begun >= min(mark, 2))
    await _until(lambda: Flushed(3) in told)
    assert told[:3] == [Flushed(1), JournalFull("no room for the journal"), JournalHasRoom()]
    assert all(isinstance(event, Flushed) for event in told[3:])
    assert [record.term for batch in disk.commits for record in batch] == [1, 2, 3]
    assert writer.waiting_bytes == 0


@pytest.mark.parametrize("is_slow", [False, True])
async def test_after_a_failed_flush_nothing_is_written_nor_told(nursery: trio.Nursery, is_slow: bool) -> None:
    told: list[JournalEvent] = []
    disk = Disk()
    disk.problems = [JournalFailedError("failed flush")]
    pace = _slow() if is_slow else Pace(fast_ms=1e9, slow_ms=1e9)
    writer = Writer(disk, nursery, told.append, pace=pace)
    writer.put(1, _records(1))
    writer.put(2, _records(2))
    await _until(lambda: told)
    writer.put(3, _records(3))
    await trio.testing.wait_all_tasks_blocked()
    assert told == [JournalFailed("failed flush")]
    assert disk.commits == []
