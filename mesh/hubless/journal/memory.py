"""The journal of a node without a data directory: it keeps nothing, and a restarted node is a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hubless.shard.records import Record, Recovered


class Store(Protocol):
    """What keeps records: `Journal` on disk, `MemoryJournal` not at all."""

    @property
    def size_bytes(self) -> int: ...

    def recovered(self) -> list[Recovered]: ...

    def commit(self, records: Sequence[Record]) -> None: ...

    def close(self) -> None: ...


class MemoryJournal:
    """Same interface as `Journal`; every commit succeeds and keeps nothing."""

    size_bytes = 0

    def recovered(self) -> list[Recovered]:
        return []

    def commit(self, records: Sequence[Record]) -> None:
        """Nothing is kept: what the process knows ends with it."""

    def close(self) -> None:
        """There is nothing to close."""
