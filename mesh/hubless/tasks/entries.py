"""What a shard's log says about its tasks: one entry per change, and the bytes that stand for it.

Times are unix milliseconds of the clock of the owner that proposed the entry. Entries are kept and exchanged between
versions: a field is only ever appended, with a default, and a tag is never used again for something else.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec
from msgspec import Struct

from hubless_agents import Failure


class Follows(IntEnum):
    """What comes after a failed attempt: nothing, another attempt, or the list of dead letters."""

    DONE = 0
    AGAIN = 1
    DEAD = 2


class Submitted(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A task was accepted. `retries` is how many more attempts its agent allows after a failed one.

    With an `executor` its first attempt starts with it, which saves an entry.
    """

    task: bytes
    agent: str
    key: str
    payload: bytes
    at_ms: int
    deadline_ms: int
    retries: int
    executor: str = ""


class AttemptStarted(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """`executor` runs attempt number `attempt`, counted from 1: the fencing token."""

    task: bytes
    attempt: int
    executor: str
    at_ms: int


class AttemptEnded(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """An attempt has an outcome: `payload`, or `failure`, after which comes what `follows` says.

    With AGAIN and an `executor` the next attempt starts with it.
    """

    task: bytes
    attempt: int
    payload: bytes | None
    failure: Failure | None
    at_ms: int
    follows: Follows = Follows.DONE
    executor: str = ""


class Expired(Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The deadline of the task has passed. `failure` says whether an attempt may have had its effect."""

    task: bytes
    failure: Failure
    at_ms: int


class Cancelled(Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Nobody wants the outcome any more."""

    task: bytes
    at_ms: int


class Retried(Struct, frozen=True, array_like=True, gc=False, tag=6):
    """An operator queued a task again that had ended without a result. Its attempts are counted on."""

    task: bytes
    at_ms: int
    deadline_ms: int


class Forked(Struct, frozen=True, array_like=True, gc=False, tag=7):
    """An operator gave the shard a new lineage: what the lost majority knew of unfinished tasks may be missing.

    `lineage` is that of the term in which it was proposed (see `hubless.shard.fork`).
    """

    at_ms: int
    by: str
    lineage: int = 0


class Entered(Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The outcome of a task that `node` ran while no quorum was within reach: the result unless there is one.

    `digest` stands for the payload of a task that succeeded, which is not kept (see `row.digest_of`). The node took the
    task at `submitted_ms`; 0 if it does not say.
    """

    task: bytes
    agent: str
    key: str
    payload: bytes
    result: bytes | None
    failure: Failure | None
    node: str
    at_ms: int
    digest: int = 0
    submitted_ms: int = 0


class Dropped(Struct, frozen=True, array_like=True, gc=False, tag=9):
    """The row of a finished task is forgotten, as its shard has it. Said in a node's own log only (`apart.py`)."""

    task: bytes
    at_ms: int


class Merged(Struct, frozen=True, array_like=True, gc=False, tag=10):
    """The agent's `merge` has made one `result` of the one so far and of superseded outcome `number`."""

    task: bytes
    number: int
    result: bytes
    at_ms: int


TaskEntry = (
    Submitted | AttemptStarted | AttemptEnded | Expired | Cancelled | Retried | Entered | Dropped | Merged
)
Entry = TaskEntry | Forked

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """The body of a log entry."""
    return _ENCODER.encode(entry)


def decode_entry(body: bytes) -> Entry | None:
    """The entry of a body; None when this version knows no such entry. Whatever the bytes are, nothing is raised."""
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
