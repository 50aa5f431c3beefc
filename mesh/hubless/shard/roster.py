"""The replicas of a node as a set: which there are, which want to be looked at, and what is kept of those that went."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hubless.shard.alarms import Alarms
from hubless.shard.arrivals import Arrivals
from hubless.shard.group import Group
from hubless.shard.raft import Raft
from hubless.shard.records import HardState, Record, Recovered
from hubless.shard.settings import ReplicasSettings
from hubless.wire.replication import Config
from hubless_gossip.marks import sometimes


class Roster:
    """Replicas by shard, in the order in which they came; never more of them than the mesh has shards.

    Args:
        rng: chance for the election timeouts of the replicas.
    """

    def __init__(self, me: str, shards: int, settings: ReplicasSettings, rng: random.Random) -> None:
        self._me = me
        self._shards = shards
        self._settings = settings
        self._seed = rng.getrandbits(64)
        self._arrivals = Arrivals(settings.raft.most_state_bytes)
        self.dirty: dict[int, Group] = {}
        """What `take_dirty` would give, by shard."""
        self.groups: dict[int, Group] = {}
        self.led: dict[int, Group] = {}
        """Those that own their shard."""
        self.retired: dict[int, Recovered] = {}
        """Terms and votes of replicas that are gone, or that have never held anything else."""
        self.large: dict[int, None] = {}
        """Shards whose logs are to be compacted."""
        self.alarms = Alarms(grain_ns=max(1, settings.beat_ns // 4))

    def touch(self, group: Group) -> None:
        """Something happened to a replica: it is looked at when the tick ends."""
        self.dirty[group.shard] = group

    def take_dirty(self) -> Sequence[Group]:
        """The replicas that something happened to since this was last asked, in that order."""
        if not self.dirty:
            return ()
        dirty, self.dirty = self.dirty, {}
        return tuple(dirty.values())

    def is_here(self, group: Group) -> bool:
        """Whether a replica has not been removed, nor replaced by another of the same shard."""
        return self.groups.get(group.shard) is group

    def recover(
        self, now_ns: int, recovered: Sequence[Recovered], *, is_founder: bool
    ) -> list[tuple[int, bytes]]:
        """Brings back what the journal has, and founds what is missing of a new mesh. Gives the states of machines."""
        missing = set(range(self._shards)) if is_founder else set()
        states: list[tuple[int, bytes]] = []
        for each in recovered:
            missing.discard(each.shard)
            if each.snapshot is None and not each.entries and not each.damage:
                self.retired[each.shard] = each
                continue
            self._add(now_ns, each, None)
            if each.snapshot is not None and not each.damage:
                states.append((each.shard, each.snapshot.state))
        for shard in sorted(missing):
            self.found(now_ns, shard)
        return states

    def found(self, now_ns: int, shard: int) -> Group:
        """A new log with this node as its only voter."""
        return self._add(now_ns, Recovered(shard=shard), Config((self._me,)))

    def called(self, now_ns: int, shard: int) -> Group:
        """The replica of a shard whose owner sends entries; a new one, which has nothing, if there is none."""
        group = self.groups.get(shard)
        if group is None:
            known = self.retired.pop(shard, None)
            if known is not None:
                sometimes("a replica came back to where one had been dropped")
            group = self._add(now_ns, Recovered(shard=shard) if known is None else known, None)
        return group

    def forget(self, group: Group, owner: str, owner_term: int) -> list[Record]:
        """Drops a replica but its hard state, and gives what is to be written of that.

        The owner that dismissed it has committed an entry of its term: so a log without any such can be refused a vote,
        which a replica must do that does not know what it has acknowledged. Nor may it vote for another in that term.
        """
        shard = group.shard
        records: list[Record] = []
        for record in group.raft.forgotten():
            if isinstance(record, HardState):
                hard = _outgrown(record, owner, owner_term, is_damaged=group.raft.is_damaged)
                records.append(hard)
                self.retired[shard] = Recovered(
                    shard=shard,
                    term=hard.term,
                    vote=hard.vote,
                    floor_index=hard.floor_index,
                    floor_term=hard.floor_term,
                )
            else:
                records.append(record)
        del self.groups[shard]
        self.dirty.pop(shard, None)
        self.large.pop(shard, None)
        self.alarms.set(shard, None)
        return records

    def _add(self, now_ns: int, recovered: Recovered, config: Config | None) -> Group:
        shard = recovered.shard
        raft = Raft(
            me=self._me,
            recovered=recovered,
            config=config,
            settings=self._settings.raft,
            rng=random.Random(f"{self._seed}:{shard}"),
            now_ns=now_ns,
            arrivals=self._arrivals,
        )
        state_bytes = 0 if recovered.snapshot is None else len(recovered.snapshot.state)
        group = Group(
            raft=raft,
            limit_bytes=max(self._settings.compact_bytes, 2 * state_bytes),
            handed=raft.snapshot_index,
            heard_ns=now_ns,
        )
        self.groups[shard] = group
        self.alarms.set(shard, raft.next_deadline_ns())
        return group


def _outgrown(hard: HardState, owner: str, owner_term: int, *, is_damaged: bool) -> HardState:
    """The hard state of a replica that an owner has dismissed in `owner_term`."""
    floor_term, floor_index = max((hard.floor_term, hard.floor_index), (owner_term, 0))
    term, vote = hard.term, hard.vote
    if term < owner_term or (is_damaged and term == owner_term):
        sometimes("a dropped replica keeps its owner's term, to vote for nobody else in it")
        term, vote = owner_term, owner
    return HardState(hard.shard, term, vote, floor_index, floor_term)
