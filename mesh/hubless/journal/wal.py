"""SQLite's write-ahead log, read only as far as it takes to tell a torn end from a hole.

When SQLite opens a database it takes the log up to the first frame that does not verify, and drops the rest without
a word. That is right for the last transaction, which a crash may have torn and which nobody was promised. But a
second transaction is only begun once the first is on disk: if two of them lie behind that place, something was
promised and is being dropped. Format: https://www.sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_MAGIC: Final = 0x377F0682


def wal_of(database: Path) -> Path:
    """Where SQLite keeps the log of a database."""
    return database.with_name(f"{database.name}-wal")


class Keepsake:
    """A second name for a log, because SQLite removes it when it closes a database, even one that was refused.

    A file system without hard links does without.
    """

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._second = wal.with_name(f"{wal.name}-kept")
        with suppress(OSError):
            if wal.exists():
                self._second.unlink(missing_ok=True)
                self._second.hardlink_to(wal)
            elif self._second.exists():  # a start that was refused ended before it could put it back
                self._second.rename(wal)
                self._second.hardlink_to(wal)
        self.is_there = wal.exists()

    def restore(self) -> None:
        """Puts the log back where it was."""
        with suppress(OSError):
            if self._wal.exists():
                self._second.unlink()
            else:
                self._second.rename(self._wal)

    def drop(self) -> None:
        """The log was used."""
        with suppress(OSError):
            self._second.unlink(missing_ok=True)


def dropped_commits(wal: Path, valid_frames: int) -> int:
    """How many whole transactions lie behind the frames that SQLite takes: more than one were not just torn.

    A header that does not verify counts as two.
    """
    try:
        file = wal.open("rb")
    except FileNotFoundError:
        return 0
    with file:
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            return 0
        if not _verifies(header):
            return 2
        page_bytes = int.from_bytes(header[8:12], "big")
        return _commits_behind(file, page_bytes, header[16:24], valid_frames)


def _commits_behind(file: BinaryIO, page_bytes: int, salts: bytes, valid_frames: int) -> int:
    """Frames of earlier generations of the log have other salts; a frame that ends a transaction names a size."""
    commits = 0
    at = _HEADER_BYTES + valid_frames * (_FRAME_HEADER_BYTES + page_bytes)
    while True:
        file.seek(at)
        frame = file.read(_FRAME_HEADER_BYTES)
        if len(frame) < _FRAME_HEADER_BYTES:
            return commits
        if frame[8:16] == salts and frame[4:8] != b"\0\0\0\0":
            commits += 1
        at += _FRAME_HEADER_BYTES + page_bytes


def _verifies(header: bytes) -> bool:
    (magic,) = struct.unpack(">I", header[:4])
    if magic & ~1 != _MAGIC:
        return False
    words = struct.unpack(">6I" if magic & 1 else "<6I", header[:24])
    first = second = 0
    for left, right in zip(words[::2], words[1::2], strict=True):
        first = (first + left + second) & 0xFFFFFFFF
        second = (second + right + first) & 0xFFFFFFFF
    return struct.unpack(">2I", header[24:]) == (first, second)
