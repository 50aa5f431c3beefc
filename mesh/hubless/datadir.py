"""The data directory: which node this is, of which mesh, and whom it knew. One process at a time may have it.

    node.json    format, node id, mesh id, shards, boot, age; written whole, then renamed into place
    peers.bin    what gossip wants to find again, opaque here
    journal.db   the replicas of shards that this node keeps
    lock         held by the running process

A wiped directory is a new node: nothing of the old one can be mistaken for it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Annotated

import msgspec

from hubless.config import ConfigError

_FORMAT = 1


class DataDirectoryError(ConfigError):
    """The directory cannot be used. Nothing in it was changed."""


class Formatted(msgspec.Struct, frozen=True):
    """Contents of node.json. `mesh` is hexadecimal; `boot` counts the starts of this node.

    `founding`: this node founds the mesh, and whether its shards are on disk yet is not known. `has_journal`: a journal
    has been written, and must be there. `since_ms` is when the directory was formatted, in unix time; 0 if the release
    that did it took no note.
    """

    format: int
    node: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    mesh: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    shards: Annotated[int, msgspec.Meta(ge=1, le=65_536)]
    boot: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    founding: bool = False
    has_journal: bool = False
    since_ms: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] = 0


def new_node_id() -> str:
    """Twelve hexadecimal digits, never given twice."""
    return secrets.token_hex(6)


class DataDirectory:
    """An open, locked data directory. `path` is where it is.

    Raises:
        DataDirectoryError: not writable, in use by another process, damaged, or of a newer format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / "lock").open("a")
        except OSError as problem:
            raise DataDirectoryError(
                f"data directory {path} cannot be written ({problem.strerror}): choose another with --data"
            ) from problem
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            self._lock.close()
            raise DataDirectoryError(
                f"data directory {path} is in use by a running node: stop it, or give this one its own --data"
            ) from problem
        try:
            self.formatted = self._read()
        except DataDirectoryError:
            self.close()
            raise

    @property
    def journal_path(self) -> Path:
        return self.path / "journal.db"

    def boot(self, *, mesh: bytes, shards: int, now_ms: int, founding: bool = False) -> Formatted:
        """Formats the directory if it is new, counts one more start, and puts that on disk. `now_ms` is unix time.

        Raises:
            DataDirectoryError: the journal that this directory had is gone; without it the node could break promises.
        """
        before = self.formatted
        if before is not None and before.has_journal and not self.journal_path.exists():
            raise DataDirectoryError(
                f"{self.journal_path} is gone, with what this node had promised to keep: restore it, or empty the "
                "directory to start as a new node"
            )
        now = Formatted(
            format=_FORMAT,
            node=before.node if before else new_node_id(),
            mesh=mesh.hex(),
            shards=shards,
            boot=(before.boot if before else 0) + 1,
            founding=before.founding if before else founding,
            has_journal=before is not None and before.has_journal,
            since_ms=before.since_ms if before else now_ms,
        )
        self._write("node.json", msgspec.json.encode(now))
        self.formatted = now
        return now

    def journal_kept(self) -> None:
        """Notes that the journal has been written: from now on it must be there."""
        now = self.formatted
        if now is not None and not now.has_journal:
            self.formatted = msgspec.structs.replace(now, founding=False, has_journal=True)
            self._write("node.json", msgspec.json.encode(self.formatted))

    def remembered(self) -> bytes | None:
        """What `remember` was last given; None if nothing."""
        path = self.path / "peers.bin"
        return path.read_bytes() if path.exists() else None

    def remember(self, raw: bytes) -> None:
        """Puts gossip's memory on disk before it returns."""
        self._write("peers.bin", raw)

    def close(self) -> None:
        """Gives the directory to whoever wants it next."""
        self._lock.close()

    def _read(self) -> Formatted | None:
        path = self.path / "node.json"
        if not path.exists():
            return None
        try:
            formatted = msgspec.json.decode(path.read_bytes(), type=Formatted)
        except OSError as problem:
            raise DataDirectoryError(
                f"{path} cannot be read ({problem.strerror}): see to its rights"
            ) from problem
        except msgspec.MsgspecError as problem:
            raise DataDirectoryError(
                f"{path} is damaged ({problem}): restore it, or empty the directory to start as a new node"
            ) from problem
        if formatted.format != _FORMAT:
            raise DataDirectoryError(
                f"{path} has format {formatted.format} and this release reads {_FORMAT}: use the release that wrote it"
            )
        return formatted

    def _write(self, name: str, raw: bytes) -> None:
        """Whole or not at all, and on disk when it returns."""
        fresh = self.path / f"{name}.new"
        with fresh.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path / name)
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
