"""Replicas that nobody leads any more, and how they learn that they may go.

A replica that was removed while it was away still counts itself a voter, and nobody tells it otherwise: its trials are
ignored (dissertation, 9.6). One whose disk was damaged waits to be removed, so that it can start anew. Both ask around;
the shard's owner answers if its committed configuration is without them. The answer names the question, and a question
ends when an owner is heard: so an answer that was under way for long cannot dismiss a replica that counts again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from hubless.shard.group import Group
from hubless.shard.output import Role
from hubless.shard.quorum import members
from hubless.shard.seats import Surroundings
from hubless.wire.replication import Dismissed, Led, Orphaned
from hubless_gossip.marks import sometimes


class Orphans:
    """Questions of this node about its own replicas, and its answers to those of others.

    Args:
        enquire_ns: how long an owner is not heard before it is asked for, and again.
        first_number: where questions start to be numbered; see `Beats`.
    """

    def __init__(self, me: str, *, enquire_ns: int, first_number: int, now_ns: int) -> None:
        self._me = me
        self._enquire_ns = enquire_ns
        self._number = first_number
        self.due_ns = now_ns + enquire_ns
        """When `questions` looks again."""

    def questions(
        self,
        now_ns: int,
        groups: Mapping[int, Group],
        around: Surroundings,
        preferences: Callable[[int], Sequence[str]],
    ) -> list[tuple[str, Orphaned]]:
        """Who is to be asked about which replicas; nothing between two rounds."""
        if now_ns < self.due_ns:
            return []
        self.due_ns = now_ns + self._enquire_ns
        lost = [group for group in groups.values() if self._is_orphan(now_ns, group)]
        if lost:
            sometimes("asked around for the owner of a replica that nobody leads")
        return self._about(lost, around, preferences)

    def prompted(
        self,
        sender: str,
        led: Iterable[Led],
        groups: Mapping[int, Group],
    ) -> list[tuple[str, Orphaned]]:
        """An owner says that it would dismiss replicas, if they asked."""
        asking = tuple(
            each.shard
            for each in led
            if each.shard in groups and groups[each.shard].raft.role is not Role.OWNER
        )
        if not asking:
            return []
        self._number += 1
        for shard in asking:
            groups[shard].question = self._number
        return [(sender, Orphaned(self._number, asking))]

    def _is_orphan(self, now_ns: int, group: Group) -> bool:
        if group.raft.role is Role.OWNER:
            return False
        return group.raft.is_damaged or now_ns - group.heard_ns >= self._enquire_ns

    def _about(
        self, lost: Sequence[Group], around: Surroundings, preferences: Callable[[int], Sequence[str]]
    ) -> list[tuple[str, Orphaned]]:
        """One question for each node that may know: in the configuration, on the preference list, the last owner."""
        by_node: dict[str, list[int]] = {}
        self._number += 1
        for group in lost:
            raft = group.raft
            group.question = self._number
            knowing = {*members(raft.config), *preferences(raft.shard)}
            if raft.owner is not None:
                knowing.add(raft.owner)
            for node in knowing - around.gone - {self._me}:
                by_node.setdefault(node, []).append(raft.shard)
        return [(node, Orphaned(self._number, tuple(by_node[node]))) for node in sorted(by_node)]


def may_dismiss(group: Group, node: str) -> bool:
    """Whether this replica owns the shard and knows that `node` is no part of it."""
    raft = group.raft
    return raft.is_ready and raft.is_config_committed and node not in members(raft.config)


def answer(asked: Orphaned, node: str, groups: Mapping[int, Group]) -> Dismissed | None:
    """What an owner tells a node about the shards it asks for; None if nothing."""
    named = (groups.get(shard) for shard in asked.shards)
    led = tuple(group.led for group in named if group is not None and may_dismiss(group, node))
    if not led:
        return None
    sometimes("an owner told a node that its replica may go")
    return Dismissed(asked.number, led)


def dismissed(message: Dismissed, groups: Mapping[int, Group]) -> list[tuple[Group, int]]:
    """The replicas that may go, by an answer to the latest question about each, and the terms of their owners."""
    named = ((groups.get(led.shard), led.term) for led in message.led)
    return [(group, term) for group, term in named if group is not None and group.question == message.number]
