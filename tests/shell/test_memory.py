"""Gossip's memory on disk: what is kept, and that a disk in trouble ends nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from hubless.datadir import DataDirectory
from hubless.driver import LogLine
from hubless.driver.memory import Memory


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDirectory]:
    directory = DataDirectory(tmp_path / "n1")
    yield directory
    directory.close()


async def _until(is_so) -> None:
    with trio.fail_after(30):
        while not is_so():
            await trio.sleep(0.01)


async def test_the_newest_is_on_disk_in_the_end(directory: DataDirectory, nursery: trio.Nursery) -> None:
    memory = Memory(directory, nursery, lambda _line: None)
    for number in range(50):
        memory.keep(str(number).encode())
    await _until(lambda: directory.remembered() == b"49")


async def test_a_disk_that_cannot_be_written_is_told_once_and_tried_again(
    directory: DataDirectory, nursery: trio.Nursery
) -> None:
    lines: list[LogLine] = []
    memory = Memory(directory, nursery, lines.append, retry_s=0.001)
    obstacle = directory.path / "peers.bin.new"
    obstacle.mkdir()
    memory.keep(b"peers")
    await _until(lambda: lines)
    obstacle.rmdir()
    await _until(lambda: directory.remembered() == b"peers")
    assert [line.level for line in lines] == ["error"]
    assert "cannot keep peers" in lines[0].text
