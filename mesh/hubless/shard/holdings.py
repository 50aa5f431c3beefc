"""What a node can say of the replicas that it holds, without anything being done to them."""

from __future__ import annotations

from dataclasses import dataclass

from hubless.shard.flushes import Flushes
from hubless.shard.opinion import Opinion
from hubless.shard.private import PRIVATE
from hubless.shard.roster import Roster
from hubless.shard.rows import Row, row_of
from hubless.shard.settings import ReplicasSettings


@dataclass(slots=True)
class ReplicasCounters:
    """What went in and out, and what was dropped: `foreign` messages of shards that the mesh does not have, `strayed`
    ones for replicas that are not here, `late` answers to beats of long ago, `distrusted` messages that came after the
    journal had failed, `reads_refused` for there being too many.
    """

    messages: int = 0
    beats: int = 0
    commits: int = 0
    campaigns: int = 0
    foreign: int = 0
    strayed: int = 0
    late: int = 0
    distrusted: int = 0
    reads_refused: int = 0
    forgotten: int = 0


class Holdings:
    """The replicas of a node, to be looked at: what `Replicas` shows."""

    def __init__(self, me: str, *, settings: ReplicasSettings, roster: Roster, opinion: Opinion) -> None:
        self._me = me
        self._settings = settings
        self._roster = roster
        self._groups = roster.groups
        self._led = roster.led
        self._opinion = opinion
        self._flushes = Flushes()
        self._problem = ""
        self._fullness = ""
        self.counters = ReplicasCounters()

    def __len__(self) -> int:
        """Replicas of this node."""
        return len(self._groups)

    @property
    def condition(self) -> str:
        """Of this node's journal: "well", or "disk full" or "journal failed" and why."""
        if self._problem:
            return f"journal failed: {self._problem}"
        return f"disk full: {self._fullness}" if self.is_full else "well"

    @property
    def has_failed(self) -> bool:
        """Whether the journal cannot be trusted."""
        return bool(self._problem)

    @property
    def is_full(self) -> bool:
        """Whether new work is to be refused, as the disk has no room for it."""
        return self._opinion.is_full(self._me)

    @property
    def unflushed(self) -> int:
        """Commits that the journal has not confirmed yet."""
        return self._flushes.unflushed

    def owned(self) -> tuple[int, ...]:
        """The shards that this node owns and may decide about, ascending."""
        return tuple(
            sorted(shard for shard, group in self._led.items() if group.owning_term and shard != PRIVATE)
        )

    def is_owner(self, shard: int) -> bool:
        """Whether `Owning` was told for a shard and `Disowned` not since."""
        group = self._led.get(shard)
        return group is not None and group.owning_term != 0

    def owner(self, shard: int) -> tuple[str, int] | None:
        """The owner of a shard and its term, as the replica here knows them; None without either."""
        group = self._groups.get(shard)
        if group is None or group.raft.owner is None or self._problem:
            return None
        return group.raft.owner, group.raft.term

    def peers(self) -> frozenset[str]:
        """The other nodes that replicate any shard that this one does."""
        return frozenset(node for group in self._groups.values() for node in group.others)

    def rows(self) -> tuple[Row, ...]:
        """Every replica of this node, by shard."""
        return tuple(
            row_of(
                group, self._opinion.around, self._opinion.preferences(shard), is_failed=bool(self._problem)
            )
            for shard, group in sorted(self._groups.items())
            if shard != PRIVATE
        )

    @property
    def election_ns(self) -> int:
        """The base of the election timeout."""
        return self._settings.raft.election_ns

    @property
    def private(self) -> str:
        """Of this node's own log: "none" as long as it has not been needed, "damaged" or "well"."""
        group = self._groups.get(PRIVATE)
        if group is None:
            return "none"
        return "damaged" if group.raft.is_damaged else "well"
