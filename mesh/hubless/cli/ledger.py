"""The two files of `mesh submit`: inputs, one JSON value a line, and records of their outcomes in the same order."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from hubless.cli.exits import CommandError
from hubless.client import Reply

_encode = msgspec.json.Encoder().encode


class _Record(msgspec.Struct, omit_defaults=True):
    """A line of the output."""

    line: int
    of: str
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: dict[str, Any] | None = None


class Inputs:
    """The input lines that are not blank, as JSON bytes."""

    def __init__(self, lines: list[bytes], numbers: list[int]) -> None:
        self._lines = lines
        self._numbers = numbers

    @classmethod
    def read(cls, path: Path) -> Inputs:
        """Reads and checks the whole file before anything is submitted.

        Raises:
            CommandError: no such file, or a line that is not JSON; the text names the line.
        """
        if not path.is_file():
            raise CommandError(f"there is no input file {path}", kind="file")
        lines: list[bytes] = []
        numbers: list[int] = []
        for number, raw in enumerate(path.read_bytes().splitlines(), start=1):
            line = raw.strip()
            if not line:
                continue
            try:
                msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                raise CommandError(
                    f"{path}, line {number} is not JSON: {problem}", kind="bad_json"
                ) from problem
            lines.append(line)
            numbers.append(number)
        return cls(lines, numbers)

    def __len__(self) -> int:
        return len(self._lines)

    def after(self, done: int) -> Iterator[bytes]:
        """The inputs that follow the first `done`."""
        yield from self._lines[done:]

    def number(self, place: int) -> int:
        """The line number, from 1, of the input at `place`, from 0."""
        return self._numbers[place]

    def name(self, place: int, prefix: str) -> str:
        """The idempotency key of the input at `place`: the same in each run over the same file; "" without a prefix."""
        return f"{prefix}:{self._numbers[place]}:{self.digest(place)}" if prefix else ""

    def digest(self, place: int) -> str:
        """Tells one input from another: 8 hex digits of SHA-256."""
        return hashlib.sha256(self._lines[place]).hexdigest()[:8]


class Ledger:
    """The output file, opened for going on: a torn last line is cut off, and everything else must fit the inputs.

    Raises:
        CommandError: the output answers other inputs, is not an output of `mesh submit`, or another run has it.
    """

    def __init__(self, path: Path, inputs: Inputs, *, restart: bool) -> None:
        self.path = path
        self.done = 0
        self.failed = 0
        self._inputs = inputs
        if not path.absolute().parent.is_dir():
            raise CommandError(f"there is no directory {path.absolute().parent} for the output", kind="file")
        self._file = path.open("ab+")
        try:
            self._lock()
            if restart:
                self._file.truncate(0)
            self._resume()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        self._file.close()

    def write(self, reply: Reply) -> None:
        """Adds the record of the next input."""
        failure = reply.failure
        record = _Record(self._inputs.number(self.done), self._inputs.digest(self.done))
        if failure is None:
            record.value = msgspec.Raw(reply.raw)
        else:
            record.error = {"code": failure.code, "message": failure.message, "effect": str(failure.effect)}
            record.error["where"] = failure.where
            self.failed += 1
        self._file.write(_encode(record) + b"\n")
        self.done += 1

    def flush(self) -> None:
        """Hands what was written to the system."""
        self._file.flush()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            text = f"another `mesh submit` writes {self.path}: wait for it, or choose another --output"
            raise CommandError(text, kind="file") from problem

    def _resume(self) -> None:
        """Counts the records that are there, up to a line that a crash tore."""
        self._file.seek(0)
        end = 0
        for raw in self._file:
            if not raw.endswith(b"\n"):
                break
            self._check(raw)
            end += len(raw)
            self.done += 1
        self._file.seek(end)
        self._file.truncate(end)
        self._file.seek(0, os.SEEK_END)

    def _check(self, raw: bytes) -> None:
        remedy = "choose another --output, or begin anew with --restart"
        try:
            record = msgspec.json.decode(raw, type=_Record)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            text = f"{self.path}, line {self.done + 1} was not written by `mesh submit`: {remedy}"
            raise CommandError(text, kind="file") from problem
        if self.done >= len(self._inputs) or record.of != self._inputs.digest(self.done):
            text = f"{self.path}, line {self.done + 1} answers another input than the one given: {remedy}"
            raise CommandError(text, kind="file")
        self.failed += record.error is not None
