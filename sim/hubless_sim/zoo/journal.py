"""Bugs in what is on the disk before it is said, and in what a process takes for granted when it starts."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hubless.effects import NodeEffect
from hubless.shard.events import Commit
from hubless.shard.flushes import Flushes, Held
from hubless.shard.records import Recovered
from hubless.shard.replicas import Replicas
from hubless.shard.state import ReplicaState
from hubless.wire.replication import RaftMessage
from hubless_sim.zoo.planting import Bed, Swaps

BED = Bed("journal")


@BED.plant("shards", first=0)
def promises_before_the_flush(swaps: Swaps) -> None:
    """A vote or an acknowledgement leaves before it is on the disk (3.8)."""

    def promise(self: ReplicaState, to: str, message: RaftMessage) -> None:
        self.say(to, message)

    swaps.put(ReplicaState, "promise", promise)


@BED.plant("shards", first=0)
def takes_one_flush_for_all(swaps: Swaps) -> None:
    """When one commit is on the disk, what waits for the ones after it leaves as well."""

    def all_at_once(self: Flushes, _mark: int) -> list[Held]:
        ready: list[Held] = []
        while self._waiting:
            ready += self._waiting.popleft()[1]
        return ready

    swaps.put(Flushes, "flushed", all_at_once)


@BED.plant("mesh", first=48)
def answers_before_the_flush(swaps: Swaps) -> None:
    """Whole nodes act on a commit as soon as they have handed it to the disk."""

    def eager(self: Replicas, now_ns: int, out: list[NodeEffect]) -> None:
        before = len(out)
        ended(self, now_ns, out)
        for effect in out[before:]:
            if isinstance(effect, Commit):
                self.flushed(now_ns, effect.mark, out)

    ended = swaps.put(Replicas, "tick_ended", eager)


@BED.plant("shards", first=17)
def forgets_the_vote_over_a_restart(swaps: Swaps) -> None:
    """A process starts with its last term, and without the vote that it has given in it."""

    def forgetful(self: ReplicaState, me: str, recovered: Recovered, *arguments: Any) -> None:
        begin(self, me, replace(recovered, vote=""), *arguments)

    begin = swaps.put(ReplicaState, "__init__", forgetful)


@BED.plant("shards", first=1)
def trusts_a_damaged_shard(swaps: Swaps) -> None:
    """A process goes on with what is left of a shard whose records are torn or rotten."""

    def trusting(self: Replicas, *arguments: Any, recovered: tuple[Recovered, ...], **named: Any) -> None:
        begin(self, *arguments, recovered=tuple(replace(each, damage="") for each in recovered), **named)

    begin = swaps.put(Replicas, "__init__", trusting)
