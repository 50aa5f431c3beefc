"""Bytes that change, rows that vanish, files that go: noticed, and never read as an empty shard."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from hubless.journal import Journal, JournalError
from hubless.shard.records import Forget, HardState, Record, Recovered

SHARDS = 6


def _batches(kit, count: int = 60) -> list[list[Record]]:
    """Commits with everything in them: terms, entries, replaced ones, snapshots in several chunks."""
    rng = random.Random(7)
    model = kit.model()
    batches: list[list[Record]] = []
    for number in range(count):
        batch: list[Record] = []
        for shard in rng.sample(range(SHARDS), rng.randint(1, 3)):
            last = model.last(shard)
            batch.append(kit.entries(shard, last + 1, last + rng.randint(1, 3), body=rng.randbytes(900)))
            if rng.random() < 0.2:
                batch.append(HardState(shard, number, "n2"))
        model.commit(batch)
        shard = rng.randrange(SHARDS)
        if number % 9 == 0 and model.last(shard) > model.start(shard) + 2:
            more = [kit.snapshot(shard, model.last(shard) - 1, state=rng.randbytes(300_000))]
            model.commit(more)
            batch += more
        batches.append(batch)
    return batches


@pytest.fixture(scope="module")
def written(kit, tmp_path_factory) -> tuple[Path, list[Recovered]]:
    """A journal that was closed, and what is in it."""
    path = tmp_path_factory.mktemp("written") / "journal.db"
    journal = Journal(path, mesh=kit.mesh, node=kit.node)
    model = kit.model()
    for batch in _batches(kit):
        journal.commit(batch)
        model.commit(batch)
    journal.close()
    return path, model.recovered()


@pytest.fixture(scope="module")
def killed(kit, tmp_path_factory) -> tuple[Path, list[list[Recovered]]]:
    """A journal as kill -9 leaves it, with its log, and what was in it after each commit."""
    path = tmp_path_factory.mktemp("killed") / "journal.db"
    journal = Journal(path, mesh=kit.mesh, node=kit.node)
    model = kit.model()
    states = [[]]
    for batch in _batches(kit, 25):
        journal.commit(batch)
        model.commit(batch)
        states.append(model.recovered())
    copied = _copy(path, tmp_path_factory.mktemp("copied"))
    journal.close()
    return copied, states


def _copy(path: Path, to: Path) -> Path:
    to.mkdir(exist_ok=True)
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, to / file.name)
    return to / path.name


def _read(path: Path, kit) -> list[Recovered]:
    journal = Journal(path, mesh=kit.mesh, node=kit.node)
    try:
        return journal.recovered()
    finally:
        journal.close()


def _sql(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def _assert_no_lie(found: Sequence[Recovered], expected: Sequence[Recovered]) -> None:
    """Every shard is there, and is as it was unless it says that it is damaged."""
    assert {each.shard for each in found} >= {each.shard for each in expected}
    kept = {each.shard: each for each in expected}
    for each in found:
        if not each.damage:
            assert each == kept[each.shard]


# -- the file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_a_flipped_byte_in_the_file_is_noticed_or_does_not_matter(written, kit, tmp_path, seed: int) -> None:
    rng = random.Random(seed)
    path = _copy(written[0], tmp_path / "copy")
    with path.open("r+b") as file:
        size = path.stat().st_size
        for _ in range(rng.choice([1, 1, 5, 50])):
            at = rng.randrange(rng.choice([100, 4096, size, size]))
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ (1 << rng.randrange(8))]))
    try:
        found = _read(path, kit)
    except JournalError as problem:
        assert "journal" in str(problem)
    else:
        _assert_no_lie(found, written[1])
    assert path.stat().st_size


@pytest.mark.parametrize("seed", range(40))
def test_pages_of_zeros_are_noticed_or_do_not_matter(written, kit, tmp_path, seed: int) -> None:
    rng = random.Random(seed)
    path = _copy(written[0], tmp_path / "copy")
    with path.open("r+b") as file:
        file.seek(4096 * rng.randrange(path.stat().st_size // 4096))
        file.write(bytes(4096 * rng.choice([1, 1, 8])))
    try:
        found = _read(path, kit)
    except JournalError as problem:
        assert "damaged" in str(problem)
    else:
        _assert_no_lie(found, written[1])


def test_a_file_of_something_else_is_refused_and_left_alone(kit, written, tmp_path) -> None:
    path = _copy(written[0], tmp_path / "copy")
    path.write_bytes(b"something else" * 1_000)
    with pytest.raises(JournalError, match="empty it to start as a new node"):
        _read(path, kit)
    assert path.read_bytes() == b"something else" * 1_000


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM rows WHERE number = (SELECT max(number) FROM rows)",
        "DELETE FROM rows WHERE number = (SELECT min(number) FROM rows)",
        "DELETE FROM rows WHERE number = 20",
        "DELETE FROM rows",
        "UPDATE rows SET checksum = checksum + 1 WHERE number = 20",
        "UPDATE rows SET (head, checksum) = (SELECT head, checksum FROM rows WHERE number = 19) WHERE number = 20",
    ],
)
def test_a_row_that_vanished_damages_all_shards(written, kit, tmp_path, statement: str) -> None:
    path = _copy(written[0], tmp_path / "copy")
    _sql(path, statement)
    found = _read(path, kit)
    assert [each.shard for each in found] == list(range(SHARDS))
    assert all("row" in each.damage for each in found)


def test_one_damaged_body_costs_one_shard(opened, kit, tmp_path) -> None:
    journal = opened()
    journal.commit([kit.entries(shard, 1, 3) for shard in range(4)])
    journal.close()
    raw = (tmp_path / "journal.db").read_bytes()
    (tmp_path / "journal.db").write_bytes(raw.replace(b"2/2/1", b"2/2/2"))
    found = {each.shard: each.damage for each in opened().recovered()}
    assert "entries 1 to 3" in found.pop(2)
    assert set(found.values()) == {""}


@pytest.mark.parametrize(
    "statement", ["DELETE FROM chunks", "UPDATE chunks SET body = zeroblob(length(body))"]
)
def test_a_lost_snapshot_damages_its_shard(opened, kit, tmp_path, statement: str) -> None:
    journal = opened()
    journal.commit([kit.entries(1, 1, 5), kit.entries(2, 1, 5), kit.snapshot(1, 3)])
    journal.close()
    _sql(tmp_path / "journal.db", statement)
    first, second = opened().recovered()
    assert "snapshot at 3" in first.damage
    assert not second.damage


def test_a_damaged_shard_that_is_forgotten_starts_anew(opened, kit, tmp_path) -> None:
    journal = opened()
    journal.commit([kit.entries(1, 1, 2), kit.entries(2, 1, 2), HardState(2, 4, "n2")])
    journal.close()
    raw = (tmp_path / "journal.db").read_bytes()
    (tmp_path / "journal.db").write_bytes(raw.replace(b"2/2/1", b"2/2/2"))
    journal = opened()
    assert [each.shard for each in journal.recovered() if each.damage] == [2]
    with pytest.raises(ValueError, match="shard 2 is damaged"):
        journal.commit([kit.entries(2, 3, 3)])
    journal.commit([HardState(2, 5, "n1", 0, 5), Forget(2)])
    journal.commit([kit.entries(2, 1, 1, term=5)])
    journal.close()
    one, two = opened().recovered()
    assert (one.damage, len(one.entries)) == ("", 2)
    assert (two.damage, two.term, two.vote, two.floor_term) == ("", 5, "n1", 5)
    assert [entry.term for entry in two.entries] == [5]


def test_damage_stays_even_if_its_row_is_not_wanted_any_more(opened, kit, tmp_path) -> None:
    journal = opened()
    journal.commit([kit.entries(1, 1, 5), kit.entries(2, 1, 5)])
    journal.close()
    _sql(tmp_path / "journal.db", "UPDATE rows SET body = zeroblob(length(body))")
    journal = opened(slack_bytes=0)
    before = journal.recovered()
    assert all(each.damage for each in before)
    journal.commit([kit.entries(3, 1, 5)])
    journal.commit([kit.entries(3, 6, 6)])
    with pytest.raises(ValueError, match="damaged"):
        journal.commit([kit.entries(2, 6, 6)])
    journal.close()
    after = opened().recovered()
    assert [each.damage for each in after[:2]] == [each.damage for each in before]
    assert len(after[2].entries) == 6
    assert not after[2].damage


def test_a_row_that_vanished_is_known_after_its_neighbours_went(opened, kit, tmp_path) -> None:
    journal = opened()
    for index in range(1, 6):
        journal.commit([kit.entries(1, index, index), kit.entries(2, index, index)])
    journal.close()
    _sql(tmp_path / "journal.db", "DELETE FROM rows WHERE number = 3")
    journal = opened(slack_bytes=0)
    assert all("row 3" in each.damage for each in journal.recovered())
    for index in range(1, 40):
        journal.commit([kit.entries(3, index, index, body=bytes(20_000)), kit.snapshot(3, index)])
    journal.close()
    first, second, third = opened().recovered()
    assert "row 3" in first.damage
    assert "row 3" in second.damage
    assert not third.damage


def test_a_row_of_another_time_is_noticed(opened, kit, tmp_path) -> None:
    """A page that was never written leaves an older row of the same number, which verifies by itself."""
    for name, term in (("other", 1), ("journal", 2)):
        journal = opened(tmp_path / f"{name}.db")
        for index in range(1, 6):
            journal.commit([kit.entries(1, index, index, term=term)])
        journal.close()
    row = "(SELECT head, checksum, body FROM other.rows WHERE number = 3)"
    _sql(
        tmp_path / "journal.db",
        f"ATTACH '{tmp_path / 'other.db'}' AS other",
        f"UPDATE main.rows SET (head, checksum, body) = {row} WHERE number = 3",
    )
    (found,) = opened().recovered()
    assert "row" in found.damage


def test_a_damaged_list_of_shards_does_not_matter_while_no_row_is_missing(written, kit, tmp_path) -> None:
    path = _copy(written[0], tmp_path / "copy")
    _sql(path, "UPDATE facts SET checksum = 0 WHERE name = 'shards'")
    assert _read(path, kit) == written[1]
    _sql(path, "UPDATE facts SET checksum = 0 WHERE name = 'shards'", "DELETE FROM rows WHERE number = 20")
    with pytest.raises(JournalError, match="shards"):
        _read(path, kit)


# -- its log --------------------------------------------------------------------------------------------------


def test_a_killed_journal_is_complete(killed, kit, tmp_path) -> None:
    assert _read(_copy(killed[0], tmp_path / "copy"), kit) == killed[1][-1]


@pytest.mark.parametrize("seed", range(60))
def test_a_torn_end_of_the_log_loses_the_last_commits_only(killed, kit, tmp_path, seed: int) -> None:
    rng = random.Random(seed)
    path = _copy(killed[0], tmp_path / "copy")
    log = path.with_name("journal.db-wal")
    kept = rng.randrange(log.stat().st_size)
    with log.open("r+b") as file:
        file.truncate(kept)
    assert _read(path, kit) in killed[1]


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_byte_in_the_log_costs_the_end_or_is_noticed(killed, kit, tmp_path, seed: int) -> None:
    rng = random.Random(seed)
    path = _copy(killed[0], tmp_path / "copy")
    log = path.with_name("journal.db-wal")
    at = rng.randrange(rng.choice([32, log.stat().st_size, log.stat().st_size]))
    raw = bytearray(log.read_bytes())
    raw[at] ^= 1 << rng.randrange(8)
    log.write_bytes(raw)
    try:
        found = _read(path, kit)
    except JournalError as problem:
        assert "flushed" in str(problem)
        assert log.exists()
    else:
        assert found in killed[1][-3:]


def test_a_log_that_is_gone_is_noticed(killed, kit, tmp_path) -> None:
    path = _copy(killed[0], tmp_path / "copy")
    path.with_name("journal.db-wal").unlink()
    with pytest.raises(JournalError, match=r"journal\.db-wal, which belongs to it, is gone"):
        _read(path, kit)


def test_a_journal_that_nobody_closed_can_be_opened(opened, kit, tmp_path) -> None:
    path = tmp_path / "left.db"
    journal = Journal(path, mesh=kit.mesh, node=kit.node)
    journal.commit([kit.entries(1, 1, 3)])
    del journal
    (recovered,) = _read(path, kit)
    assert len(recovered.entries) == 3
