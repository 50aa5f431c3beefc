"""The data directory: who this node is, over restarts, for one process at a time."""

from pathlib import Path

import pytest

from hubless.datadir import DataDirectory, DataDirectoryError

MESH = b"\1" * 8


def test_a_new_directory_is_a_new_node(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "deep" / "data")
    assert directory.formatted is None
    assert directory.remembered() is None
    first = directory.boot(mesh=MESH, shards=64, now_ms=5)
    assert (first.mesh, first.shards, first.boot) == (MESH.hex(), 64, 1)
    directory.close()


def test_a_node_keeps_its_id_and_counts_its_starts(tmp_path: Path) -> None:
    booted = []
    for _ in range(3):
        directory = DataDirectory(tmp_path)
        booted.append(directory.boot(mesh=MESH, shards=64, now_ms=5))
        directory.close()
    assert [start.boot for start in booted] == [1, 2, 3]
    assert len({start.node for start in booted}) == 1


def test_a_wiped_directory_is_another_node(tmp_path: Path) -> None:
    nodes = set()
    for _ in range(2):
        directory = DataDirectory(tmp_path)
        nodes.add(directory.boot(mesh=MESH, shards=64, now_ms=5).node)
        directory.close()
        for file in tmp_path.iterdir():
            file.unlink()
    assert len(nodes) == 2


def test_what_was_remembered_is_there_after_a_restart(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.remember(b"first")
    directory.remember(b"second")
    directory.close()
    again = DataDirectory(tmp_path)
    assert again.remembered() == b"second"
    again.close()


def test_only_one_may_have_it(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    with pytest.raises(DataDirectoryError, match="in use"):
        DataDirectory(tmp_path)
    directory.close()
    DataDirectory(tmp_path).close()


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"format": 1}', b'{"format":1,"node":7,"mesh":"","shards":1,"boot":1}']
)
def test_a_damaged_identity_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.json").write_bytes(content)
    with pytest.raises(DataDirectoryError, match="damaged"):
        DataDirectory(tmp_path)
    assert (tmp_path / "node.json").read_bytes() == content


def test_a_damaged_directory_is_not_locked_for_ever(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_bytes(b"{")
    with pytest.raises(DataDirectoryError, match="damaged"):
        DataDirectory(tmp_path)
    (tmp_path / "node.json").unlink()
    DataDirectory(tmp_path).close()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    text = '{"format":2,"node":"n","mesh":"0101010101010101","shards":64,"boot":1}'
    (tmp_path / "node.json").write_text(text)
    with pytest.raises(DataDirectoryError, match="format 2"):
        DataDirectory(tmp_path)


def test_a_half_written_file_of_a_killed_process_is_ignored(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    node = directory.boot(mesh=MESH, shards=64, now_ms=5).node
    directory.close()
    (tmp_path / "node.json.new").write_bytes(b'{"for')
    again = DataDirectory(tmp_path)
    assert again.boot(mesh=MESH, shards=64, now_ms=5).node == node
    again.close()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match="--data"):
        DataDirectory(tmp_path / "file" / "data")


@pytest.mark.parametrize("mesh", ["zz", "01"])
def test_an_identity_with_an_impossible_mesh_is_damaged(tmp_path: Path, mesh: str) -> None:
    (tmp_path / "node.json").write_text(f'{{"format":1,"node":"n","mesh":"{mesh}","shards":64,"boot":1}}')
    with pytest.raises(DataDirectoryError, match="damaged"):
        DataDirectory(tmp_path)


def test_a_founder_is_one_until_its_shards_are_on_disk(tmp_path: Path) -> None:
    """A founder that is killed before that founds again at its next start; nobody else ever does."""
    directory = DataDirectory(tmp_path)
    assert directory.boot(mesh=MESH, shards=64, now_ms=5, founding=True).founding
    directory.close()
    directory = DataDirectory(tmp_path)
    assert directory.boot(mesh=MESH, shards=64, now_ms=5).founding
    directory.journal_path.write_bytes(b"journal")
    directory.journal_kept()
    assert directory.formatted is not None
    assert (directory.formatted.founding, directory.formatted.has_journal) == (False, True)
    directory.close()
    again = DataDirectory(tmp_path)
    now = again.boot(mesh=MESH, shards=64, now_ms=5, founding=True)
    assert (now.founding, now.has_journal) == (False, True)
    again.close()


def test_who_joined_does_not_found_at_its_next_start(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.boot(mesh=MESH, shards=64, now_ms=5)
    directory.close()
    again = DataDirectory(tmp_path)
    assert not again.boot(mesh=MESH, shards=64, now_ms=5, founding=True).founding
    again.close()


def test_a_node_whose_journal_is_gone_does_not_start(tmp_path: Path) -> None:
    """It would break promises that it no longer knows of; and it must say so at every start."""
    directory = DataDirectory(tmp_path)
    directory.boot(mesh=MESH, shards=64, now_ms=5)
    directory.journal_kept()
    directory.close()
    for _ in range(2):
        again = DataDirectory(tmp_path)
        with pytest.raises(DataDirectoryError, match=r"journal\.db is gone.*empty the directory"):
            again.boot(mesh=MESH, shards=64, now_ms=5)
        again.close()
    directory.journal_path.write_bytes(b"restored")
    third = DataDirectory(tmp_path)
    assert third.boot(mesh=MESH, shards=64, now_ms=5).boot == 2
    third.close()


def test_an_identity_of_an_earlier_release_has_no_journal_to_miss(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(
        '{"format":1,"node":"n","mesh":"0101010101010101","shards":64,"boot":1}'
    )
    directory = DataDirectory(tmp_path)
    assert directory.boot(mesh=MESH, shards=64, now_ms=5).boot == 2
    directory.close()


def test_a_node_is_as_old_as_its_directory(tmp_path: Path) -> None:
    """Whatever the clock says later: members take their shards in order of age."""
    ages = []
    for now_ms in (1_700_000_000_000, 1_800_000_000_000, 3):
        directory = DataDirectory(tmp_path)
        ages.append(directory.boot(mesh=MESH, shards=64, now_ms=now_ms).since_ms)
        directory.journal_path.write_bytes(b"journal")
        directory.journal_kept()
        directory.close()
    assert ages == [1_700_000_000_000] * 3


def test_a_directory_of_an_earlier_release_has_no_age_and_gets_none(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(
        '{"format":1,"node":"n","mesh":"0101010101010101","shards":64,"boot":1}'
    )
    for boot in (2, 3):
        directory = DataDirectory(tmp_path)
        booted = directory.boot(mesh=MESH, shards=64, now_ms=5)
        directory.close()
        assert (booted.boot, booted.since_ms) == (boot, 0)
