"""What comes of what happened to the replicas of a node: handed out in order, and who owns a shard now is noticed."""

from __future__ import annotations

from collections.abc import Iterable

from hubless.effects import NodeEffect, ToPeer
from hubless.shard.campaigns import Campaigns
from hubless.shard.configs import CONFIG
from hubless.shard.events import Committed, Disowned, Forgotten, Owning, ReadReady, Restored
from hubless.shard.group import Group
from hubless.shard.holdings import Holdings
from hubless.shard.opinion import Opinion
from hubless.shard.output import Output, Role
from hubless.shard.roster import Roster
from hubless.shard.settings import ReplicasSettings
from hubless.shard.steering import Steering
from hubless.wire.replication import Dismissed, Orphaned, RaftMessage

_BEATS = 2
"""After so many without one, an owner is silent."""


class Outcomes(Holdings):
    """The replicas of a node where a tick ends: each that something happened to is looked at once."""

    def __init__(
        self, me: str, *, settings: ReplicasSettings, roster: Roster, campaigns: Campaigns, steering: Steering
    ) -> None:
        super().__init__(
            me,
            settings=settings,
            roster=roster,
            opinion=Opinion(me, campaigns, fresh_ns=_BEATS * settings.beat_ns),
        )
        self._campaigns = campaigns
        self._steering = steering
        self._touch = roster.touch
        self._reads: dict[tuple[int, int], None] = {}
        self._beat_at_ns: int | None = None

    def _collect(self, now_ns: int, out: list[NodeEffect]) -> None:
        for group in self._roster.take_dirty():
            self._look(now_ns, group, out)

    def _look(self, now_ns: int, group: Group, out: list[NodeEffect]) -> None:
        """Hands out what came of the events of one replica."""
        raft, shard = group.raft, group.shard
        output = raft.take(now_ns)
        if not self._problem:
            self._send(output.now, out)
            self._flushes.add(group, output)
        role, owner, term = raft.office
        is_owner = role is Role.OWNER
        if group.owning_term and not (is_owner and term == group.owning_term):
            group.owning_term = 0
            out.append(Disowned(shard))
        if output.committed or output.restored is not None:
            self._hand_out(now_ns, group, output, out)
        if is_owner and not group.owning_term and raft.is_ready:
            group.owning_term = term
            out.append(Owning(shard, term))
        for ticket, index in output.reads:
            self._reads.pop((shard, ticket), None)
            out.append(ReadReady(shard, ticket, is_owner=index is not None))
        if raft.wants_state or raft.log_bytes > group.limit_bytes:
            self._roster.large[shard] = None
        if role is not group.role or owner != group.owner or term != group.term:
            self._office_changed(now_ns, group)
        self._roster.alarms.set(shard, raft.next_deadline_ns())

    def _hand_out(self, now_ns: int, group: Group, output: Output, out: list[NodeEffect]) -> None:
        restored = output.restored
        if restored is not None:
            out.append(Restored(group.shard, restored.state))
            group.handed = restored.index
            group.limit_bytes = max(self._settings.compact_bytes, 2 * len(restored.state))
        committed = output.committed
        if committed:
            out.append(Committed(group.shard, committed))
            group.handed = committed[-1].index
            if group.role is Role.OWNER and any(entry.kind == CONFIG for entry in committed):
                self._config_committed(now_ns, group, out)

    def _config_committed(self, now_ns: int, group: Group, out: list[NodeEffect]) -> None:
        """Those who are no longer part of it need not wait until they wonder why they hear nothing."""
        if not group.raft.is_ready or not group.raft.is_config_committed:
            return
        removed = sorted(group.peers.difference(group.others))
        out.extend(ToPeer(node, Dismissed(0, (group.led,))) for node in removed)
        group.peers = set(group.others)
        group.config_since_ns = now_ns
        self._steering.unsettle((group.shard,))

    def _office_changed(self, now_ns: int, group: Group) -> None:
        raft, shard = group.raft, group.shard
        is_owner = raft.role is Role.OWNER
        if is_owner and (shard not in self._led or raft.term != group.term):
            self._led[shard] = group
            group.owned_since_ns = group.target_since_ns = group.config_since_ns = now_ns
            group.target = tuple(self._opinion.preferences(shard))
            group.spares = tuple(self._opinion.spares(shard))
            group.broken.clear()
            group.question = 0
            group.peers = set(group.others)
            self._steering.unsettle((shard,))
            if self._beat_at_ns is None:
                self._beat_at_ns = now_ns + self._settings.beat_ns
        elif not is_owner and self._led.pop(shard, None) is not None:
            group.heard_ns = now_ns
            self._steering.disowned(shard)
            if not self._led:
                self._beat_at_ns = None
        group.role, group.owner, group.term = raft.role, raft.owner, raft.term
        self._steering.office_changed(now_ns, group, self._opinion.preferences(shard))
        if self._opinion.consider(now_ns, group):
            self._touch(group)

    def _forget(self, group: Group, owner: str, owner_term: int, out: list[NodeEffect]) -> None:
        """Drops a replica that does not count any more. Its term and vote are kept, here and on disk."""
        self.counters.forgotten += 1
        self._flushes.write(self._roster.forget(group, owner, owner_term))
        self._campaigns.settled(group.shard)
        out.append(Forgotten(group.shard))

    def _send(self, messages: list[tuple[str, RaftMessage]], out: list[NodeEffect]) -> None:
        self.counters.messages += len(messages)
        for node, message in messages:
            out.append(ToPeer(node, message))

    def _say(self, messages: Iterable[tuple[str, Orphaned]], out: list[NodeEffect]) -> None:
        out.extend(ToPeer(node, message) for node, message in messages)
