"""What operators see of the replicas of a node."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hubless.shard.group import Group
from hubless.shard.output import Role
from hubless.shard.quorum import has_quorum, is_voter
from hubless.shard.seats import Surroundings
from hubless.wire.replication import Config


class Row(Struct, frozen=True):
    """One replica. `lag` tells an owner's view of the others: entries that they do not have yet.

    `condition` is one of "journal failed", "damaged", "quorum_lost" (a majority of the voters is gone, as far as
    membership knows), "outlived" (the shard was forked without it), "electing", "moving", "under-replicated",
    "disk full", "healthy": the first that applies.
    """

    shard: int
    role: str
    term: int
    owner: str | None
    config: Config
    commit: int
    last_index: int
    snapshot_index: int
    lag: tuple[tuple[str, int], ...]
    condition: str
    last_term: int = 0


def row_of(group: Group, around: Surroundings, target: Sequence[str], *, is_failed: bool) -> Row:
    """Describes one replica."""
    raft = group.raft
    role = raft.role.value
    if raft.role is Role.FOLLOWER and not is_voter(raft.config, raft.me):
        role = "learner"
    lag: tuple[tuple[str, int], ...] = ()
    if raft.role is Role.OWNER:
        lag = tuple((node, raft.last_index - raft.progress(node).matched) for node in group.others)
    return Row(
        shard=raft.shard,
        role=role,
        term=raft.term,
        owner=raft.owner,
        config=raft.config,
        commit=raft.commit,
        last_index=raft.last_index,
        snapshot_index=raft.snapshot_index,
        lag=lag,
        condition="journal failed" if is_failed else _condition(group, around, target),
        last_term=raft.last_term,
    )


def _condition(group: Group, around: Surroundings, target: Sequence[str]) -> str:
    raft, config = group.raft, group.raft.config
    voters = {*config.voters, *config.outgoing}
    present = voters - around.gone - group.broken
    if raft.is_damaged or raft.is_outlived:
        return "damaged" if raft.is_damaged else "outlived"
    if voters and not has_quorum(config, present):
        return "quorum_lost"
    if raft.owner is None:
        return "electing"
    if config.outgoing or config.learners:
        return "moving"
    if len(present) < len(target):
        return "under-replicated"
    return "disk full" if around.me in around.full else "healthy"
