"""The messages of the shards' logs between their replicas: the RPCs of Raft, and one beat between two nodes.

All but the beat name their shard and the term of their sender. Tags and fields roll like those of `messages`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0, lt=2**62)]
_MOST_SHARDS = 4096
ShardNumber = Annotated[int, Meta(ge=0, lt=_MOST_SHARDS)]
Shards = Annotated[tuple[ShardNumber, ...], Meta(max_length=_MOST_SHARDS)]
_MOST_VOTERS = 31
NodeName = Annotated[str, Meta(min_length=1, max_length=64)]
Voters = Annotated[tuple[NodeName, ...], Meta(max_length=_MOST_VOTERS)]


class Config(Struct, frozen=True, array_like=True):
    """Who replicates a shard: names in ascending order.

    `outgoing` is not empty while the configuration is joint (dissertation, 4.3): then a decision takes a majority of
    `voters`, the new ones, and a majority of `outgoing`, the old ones. `learners` receive the log and decide nothing.
    """

    voters: Voters
    outgoing: Voters = ()
    learners: Voters = ()


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One place of a shard's log. `kind` is 0 for nothing (a new owner's first entry), 1 for a change of the shard's
    tasks, 2 for a `Config`; `body` is opaque to the log.
    """

    index: Count
    term: Count
    kind: Annotated[int, Meta(ge=0, le=2)]
    body: bytes


class Append(Struct, frozen=True, array_like=True, gc=False, tag=40):
    """Owner to replica (AppendEntries, 3.5): entries that follow `previous_index`, and what is committed.

    `round` rises with the owner's rounds of asking whether it still leads (6.4), and when a replica is new; answers
    repeat it.
    """

    shard: ShardNumber
    term: Count
    previous_index: Count
    previous_term: Count
    commit: Count
    entries: tuple[Entry, ...] = ()
    round: Count = 0


class Appended(Struct, frozen=True, array_like=True, gc=False, tag=41):
    """Replica to owner: its log matches up to `index`, on disk. With `refused` it does not contain the entry
    before; then `index` and `index_term` are where the owner may look for a match (3.5).
    """

    shard: ShardNumber
    term: Count
    index: Count
    refused: bool = False
    index_term: Count = 0
    round: Count = 0


class AskVote(Struct, frozen=True, array_like=True, gc=False, tag=42):
    """Candidate to voter (RequestVote, 3.4). A `trial` asks whether a vote would be given (PreVote, 9.6) and `term`
    is then the one that the candidate would enter; `transfer` says that the owner itself gave way (3.10).
    """

    shard: ShardNumber
    term: Count
    last_index: Count
    last_term: Count
    trial: bool = False
    transfer: bool = False


class Vote(Struct, frozen=True, array_like=True, gc=False, tag=43):
    """Voter to candidate. The answer to a granted trial carries the term asked about, to a refused one the voter's."""

    shard: ShardNumber
    term: Count
    granted: bool
    trial: bool = False


class Install(Struct, frozen=True, array_like=True, gc=False, tag=44):
    """Owner to replica (InstallSnapshot, 7.4): `chunk` of the state at `index`, which has `size` bytes in all."""

    shard: ShardNumber
    term: Count
    index: Count
    index_term: Count
    config: Config
    offset: Count
    size: Count
    chunk: bytes
    round: Count = 0


class Installed(Struct, frozen=True, array_like=True, gc=False, tag=45):
    """Replica to owner: the bytes of the snapshot at `index` up to `offset` are here; at its size it is on disk."""

    shard: ShardNumber
    term: Count
    index: Count
    offset: Count
    round: Count = 0


class TimeoutNow(Struct, frozen=True, array_like=True, gc=False, tag=46):
    """Owner to replica: campaign at once, you are to be the owner (3.10)."""

    shard: ShardNumber
    term: Count


class Led(Struct, frozen=True, array_like=True, gc=False):
    """A shard that the sender of a beat leads in `term`, and how far its log is committed."""

    shard: ShardNumber
    term: Count
    commit: Count


class Beat(Struct, frozen=True, array_like=True, gc=False, tag=47):
    """Node to node, a few times a second: the shards that the sender leads and the receiver replicates.

    It stands for an empty `Append` of each of them, so that shards at rest send nothing.
    """

    number: Count
    led: Annotated[tuple[Led, ...], Meta(max_length=_MOST_SHARDS)]


class BeatAnswer(Struct, frozen=True, array_like=True, gc=False, tag=48):
    """The receiver follows the sender in all shards of beat `number` but those of `refused`, with its own terms.

    `broken` are shards whose replica here cannot be trusted and counts for nothing; `is_full` says that the disk has
    no room for more work, `has_failed` that the journal cannot be relied on: all are broken, until the next process.
    """

    number: Count
    refused: Annotated[tuple[Led, ...], Meta(max_length=_MOST_SHARDS)] = ()
    broken: Shards = ()
    is_full: bool = False
    has_failed: bool = False


class Orphaned(Struct, frozen=True, array_like=True, gc=False, tag=49):
    """Node to node: I hold replicas of these shards that nobody leads, or that cannot be trusted. Do they count?"""

    number: Count
    shards: Shards


class Dismissed(Struct, frozen=True, array_like=True, gc=False, tag=50):
    """The sender owns these shards of question `number`, and their committed configurations are without the asker.

    Number 0 answers nothing: the receiver is to ask.
    """

    number: Count
    led: Annotated[tuple[Led, ...], Meta(max_length=_MOST_SHARDS)]


RaftMessage = Append | Appended | AskVote | Vote | Install | Installed | TimeoutNow
"""What concerns one shard alone."""

ShardMessage = RaftMessage | Beat | BeatAnswer | Orphaned | Dismissed
"""All that replicas say to one another."""
