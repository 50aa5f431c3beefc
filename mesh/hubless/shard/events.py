"""What the replicas of a node ask for, and what the journal answers.

Effects of `Replicas`, beside `ToPeer`: `Commit` for the journal, the others for the task machines of the shards. The
order of effects is the contract: what a machine is told comes in the order of its shard's log.
"""

from __future__ import annotations

from msgspec import Struct

from hubless.shard.records import Record
from hubless.wire.replication import Entry

# -- effects --------------------------------------------------------------------------------------------


class Commit(Struct, frozen=True):
    """Write the records, in order, in one transaction, and come back with `Flushed(mark)` once they are on disk.

    Marks rise. There is at most one commit a tick, for all shards; several may be on their way to a slow disk.
    """

    mark: int
    records: tuple[Record, ...]


class Committed(Struct, frozen=True, gc=False):
    """Entries that a majority holds, for the shard's machine: every one exactly once, in the order of the log.

    Entries of kind 0 and 2 are among them, so that a machine can count; only those of kind 1 are its own.
    """

    shard: int
    entries: tuple[Entry, ...]


class Restored(Struct, frozen=True, gc=False):
    """The shard's machine starts anew from `state`, as an earlier `compact` gave it, here or at the owner.

    What is `Committed` afterwards follows that state. Told at a start for every shard with a snapshot, too.
    """

    shard: int
    state: bytes


class Owning(Struct, frozen=True, gc=False):
    """This node owns the shard in `term`, and everything committed before has been handed out: it may decide."""

    shard: int
    term: int


class Disowned(Struct, frozen=True, gc=False):
    """This node owned the shard and does not any more. What it proposed last may or may not be committed yet."""

    shard: int


class Forgotten(Struct, frozen=True, gc=False):
    """This node no longer replicates the shard: its machine may go."""

    shard: int


class ReadReady(Struct, frozen=True, gc=False):
    """The machine holds everything that was committed when the read was asked for: the answer is not stale.

    With `is_owner` False nobody can say so here: ask the shard's owner.
    """

    shard: int
    ticket: int
    is_owner: bool


ShardEffect = Commit | Committed | Restored | Owning | Disowned | Forgotten | ReadReady


# -- what the journal answers ---------------------------------------------------------------------------


class Flushed(Struct, frozen=True, gc=False):
    """Everything up to and with the commit `mark` is on disk."""

    mark: int


class JournalFailed(Struct, frozen=True, gc=False):
    """A write or a checksum went wrong: nothing that this process holds can be relied on any more."""

    problem: str


class JournalFull(Struct, frozen=True, gc=False):
    """There is no room for more work. What was committed so far is safe, and small records still go through."""

    problem: str


class JournalHasRoom(Struct, frozen=True, gc=False):
    """There is room again after `JournalFull`."""


JournalEvent = Flushed | JournalFailed | JournalFull | JournalHasRoom
