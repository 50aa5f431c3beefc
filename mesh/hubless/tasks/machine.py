"""The state machine of a task: a pure reducer over the entries of its shard's log.

    queued -> running -> succeeded | failed | cancelled
      ^---------'  an attempt ended and another may follow

What an entry means is decided here and nowhere else, so that every replica that reads the same log holds the
same rows. An entry that does not fit its row (an old attempt's result, a second submission) changes nothing.
"""

from __future__ import annotations

from enum import Enum

import msgspec
from msgspec import Struct

from hubless_agents import Effect, Failure

_STRENGTH = (Effect.NONE, Effect.MAYBE, Effect.DONE)


class State(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class Submitted(Struct, frozen=True, gc=False):
    """A task was accepted. `retries` is how many more attempts its agent allows after a failed one."""

    task: bytes
    agent: str
    key: str
    payload: bytes
    deadline_ns: int
    retries: int


class AttemptStarted(Struct, frozen=True, gc=False):
    """`executor` was told to run attempt number `attempt`, counted from 1: the fencing token."""

    task: bytes
    attempt: int
    executor: str


class AttemptEnded(Struct, frozen=True):
    """An attempt has an outcome. `final` says that no further attempt follows a failure."""

    task: bytes
    attempt: int
    payload: bytes | None
    failure: Failure | None
    final: bool


class Expired(Struct, frozen=True):
    """The deadline of the task has passed. `failure` says whether an attempt may have had its effect."""

    task: bytes
    failure: Failure


class Cancelled(Struct, frozen=True, gc=False):
    """Nobody wants the outcome any more."""

    task: bytes


Entry = Submitted | AttemptStarted | AttemptEnded | Expired | Cancelled


class Row(Struct):
    """A task as its owner keeps it. Changed by `apply` alone."""

    task: bytes
    agent: str
    key: str
    payload: bytes
    deadline_ns: int
    retries: int
    state: State = State.QUEUED
    attempt: int = 0
    executor: str = ""
    result: bytes | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def failure(self) -> Failure | None:
        """Why the task failed for good, or None: the last failure, with the effect that any attempt may have had."""
        if self.state is not State.FAILED:
            return None
        strongest = max((failure.effect for failure in self.failures), key=_STRENGTH.index)
        return msgspec.structs.replace(self.failures[-1], effect=strongest)


def apply(rows: dict[bytes, Row], entry: Entry) -> Row | None:
    """Applies one committed entry and returns its row; None when the entry did not fit and changed nothing."""
    row = rows.get(entry.task)
    match entry:
        case Submitted():
            if row is not None:
                return None
            row = Row(entry.task, entry.agent, entry.key, entry.payload, entry.deadline_ns, entry.retries)
            rows[entry.task] = row
        case AttemptStarted():
            if row is None or row.state is not State.QUEUED or entry.attempt != row.attempt + 1:
                return None
            row.state, row.attempt, row.executor = State.RUNNING, entry.attempt, entry.executor
        case AttemptEnded():
            if row is None or row.state is not State.RUNNING or entry.attempt != row.attempt:
                return None
            _end_attempt(row, entry)
        case Expired():
            if row is None or row.state in TERMINAL:
                return None
            row.failures = (*row.failures, entry.failure)
            row.state, row.payload = State.FAILED, b""
        case Cancelled():
            if row is None or row.state in TERMINAL:
                return None
            row.state, row.payload = State.CANCELLED, b""
    return row


def _end_attempt(row: Row, entry: AttemptEnded) -> None:
    if entry.failure is None:
        row.state, row.result, row.payload = State.SUCCEEDED, entry.payload, b""
        return
    row.failures = (*row.failures, entry.failure)
    if entry.final:
        row.state, row.payload = State.FAILED, b""
    else:
        row.state = State.QUEUED
