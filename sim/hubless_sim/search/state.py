"""What a sweep has done so far, in a file, so that it can go on after it was interrupted in any way.

The file has one JSON document a line: first what is swept, then seeds that held, as ranges, and each seed that failed.
It is only ever added to; a last line that was torn is cut off.
"""

import fcntl
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from hubless_sim.search.shrink import Size
from hubless_sim.verdict import Violation

_EVERY_S = 1.0


class Swept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is swept: a state is good for nothing else. ``code`` is the version of the code."""

    system: str
    plant: str | None
    shrinks: bool
    code: str


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seed that failed. ``tape`` is the file of its tape, ``shrunk`` what is left in that; null: it is as drawn."""

    seed: int
    violations: tuple[Violation, ...]
    tape: str
    shrunk: Size | None
    runs: int


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    swept: Swept | None = None
    held: tuple[tuple[int, int], ...] = ()
    failed: Recorded | None = None


class StateError(ValueError):
    """A state file cannot be used; the text says why and what to do."""


_lines = msgspec.json.Decoder(_Line)


class State:
    """The state in an open file, which no other sweep may use meanwhile.

    ``held`` are the seeds that held, ``failed`` those that did not. Raises StateError on a file that is another
    sweep's, or no state at all, OSError on one that cannot be opened.
    """

    def __init__(self, path: Path, swept: Swept) -> None:
        self.held: set[int] = set()
        self.failed: dict[int, Recorded] = {}
        self._path = path
        self._fresh: list[int] = []
        self._written_s = time.monotonic()
        self._file: IO[bytes] = path.open("a+b")
        try:
            self._lock()
            self._read(swept)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._file.close()

    def add_held(self, seed: int) -> None:
        """A seed held. It is on its way to the file within a second."""
        self.held.add(seed)
        self._fresh.append(seed)
        if time.monotonic() - self._written_s > _EVERY_S:
            self._flush()

    def add_failed(self, failure: Recorded) -> None:
        """A seed failed; it is in the file when this returns."""
        self.failed[failure.seed] = failure
        self._write(_Line(failed=failure))

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateError(
                f"{self._path} is in use by another sweep: wait for it, or name another file"
            ) from error

    def _read(self, swept: Swept) -> None:
        self._file.seek(0)
        raw = self._file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        if raw and not whole:
            raise self._strange()
        self._file.truncate(len(whole))
        lines = whole.splitlines()
        try:
            first, *others = [_lines.decode(line) for line in lines] or [_Line(swept=swept)]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._strange() from error
        if first.swept is None:
            raise self._strange()
        if first.swept != swept:
            raise StateError(
                f"{self._path} is of {_difference(first.swept, swept)}: name another file, or delete it"
            )
        if not lines:
            self._write(first)
        for line in others:
            for low, high in line.held:
                self.held.update(range(low, high + 1))
            if line.failed is not None:
                self.failed[line.failed.seed] = line.failed

    def _strange(self) -> StateError:
        return StateError(f"{self._path} is not the state of a sweep: name another file")

    def _flush(self) -> None:
        if self._fresh:
            self._write(_Line(held=_ranges(self._fresh)))
            self._fresh = []
        self._written_s = time.monotonic()

    def _write(self, line: _Line) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()


def _ranges(seeds: Iterable[int]) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for seed in sorted(seeds):
        if ranges and ranges[-1][1] == seed - 1:
            ranges[-1] = (ranges[-1][0], seed)
        else:
            ranges.append((seed, seed))
    return tuple(ranges)


def _difference(had: Swept, has: Swept) -> str:
    if had.system != has.system:
        return f"system {had.system}, not {has.system}"
    if had.plant != has.plant:
        return f"plant {had.plant or 'none'}, not {has.plant or 'none'}"
    if had.shrinks != has.shrinks:
        return "a sweep with another --no-shrink"
    return f"another version of the code ({had.code}, not {has.code})"
