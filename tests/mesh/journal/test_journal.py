"""The journal: what was committed is there after a restart, as the records say, and the file stays small."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubless.datadir import DataDirectoryError
from hubless.journal import JournalError, JournalFailedError, JournalFullError, MemoryJournal
from hubless.shard.private import PRIVATE
from hubless.shard.records import Entries, Forget, HardState
from hubless.wire.replication import Entry

MESH = b"\1" * 8


def test_a_new_journal_has_nothing(opened) -> None:
    assert opened().recovered() == []


def test_what_was_committed_is_there_after_a_restart(opened, kit) -> None:
    batches = [
        [HardState(3, 1, "n2"), kit.entries(3, 1, 4), kit.entries(9, 1, 2)],
        [kit.entries(3, 5, 5), HardState(3, 2, "n1"), kit.entries(3, 4, 6, term=2)],
        [kit.snapshot(9, 1), HardState(4, 7, "")],
        [kit.snapshot(9, 12, state=b"x" * 700_000, keeps_log=False), kit.entries(9, 13, 13)],
        [Forget(3)],
        [kit.entries(3, 1, 1, term=3), kit.snapshot(4, 5, state=b"")],
    ]
    model = kit.model()
    for batch in batches:
        journal = opened()
        journal.commit(batch)
        model.commit(batch)
        assert journal.recovered() == model.recovered()
        journal.close()
    again = opened()
    assert again.recovered() == model.recovered()


def test_the_vote_outlives_being_forgotten(opened) -> None:
    journal = opened()
    journal.commit([HardState(1, 5, "n3"), Forget(1)])
    journal.close()
    (recovered,) = opened().recovered()
    assert (recovered.term, recovered.vote) == (5, "n3")


def test_so_does_what_the_forgotten_log_stood_for(opened, kit) -> None:
    journal = opened()
    journal.commit([kit.entries(1, 1, 9, term=4), HardState(1, 5, "n3", 9, 4), Forget(1)])
    journal.commit([kit.entries(1, 1, 1), kit.snapshot(1, 1)])
    journal.close()
    (recovered,) = opened().recovered()
    assert (recovered.floor_index, recovered.floor_term) == (9, 4)


@pytest.mark.parametrize("indexes", [(5, 6), (4,), (3, 5), (3, 3)])
def test_entries_that_leave_a_hole_are_refused_and_nothing_is_written(opened, kit, indexes) -> None:
    journal = opened()
    journal.commit([kit.entries(1, 1, 2)])
    odd = Entries(1, tuple(Entry(index, 1, 1, b"") for index in indexes))
    with pytest.raises(ValueError, match="do not follow"):
        journal.commit([kit.entries(2, 1, 1), odd])
    journal.commit([kit.entries(1, 3, 3)])
    journal.close()
    (recovered,) = opened().recovered()
    assert [entry.index for entry in recovered.entries] == [1, 2, 3]


def test_an_older_snapshot_than_the_last_one_is_refused(opened, kit) -> None:
    journal = opened()
    journal.commit([kit.snapshot(1, 9)])
    with pytest.raises(ValueError, match="comes after"):
        journal.commit([kit.snapshot(1, 8)])


def test_the_file_stays_flat_while_work_goes_on(opened, kit) -> None:
    journal = opened(slack_bytes=256 * 1024)
    sizes = []
    for number in range(1, 1_500):
        batch = [kit.entries(shard, number, number, body=b"x" * 1_100) for shard in range(8)]
        if number % 20 == 0:
            batch += [kit.snapshot(shard, number, state=b"s" * 5_000) for shard in range(7)]
        if number % 300 == 0:
            batch.append(kit.snapshot(7, number))
        journal.commit(batch)
        sizes.append(journal.size_bytes)
    assert max(sizes[750:]) <= 1.1 * max(sizes[:750])
    assert max(sizes) < 12_000_000


def test_a_shard_at_rest_does_not_keep_the_rows_of_the_others(opened, kit) -> None:
    journal = opened(slack_bytes=128 * 1024)
    model = kit.model()
    first = [HardState(0, 3, "n2"), kit.entries(0, 1, 5, body=b"r" * 1_100)]
    journal.commit(first)
    model.commit(first)
    for number in range(1, 2_000):
        batch = [kit.entries(1, number, number, body=b"x" * 3_000)]
        if number % 10 == 0:
            batch.append(kit.snapshot(1, number))
        journal.commit(batch)
        model.commit(batch)
    assert journal.size_bytes < 7_000_000
    journal.close()
    assert opened().recovered() == model.recovered()


def test_the_bytes_of_a_replaced_snapshot_are_used_again(opened, kit) -> None:
    journal = opened()
    sizes = []
    for number in range(1, 40):
        journal.commit([kit.snapshot(1, number, state=b"s" * 3_000_000)])
        sizes.append(journal.size_bytes)
    assert max(sizes[20:]) <= max(sizes[:20])


# -- whose it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [{"mesh": b"\2" * 8}, {"node": "n2"}])
def test_the_journal_of_another_is_refused(opened, other) -> None:
    opened().close()
    with pytest.raises(JournalError, match="data directory of its own"):
        opened(**other)
    opened()


def test_an_error_at_opening_is_one_of_the_data_directory() -> None:
    assert issubclass(JournalError, DataDirectoryError)


def test_a_journal_in_use_is_refused(opened) -> None:
    opened()
    with pytest.raises(JournalError, match="in use"):
        opened()


def test_another_format_is_refused(opened, monkeypatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("hubless.journal.database.FORMAT", 2)
        opened().close()
    with pytest.raises(JournalError, match="format 2 and this release reads 1"):
        opened()


def test_a_journal_that_is_gone_is_not_an_empty_one(opened, tmp_path: Path) -> None:
    opened().close()
    (tmp_path / "journal.db").unlink()
    with pytest.raises(JournalError, match="is gone"):
        opened()


def test_a_place_that_cannot_be_written_is_refused(opened, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be"):
        opened(tmp_path / "nowhere" / "journal.db")


def test_a_commit_waits_for_the_disk(opened, limited) -> None:
    """At FULL only, SQLite flushes its write-ahead log with every commit. What a kill leaves does not tell of it."""
    opened(connection=limited)
    told = {
        name: limited.newest.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    }
    assert told == {"journal_mode": "wal", "synchronous": 2}


# -- trouble with the disk --------------------------------------------------------------------------------


def test_a_full_disk_refuses_the_batch_and_takes_it_later(opened, kit, limited) -> None:
    journal = opened(connection=limited)
    kept = [HardState(1, 1, "n1"), kit.entries(1, 1, 3)]
    large = [kit.entries(1, 4, 40, body=b"x" * 10_000), kit.entries(2, 1, 1)]
    journal.commit(kept)
    limited.newest.limit(5)
    for _ in range(3):
        with pytest.raises(JournalFullError, match="no room"):
            journal.commit(large)
    small = [HardState(1, 2, "n2")]
    journal.commit(small)
    model = kit.model()
    model.commit([*kept, *small])
    assert journal.recovered() == model.recovered()
    limited.newest.limit(1_000)
    journal.commit(large)
    model.commit(large)
    journal.close()
    assert opened().recovered() == model.recovered()


@pytest.mark.parametrize("code", ["SQLITE_IOERR_FSYNC", "SQLITE_IOERR_WRITE", "SQLITE_CORRUPT"])
def test_after_a_failed_flush_nothing_is_written_any_more(opened, kit, faulty, code: str) -> None:
    journal = opened(connection=faulty)
    journal.commit([kit.entries(1, 1, 1)])
    faulty.code = code
    with pytest.raises(JournalFailedError, match=code):
        journal.commit([kit.entries(1, 2, 2)])
    with pytest.raises(JournalFailedError, match=code):
        journal.commit([kit.entries(1, 2, 2)])
    journal.close()
    (recovered,) = opened().recovered()
    assert recovered.entries[:1] == kit.entries(1, 1, 1).entries


def test_a_failed_checkpoint_counts_as_a_failed_flush(opened, kit, faulty) -> None:
    journal = opened(connection=faulty)
    faulty.on, faulty.code = "PRAGMA wal_checkpoint", "SQLITE_IOERR_FSYNC"
    large = [kit.entries(1, 1, 50, body=b"x" * 100_000)]
    with pytest.raises(JournalFailedError):
        journal.commit(large)
    with pytest.raises(JournalFailedError):
        journal.commit([HardState(1, 1, "")])


def test_a_checkpoint_without_room_is_put_off(opened, kit, faulty) -> None:
    journal = opened(connection=faulty)
    faulty.on, faulty.code = "PRAGMA wal_checkpoint", "SQLITE_FULL"
    large = [kit.entries(1, 1, 50, body=b"x" * 100_000)]
    journal.commit(large)
    journal.commit([kit.entries(1, 51, 51)])
    journal.close()
    (recovered,) = opened().recovered()
    assert recovered.entries[-1].index == 51


def test_a_closed_journal_takes_nothing(opened) -> None:
    journal = opened()
    journal.close()
    journal.close()
    with pytest.raises(JournalFailedError, match="closed"):
        journal.commit([HardState(1, 1, "")])


# -- without a disk ---------------------------------------------------------------------------------------


def test_a_journal_in_memory_keeps_nothing(kit) -> None:
    journal = MemoryJournal()
    journal.commit([kit.entries(1, 1, 3)])
    assert journal.recovered() == []
    assert journal.size_bytes == 0
    journal.close()


def test_a_nodes_own_log_is_kept_beside_those_of_shards(opened, kit) -> None:
    model = kit.model()
    batches = [
        [HardState(PRIVATE, 1, "n1"), kit.entries(PRIVATE, 1, 3), kit.entries(0, 1, 2)],
        [kit.snapshot(PRIVATE, 3), kit.entries(PRIVATE, 4, 4)],
    ]
    for batch in batches:
        journal = opened()
        journal.commit(batch)
        model.commit(batch)
        journal.close()
    assert opened().recovered() == model.recovered()
