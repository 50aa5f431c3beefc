"""Beats as replicas hear them: what they mean for the one who is led, and their answers for the one who leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hubless.shard.beats import Sent
from hubless.shard.group import Group
from hubless.shard.records import Recovered
from hubless.wire.replication import Beat, BeatAnswer, Led
from hubless_gossip.marks import sometimes


@dataclass(slots=True)
class Heard:
    """What came of an answer: the replicas that are to be looked at, and those whose standing changed."""

    touched: list[Group] = field(default_factory=list)
    unsettled: list[int] = field(default_factory=list)


def beat_heard(
    now_ns: int,
    sender: str,
    beat: Beat,
    groups: Mapping[int, Group],
    retired: Mapping[int, Recovered],
    *,
    is_full: bool,
) -> tuple[BeatAnswer, list[Group]]:
    """Follows the sender in the shards that it leads, as far as terms allow. Gives the replicas to be looked at."""
    touched: list[Group] = []
    refused: list[Led] = []
    broken: list[int] = []
    for led in beat.led:
        group = groups.get(led.shard)
        if group is None:
            # No replica yet, or none any more: its entries will make one. Until then it counts for nothing.
            known = retired.get(led.shard)
            refused.append(Led(led.shard, 0 if known is None else known.term, 0))
        elif group.raft.is_damaged:
            group.heard_ns = now_ns
            broken.append(led.shard)
        elif group.raft.heard_owner(now_ns, sender, led.term, led.commit):
            group.heard_ns, group.question = now_ns, 0
            if group.raft.is_dirty:
                touched.append(group)
        else:
            refused.append(Led(led.shard, group.raft.term, 0))
    return BeatAnswer(beat.number, tuple(refused), tuple(broken), is_full), touched


def all_broken(beat: Beat) -> BeatAnswer:
    """What a node says whose journal cannot be relied on."""
    return BeatAnswer(beat.number, broken=tuple(led.shard for led in beat.led), has_failed=True)


def answer_heard(now_ns: int, sender: str, answer: BeatAnswer, sent: Sent, led: Mapping[int, Group]) -> Heard:
    """Counts the sender as heard, in all shards of the beat in which it still follows this node."""
    heard = Heard()
    refused = {each.shard: each.term for each in answer.refused}
    broken = frozenset(answer.broken)
    for told in sent.led:
        group = led.get(told.shard)
        if group is None:
            continue
        is_broken = told.shard in broken
        if is_broken != (sender in group.broken) and told.shard not in refused:
            sometimes("an owner learned that a replica is damaged, or that it no longer is")
            group.broken.symmetric_difference_update((sender,))
            heard.unsettled.append(told.shard)
        if is_broken:
            continue
        if told.shard not in refused:
            group.raft.heard_follower(now_ns, sender, sent.at_ns)
        else:
            group.raft.saw_term(now_ns, refused[told.shard])
        if group.raft.is_dirty:
            heard.touched.append(group)
    return heard
