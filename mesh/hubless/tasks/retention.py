"""How long a finished task answers for itself, decided by the log alone so that all replicas forget alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hubless.tasks.row import Row

_DAY_MS: Final = 24 * 3600 * 1000
_MIB: Final = 1024 * 1024
_NO_BOUND: Final = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Bounds of what one shard keeps of finished tasks: a constant of the mesh, or its replicas would part.

    Whichever is reached first counts, but the task that ended last is never too much. Dead letters have bounds of their
    own, so that neither they nor the results can push the others out.
    """

    kept_ms: int = 600_000
    rows: int = 2_000
    size_bytes: int = _MIB
    dead_kept_ms: int = 7 * _DAY_MS
    dead_rows: int = 200
    dead_bytes: int = _MIB // 2

    def __post_init__(self) -> None:
        for name in ("kept_ms", "rows", "size_bytes", "dead_kept_ms", "dead_rows", "dead_bytes"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


DEFAULT_RETENTION: Final = Retention()


class Shelf:
    """Rows in the order in which they came, and their bytes, within bounds that `take_overdue` applies."""

    __slots__ = ("_kept_ms", "_kept_until_ms", "_most_bytes", "_most_rows", "_rows", "size_bytes")

    def __init__(self, kept_ms: int = _NO_BOUND, rows: int = _NO_BOUND, size_bytes: int = _NO_BOUND) -> None:
        self._kept_ms = kept_ms
        self._most_rows = rows
        self._most_bytes = size_bytes
        self._rows: OrderedDict[bytes, Row] = OrderedDict()
        self._kept_until_ms = -1
        """Before this time, or at it, no row is too old; it may be too early, since rows are taken."""
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def put(self, row: Row) -> None:
        self._rows[row.task] = row
        self.size_bytes += row.size_bytes

    def take(self, row: Row) -> None:
        del self._rows[row.task]
        self.size_bytes -= row.size_bytes

    def resize(self, row: Row, size_bytes: int) -> None:
        self.size_bytes += size_bytes - row.size_bytes
        row.size_bytes = size_bytes

    def take_overdue(self, clock_ms: int) -> Row | None:
        """Takes the oldest row off, if it ended too long ago or there is more than there may be."""
        rows = self._rows
        if not rows:
            return None
        is_too_much = len(rows) > self._most_rows or self.size_bytes > self._most_bytes
        if clock_ms <= self._kept_until_ms and not is_too_much:
            return None
        oldest = next(iter(rows.values()))
        if clock_ms - oldest.ended_ms <= self._kept_ms and not (is_too_much and len(rows) > 1):
            self._kept_until_ms = oldest.ended_ms + self._kept_ms
            return None
        self.take(oldest)
        return oldest
