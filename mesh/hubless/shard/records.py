"""What a replica must have on disk before it may act on it. A journal writes records in the order it is given them."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from hubless.wire.replication import Config, Entry


class HardState(Struct, frozen=True, array_like=True, gc=False):
    """The term and the vote given in it ("" for none): forgetting either over a restart could elect two owners.

    The floor is where the log of an earlier replica on this node ended, when it was forgotten: what that one had makes
    this one's vote worth no less. 0 if there was none.
    """

    shard: int
    term: int
    vote: str
    floor_index: int = 0
    floor_term: int = 0


class Entries(Struct, frozen=True, array_like=True, gc=False):
    """Entries in the order of their index. Whatever the journal has from the first one's index on is replaced."""

    shard: int
    entries: tuple[Entry, ...]


class Snapshot(Struct, frozen=True, array_like=True):
    """The shard's state after the entry `index`, of term `term`. Replaces any earlier one.

    `keeps_log` is False when it came from the owner: then no entry of the journal's log stays. Otherwise those after
    `index` do.
    """

    shard: int
    index: int
    term: int
    config: Config
    state: bytes
    keeps_log: bool = True


class Forget(Struct, frozen=True, array_like=True, gc=False):
    """This node no longer replicates the shard: nothing of it stays, but its hard state."""

    shard: int


Record = HardState | Entries | Snapshot | Forget


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal has of one shard at a start. `damage` is "" or says what cannot be trusted, and where.

    A shard with damage must not vote: it may have forgotten what it promised.
    """

    shard: int
    term: int = 0
    vote: str = ""
    snapshot: Snapshot | None = None
    entries: tuple[Entry, ...] = ()
    damage: str = ""
    floor_index: int = 0
    floor_term: int = 0
