"""Carries out `moves` for the shards that a node owns: what it reads from their replicas, and what it asks of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hubless.shard.group import Group
from hubless.shard.moves import Change, Step
from hubless.shard.pace import Moves, MoveSettings
from hubless.shard.seats import Owned, Surroundings
from hubless_gossip.marks import sometimes


class Steering:
    """The owned shards whose replicas are not where they should be, or may not be."""

    def __init__(self, settings: MoveSettings) -> None:
        self._moves = Moves(settings)
        self._unsettled: dict[int, None] = {}

    @property
    def counters(self) -> object:
        """Steps taken and put off."""
        return self._moves.counters

    def unsettle(self, shards: Iterable[int]) -> None:
        """Something changed about these shards: they are looked at again."""
        self._unsettled.update(dict.fromkeys(shards))

    def retarget(self, now_ns: int, group: Group, target: Sequence[str], spares: Sequence[str]) -> None:
        """Where the ring wants the shard's replicas now. A target counts once it has stayed the same for a while."""
        target = tuple(target)
        group.spares = tuple(spares)
        if target != group.target:
            group.target, group.target_since_ns = target, now_ns

    def disowned(self, shard: int) -> None:
        """The shard is somebody else's to move."""
        self._unsettled.pop(shard, None)
        self._moves.disowned(shard)

    def review(self, now_ns: int, led: Mapping[int, Group], around: Surroundings) -> list[Group]:
        """Takes the next steps, and returns the replicas that were asked for one."""
        if not self._unsettled:
            return []
        owned = [_owned(led[shard]) for shard in sorted(self._unsettled) if led[shard].raft.is_ready]
        steps, at_rest = self._moves.plan(now_ns, owned, around)
        for shard in at_rest:
            del self._unsettled[shard]
        return [led[step.shard] for step in steps if _take(now_ns, led[step.shard], step)]


def _owned(group: Group) -> Owned:
    raft = group.raft
    caught_up = [node for node in group.others if raft.progress(node).is_caught_up]
    return Owned(
        shard=raft.shard,
        config=raft.config,
        target=group.target,
        spares=group.spares,
        caught_up=frozenset((*caught_up, raft.me)),
        broken=frozenset(group.broken),
        is_changing=not raft.is_config_committed,
        owned_since_ns=group.owned_since_ns,
        target_since_ns=group.target_since_ns,
        config_since_ns=group.config_since_ns,
    )


def _take(now_ns: int, group: Group, step: Step) -> bool:
    """Asks the replica for a step; it may refuse, for what it knows better."""
    if isinstance(step, Change):
        group.peers.update(group.others)
        known = group.raft.config
        if not group.raft.change(now_ns, step.voters, step.learners):
            sometimes("a replica refused a step of its own node")
            return False
        if not set(step.voters) <= set(known.voters):
            sometimes("learner promoted")
        elif set(known.learners) - set(step.learners):
            sometimes("a learner that is not wanted any more was let go")
        return True
    return group.raft.transfer(now_ns, step.to)
