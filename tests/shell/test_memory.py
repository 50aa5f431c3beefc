"""Gossip's memory on disk: what is kept, and that a disk in trouble ends nothing."""

from pathlib import Path

import trio
import trio.testing
from hubless.datadir import DataDirectory
from hubless.driver import LogLine
from hubless.driver.memory import Memory


async def _until(is_so) -> None:
    with trio.fail_after(30):
        while not is_so():
            await trio.sleep(0.01)


async def test_the_newest_is_on_disk_in_the_end(tmp_path: Path, nursery: trio.Nursery) -> None:
    directory = DataDirectory(tmp_path / "n1")
    memory = Memory(directory, nursery, lambda _line: None)
    for number in range(50):
        memory.keep(str(number).encode())
    await _until(lambda: directory.remembered() == b"49")


async def test_a_disk_that_cannot_be_written_is_told_once_and_tried_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    directory = DataDirectory(tmp_path / "n1")
    lines: list[LogLine] = []
    memory = Memory(directory, nursery, lines.append)
    obstacle = tmp_path / "n1" / "peers.bin.new"
    obstacle.mkdir()
    memory.keep(b"peers")
    await trio.sleep(60)
    assert [line.level for line in lines] == ["error"]
    assert "cannot keep peers" in lines[0].text
    obstacle.rmdir()
    await trio.sleep(60)
    assert directory.remembered() == b"peers"
