"""Carries out `moves` for the shards that a node owns: what it reads from their replicas, and what it asks of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hubless.shard import quorum
from hubless.shard.beats import Beats
from hubless.shard.group import Group
from hubless.shard.learning import Learning
from hubless.shard.moves import Change, Step
from hubless.shard.pace import Moves, MoveSettings
from hubless.shard.seats import Owned, Surroundings
from hubless_gossip.marks import sometimes


class Steering:
    """The owned shards whose replicas are not where they should be, or may not be.

    Args:
        beat_ns: between two beats.
    """

    def __init__(self, settings: MoveSettings, *, beat_ns: int) -> None:
        self._settings = settings
        self._silent_after = 1 + settings.patience_ns // beat_ns
        self._moves = Moves(settings)
        self._unsettled: dict[int, None] = {}
        self._given_up: dict[str, int] = {}
        self._shaky: frozenset[str] = frozenset()

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

    def office_changed(self, now_ns: int, group: Group, preference: Sequence[str]) -> None:
        """The replica has come to know another owner, or of none."""
        owner = group.raft.owner
        if owner is not None:
            group.losses.owned_by(now_ns, owner, preference, self._settings.return_ns)
        if owner != group.raft.me:
            group.learning = Learning()

    def disowned(self, shard: int) -> None:
        """The shard is somebody else's to move."""
        self._unsettled.pop(shard, None)
        self._moves.disowned(shard)

    def review(
        self, now_ns: int, led: Mapping[int, Group], around: Surroundings, beats: Beats
    ) -> list[Group]:
        """Takes the next steps, and returns the replicas that were asked for one. `beats` tell who answers."""
        silent = beats.silent(self._silent_after)
        self._give_up(now_ns, led, silent)
        shaky = beats.shaky()
        if shaky or self._shaky:
            self._shaky = shaky
            self.unsettle(led)
        if not self._unsettled:
            return []
        ready = [led[shard] for shard in sorted(self._unsettled) if led[shard].raft.is_ready]
        owned = [self._owned(now_ns, group, silent) for group in ready]
        steps, at_rest = self._moves.plan(now_ns, owned, around)
        for shard in at_rest:
            del self._unsettled[shard]
        return [led[step.shard] for step in steps if _take(now_ns, led[step.shard], step)]

    def _give_up(self, now_ns: int, led: Mapping[int, Group], silent: Iterable[str]) -> None:
        """Who is silent is done without, and for a while after that: only who learns here is asked for an answer."""
        for node in silent:
            if node not in self._given_up:
                sometimes("an owner does without a node that does not answer it")
            self._given_up[node] = now_ns + self._settings.return_ns
        over = [node for node, until_ns in self._given_up.items() if now_ns >= until_ns]
        for node in over:
            del self._given_up[node]
        if over:
            self.unsettle(led)

    def _without(self, now_ns: int, group: Group) -> frozenset[str]:
        """Whom a shard does without, until its learners have seats: lest each is dropped for the one before it."""
        raft = group.raft
        before = group.unreached if raft.config.learners else frozenset()
        learners = {node: raft.progress(node) for node in raft.config.learners}
        stuck = group.learning.stuck(now_ns, learners, self._settings.patience_ns)
        group.unreached = before.union(self._given_up, stuck)
        return group.unreached

    def _owned(self, now_ns: int, group: Group, silent: frozenset[str]) -> Owned:
        raft = group.raft
        caught_up = [node for node in group.others if raft.progress(node).is_caught_up]
        return Owned(
            shard=raft.shard,
            config=raft.config,
            target=group.target,
            spares=group.spares,
            caught_up=frozenset((*caught_up, raft.me)),
            broken=frozenset(group.broken),
            unreached=self._without(now_ns, group),
            unfit=self._shaky | group.losses.recent(now_ns, self._settings.return_ns),
            is_strained=self._is_strained(now_ns, group, silent),
            is_changing=not raft.is_config_committed,
            owned_since_ns=group.owned_since_ns,
            target_since_ns=group.target_since_ns,
            config_since_ns=group.config_since_ns,
        )

    def _is_strained(self, now_ns: int, group: Group, silent: frozenset[str]) -> bool:
        """Whether the shard had better have another owner. If all links are bad, each keeps it longer each time."""
        if not self._shaky:
            return False
        config, me = group.raft.config, group.raft.me
        heard = [node for node in group.others if node not in silent]
        steady = [me, *(node for node in heard if node not in self._shaky)]
        if quorum.has_quorum(config, steady) or not quorum.has_quorum(config, heard):
            return False
        return now_ns - group.owned_since_ns >= group.losses.pause_ns(me, self._settings.return_ns)


def _take(now_ns: int, group: Group, step: Step) -> bool:
    """Asks the replica for a step; it may refuse, for what it knows better."""
    if isinstance(step, Change):
        group.peers.update(group.others)
        known = group.raft.config
        if not group.raft.change(now_ns, step.voters, step.learners):
            return False
        if not set(step.voters) <= set(known.voters):
            sometimes("learner promoted")
        elif set(known.learners) - set(step.learners):
            sometimes("a learner that is not wanted any more was let go")
        return True
    return group.raft.transfer(now_ns, step.to)
