"""A task as every replica of its shard keeps it, and what each change makes of it.

    queued -> running -> succeeded | failed | dead
      ^  ^------'           ^          |       |        an attempt ended and another follows
      |  |   expired, cancelled: from queued or running
      `--+---- an operator's retry: from failed, dead, expired or cancelled

A method that changes a row answers whether the change fitted; one that did not fit has changed nothing.
"""

from __future__ import annotations

from enum import StrEnum
from sys import intern
from typing import Final
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from hubless.tasks.entries import AttemptEnded, Entered, Follows, Merged
from hubless_agents import Effect, Failure, failure
from hubless_agents.failure import DETAIL_LIMIT_CHARS, MESSAGE_LIMIT_CHARS
from hubless_gossip.marks import sometimes

MOST_FAILURES: Final = 16
MOST_FAILURE_BYTES: Final = 16 * 1024
MOST_SUPERSEDED: Final = 4

ROW_BYTES: Final = 512
"""What a row takes in memory beside its payload, result, failures and names: the object and its places in tables."""

_FAILURE_BYTES: Final = 128
_WHERE_CHARS: Final = 200
_STRENGTH: Final = (Effect.NONE, Effect.MAYBE, Effect.DONE)


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL: Final = frozenset({State.SUCCEEDED, State.FAILED, State.DEAD, State.CANCELLED, State.EXPIRED})

_WITH_FAILURE: Final = frozenset({State.FAILED, State.DEAD, State.EXPIRED})
_RETRIABLE: Final = frozenset({State.FAILED, State.DEAD, State.EXPIRED, State.CANCELLED})


class Superseded(Struct, frozen=True, array_like=True, gc=False):
    """An outcome that `node` came to on its own and that was not the first: kept to be looked at, never the result.

    `to_merge`: a result of this very task, which no merged one has taken in.
    """

    result: bytes | None
    failure: Failure | None
    node: str
    at_ms: int
    to_merge: bool = False


class Row(Struct, array_like=True, gc=False):
    """One task. Changed by the state machine alone; snapshots hold it: fields are only appended, with defaults.

    `attempt` is the number of the last attempt, `retried` what it was when an operator last queued the task again.
    `failures` are the last ones, oldest first, `effect` the strongest effect that any attempt may have had.
    `payload` is kept until the task succeeds, because a retry needs it; then `digest` stands for it.
    `forked`: unfinished when its shard was given a new lineage. `provisional_from`: the node whose provisional
    outcome became the result, or "". `ended_ms` is on the machine's clock, which never goes back. `merged` is how many
    superseded results the result has taken in, `first` then stands for the one that there was before (`digest_of`).
    `in_doubt`: the outcome was entered when the shard may have forgotten an earlier one.
    """

    task: bytes
    agent: str
    key: str
    payload: bytes
    submitted_ms: int
    deadline_ms: int
    retries: int
    state: State = State.QUEUED
    attempt: int = 0
    executor: str = ""
    result: bytes | None = None
    failures: tuple[Failure, ...] = ()
    effect: Effect = Effect.NONE
    ended_ms: int = 0
    digest: int = 0
    retried: int = 0
    forked: bool = False
    provisional_from: str = ""
    superseded: tuple[Superseded, ...] = ()
    size_bytes: int = 0
    merged: int = 0
    first: int = 0
    in_doubt: bool = False

    @property
    def failure(self) -> Failure | None:
        """Why the task ended without a result, or None: the last failure, with the strongest effect of them all."""
        if self.state not in _WITH_FAILURE or not self.failures:
            return None
        return replace(self.failures[-1], effect=self.effect)

    @property
    def tries(self) -> int:
        """How many attempts the task has had since it was submitted or an operator last queued it again."""
        return self.attempt - self.retried

    @property
    def recent_failures(self) -> tuple[Failure, ...]:
        """The failures of an unfinished task since it was submitted or last queued again: what its retries count."""
        if not self.failures:
            return ()
        ended = self.tries - (self.state is State.RUNNING)
        return self.failures[-ended:] if ended > 0 else ()

    @property
    def is_unmerged(self) -> bool:
        """Whether there are results beside the one that counts, which `merge` could make one of."""
        return self.state is State.SUCCEEDED and any(other.to_merge for other in self.superseded)

    def is_same(self, agent: str, key: str, payload: bytes) -> bool:
        """Whether a submission under this row's id is this task. Bytes that are gone are compared by checksum."""
        if agent != self.agent or key != self.key:
            return False
        return digest_of(payload) == self.digest if self.state is State.SUCCEEDED else payload == self.payload

    def start(self, attempt: int, executor: str) -> bool:
        if self.state is not State.QUEUED or attempt != self.attempt + 1:
            return False
        self.state, self.attempt, self.executor = State.RUNNING, attempt, intern(executor)
        return True

    def end_attempt(self, ended: AttemptEnded, now_ms: int) -> bool:
        if self.state is not State.RUNNING or ended.attempt != self.attempt:
            return False
        if ended.failure is None:
            self._succeed(ended.payload, now_ms)
            return True
        self._add_failure(ended.failure)
        match ended.follows:
            case Follows.AGAIN:
                self.state = State.QUEUED
                if ended.executor:
                    self.start(self.attempt + 1, ended.executor)
            case Follows.DONE:
                self._finish(State.FAILED, now_ms)
            case Follows.DEAD:
                self._finish(State.DEAD, now_ms)
        return True

    def expire(self, why: Failure, now_ms: int) -> bool:
        if self.state in TERMINAL:
            return False
        self._add_failure(why)
        self._finish(State.EXPIRED, now_ms)
        return True

    def cancel(self, now_ms: int) -> bool:
        if self.state in TERMINAL:
            return False
        if self.state is State.RUNNING:  # nobody hears how that attempt ends; a retry must not forget it
            self._may_have_had(Effect.MAYBE)
        self._finish(State.CANCELLED, now_ms)
        return True

    def retry(self, deadline_ms: int) -> bool:
        if self.state not in _RETRIABLE:
            return False
        if self.provisional_from and len(self.superseded) < MOST_SUPERSEDED:
            # Else the node that repeats itself would have it for the new outcome.
            told = Superseded(None, self.failures[-1], self.provisional_from, self.ended_ms)
            self.superseded = (*self.superseded, told)
        self.state, self.deadline_ms, self.ended_ms = State.QUEUED, deadline_ms, 0
        self.retried, self.executor, self.provisional_from = self.attempt, "", ""
        return True

    def enter(self, entered: Entered, now_ms: int, *, is_new: bool = False) -> bool:
        """Takes a provisional outcome: the result of an unfinished task, otherwise superseded.

        It is no result either when another task went by the same id on the other side of the partition. `is_new`: the
        row was made of this very entry.
        """
        if self.has(entered):
            return False
        if self.state in TERMINAL or not (is_new or self._is_of(entered)):
            return self._supersede(entered)
        sometimes("a provisional outcome became the result")
        self.executor = self.provisional_from = entered.node
        if entered.failure is None:
            self._succeed(entered.result, now_ms)
            self.digest = entered.digest or self.digest
        else:
            self._add_failure(entered.failure)
            self._finish(State.FAILED, now_ms)
        return True

    def merge(self, entry: Merged) -> bool:
        """Takes a merged result; each superseded one is taken in once."""
        number = entry.number
        if self.state is not State.SUCCEEDED or not 0 <= number < len(self.superseded):
            return False
        others = list(self.superseded)
        if not others[number].to_merge:
            return False
        if not self.merged:
            self.first = digest_of(self.result or b"")
        others[number] = replace(others[number], to_merge=False)
        self.superseded = tuple(others)
        self.result, self.merged = entry.result, self.merged + 1
        return True

    def measure(self) -> int:
        """Bytes that the row takes in memory, about; a pure function of what it holds."""
        size = ROW_BYTES + len(self.agent) + len(self.key) + len(self.payload)
        if self.result is not None:
            size += len(self.result)
        if self.failures:
            size += sum(map(_failure_bytes, self.failures))
        for other in self.superseded:
            size += _FAILURE_BYTES + len(other.result or b"")
            size += 0 if other.failure is None else _failure_bytes(other.failure)
        return size

    def _succeed(self, result: bytes | None, now_ms: int) -> None:
        self.result, self.digest, self.payload = result or b"", digest_of(self.payload), b""
        self._finish(State.SUCCEEDED, now_ms)

    def _finish(self, state: State, now_ms: int) -> None:
        self.state, self.ended_ms = state, now_ms

    def _add_failure(self, why: Failure) -> None:
        self._may_have_had(why.effect)
        self.failures = _bounded((*self.failures, _clipped(why))[-MOST_FAILURES:])

    def _may_have_had(self, effect: Effect) -> None:
        self.effect = max(self.effect, effect, key=_STRENGTH.index)

    def has(self, entered: Entered) -> bool:
        """Whether this very outcome was entered before: a node repeats itself until it hears that it was heard."""
        told = None if entered.failure is None else _clipped(entered.failure)
        outcome = (entered.node, entered.result, told)
        if any((other.node, other.result, other.failure) == outcome for other in self.superseded):
            return True
        if self.provisional_from != entered.node:
            return False
        if self.state is State.FAILED:
            return told == self.failures[-1]
        if told is not None:
            return False
        result = entered.result or b""
        return digest_of(result) == self.first if self.merged else result == self.result

    def _is_of(self, entered: Entered) -> bool:
        """Whether this row and the outcome are of the same task."""
        is_same = entered.agent == self.agent and entered.key == self.key
        digest = self.digest if self.state is State.SUCCEEDED else digest_of(self.payload)
        return is_same and (entered.digest or digest_of(entered.payload)) == digest

    def _supersede(self, entered: Entered) -> bool:
        if len(self.superseded) >= MOST_SUPERSEDED:
            return False
        told = None if entered.failure is None else _clipped(entered.failure)
        to_merge = told is None and self._is_of(entered)
        other = Superseded(entered.result, told, entered.node, entered.at_ms, to_merge)
        sometimes("a provisional outcome was superseded")
        self.superseded = (*self.superseded, other)
        return True


def digest_of(payload: bytes) -> int:
    """Tells a repeated submission from a mistaken one. Nobody gains by making two payloads collide."""
    return len(payload) << 32 | crc32(payload)


def _failure_bytes(told: Failure) -> int:
    return _FAILURE_BYTES + len(told.message.encode()) + len(told.where.encode()) + len(told.detail.encode())


def _clipped(told: Failure) -> Failure:
    if (
        len(told.message) <= MESSAGE_LIMIT_CHARS
        and len(told.detail) <= DETAIL_LIMIT_CHARS
        and len(told.where) <= _WHERE_CHARS
    ):
        return told
    return failure(
        told.code,
        told.message,
        where=told.where[:_WHERE_CHARS],
        effect=told.effect,
        retry_after_ms=told.retry_after_ms,
        detail=told.detail,
    )


def _bounded(failures: tuple[Failure, ...]) -> tuple[Failure, ...]:
    """Drops the details of the oldest failures, which are most of their bytes, until the rest is small enough."""
    kept = list(failures)
    for index, old in enumerate(kept[:-1]):
        if sum(map(_failure_bytes, kept)) <= MOST_FAILURE_BYTES:
            break
        kept[index] = replace(old, detail="")
    return tuple(kept)
