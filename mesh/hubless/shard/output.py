"""What a replica is, what it may use, and what leaves it at the end of a tick."""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Struct

from hubless.shard.records import Record, Snapshot
from hubless.wire.replication import Entry, RaftMessage


class Role(enum.Enum):
    """What a replica does now (3.3). A learner is a follower without a vote in its configuration."""

    FOLLOWER = "follower"
    TRIAL = "trial"
    """Asks whether it would be elected (9.6)."""
    CANDIDATE = "candidate"
    OWNER = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftSettings:
    """Limits and times of one replica; the same for all of a mesh."""

    election_ns: int = 1_000_000_000
    """Base of the election timeout: each is drawn from [1, 2) x base. Also the owner's time to hear a quorum."""
    resend_ns: int = 150_000_000
    """An owner repeats an unanswered message after this; doubled for each repetition, up to 32 x."""
    most_append_bytes: int = 256 * 1024
    most_append_entries: int = 512
    window: int = 16
    """Unanswered Appends per follower."""
    chunk_bytes: int = 256 * 1024
    most_uncommitted_bytes: int = 64 * 1024 * 1024
    """An owner refuses proposals beyond."""
    most_state_bytes: int = 512 * 1024 * 1024
    """A node takes no larger snapshot, nor several at a time that are larger together."""
    most_reads: int = 65_536
    """An owner refuses reads beyond."""
    keep_entries: int = 256
    """Applied entries that stay in memory, for followers that are a little behind."""
    keep_bytes: int = 256 * 1024
    """And no more bytes of them than that."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            least = 0 if name in {"keep_entries", "keep_bytes"} else 1
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")


class Output(Struct, gc=False):
    """What leaves a replica at the end of a tick, to be handled in the order of the fields."""

    records: list[Record]
    """For the journal, in order."""
    now: list[tuple[str, RaftMessage]]
    """May leave at once."""
    held: list[tuple[str, RaftMessage]]
    """Leave when `records` and all of earlier outputs are on disk. Empty if nothing is unwritten."""
    restored: Snapshot | None
    """The owner's snapshot was installed: it replaces the state machine, before `committed` is applied."""
    committed: tuple[Entry, ...]
    """Newly committed, in order, each once in the life of the process."""
    reads: list[tuple[int, int | None]]
    """(ticket, index): answer once `index` is applied; None: not the owner (any more), ask elsewhere."""
    flush: int
    """Hand it to `flushed` once the records are on disk. It acknowledges those of all earlier outputs too."""


@dataclass(slots=True)
class Counters:
    """What a replica refused or dropped, and why."""

    proposals_refused: int = 0
    reads_refused: int = 0
    votes_ignored: int = 0
    """Asked for while an owner was heard (4.2.3)."""
    installs_refused: int = 0
    """Pieces of snapshots that are too large, or for which there was no room just then; owners send them again."""
    malformed: int = 0
    """Messages that no correct peer sends."""
    resent: int = 0
    trials: int = 0
    elections_won: int = 0


class Standing(NamedTuple):
    """How far a follower is, in its owner's eyes."""

    matched: int
    """Its log is known to match up to here, on its disk."""
    is_caught_up: bool
    """It takes entries as they come, and lacks no more than one Append can carry."""
    received: int = 0
    """Bytes that it has of a snapshot on its way."""


NOWHERE = Standing(0, is_caught_up=False)
