"""Who campaigns for a shard when membership says that its owner is gone, and when.

The first voter that is fit campaigns at once, the k-th after k staggers, and all again after a round of staggers as
long as nobody has won. Raft's own timeout (dissertation, 3.4) goes on beside this and is the fallback: for a voter
that is not fit, and when membership is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from hubless.shard.alarms import Alarms
from hubless.shard.quorum import has_quorum, is_voter
from hubless.shard.seats import Surroundings
from hubless.wire.replication import Config

_LONGEST_ROUND = 32
"""In staggers."""


def preference_order(config: Config, preference: Sequence[str]) -> list[str]:
    """The voters of either half of a configuration: in the order of the preference list, then by name."""
    voters = {*config.voters, *config.outgoing}
    listed = [node for node in preference if node in voters]
    return listed + sorted(voters.difference(listed))


def place_in_line(config: Config, preference: Sequence[str], around: Surroundings) -> tuple[int, int] | None:
    """This node's place among those who campaign, from 0, and how many they are. None if it leaves it to others.

    Those who should not own are in line only if nobody else is.
    """
    order = preference_order(config, preference)
    fit = [node for node in order if around.may_own(node)]
    line = fit or [node for node in order if node not in around.gone]
    return (line.index(around.me), len(line)) if around.me in line else None


class Campaigns:
    """The campaigns that this node intends, by shard.

    Args:
        stagger_ns: between the campaigns of two voters.
        patience_ns: how long a shard may be without a known owner before membership is asked about it: after a start
            its owner may just not have been heard yet.
        rng: chance for the pauses between rounds.
    """

    def __init__(self, *, stagger_ns: int, patience_ns: int, rng: random.Random) -> None:
        self._stagger_ns = stagger_ns
        self._patience_ns = patience_ns
        self._rng = rng
        self._alarms = Alarms()
        self._round_ns: dict[int, int] = {}

    def settled(self, shard: int) -> None:
        """The shard has an owner that can be relied on, or this node has no say in it."""
        if self._round_ns.pop(shard, None) is not None:
            self._alarms.set(shard, None)

    def wanted(
        self,
        now_ns: int,
        shard: int,
        *,
        config: Config,
        is_owner_known: bool,
        preference: Sequence[str],
        around: Surroundings,
    ) -> None:
        """The shard needs another owner: this node campaigns when its turn comes.

        Asked again while it waits, it keeps its turn or takes an earlier one.
        """
        place = place_in_line(config, preference, around)
        present = [node for node in (*config.voters, *config.outgoing) if node not in around.gone]
        if place is None or not is_voter(config, around.me) or not has_quorum(config, present):
            self.settled(shard)
            return
        rank, size = place
        due_ns = now_ns + rank * self._stagger_ns
        if not is_owner_known:
            due_ns += self._patience_ns
        before_ns = self._alarms.due_ns(shard)
        if before_ns is None or due_ns < before_ns:
            self._alarms.set(shard, due_ns)
        self._round_ns.setdefault(shard, size * self._stagger_ns)

    def due(self, now_ns: int) -> list[int]:
        """The shards to campaign for now. They come back after a round, then after one that is twice as long and so on,
        unless they are settled before: who cannot win should not keep the others busy. Each round is longer by up to
        half of it, by chance: two voters who hold the same place in line, as their opinions differ or they were
        started at one instant, would otherwise split the votes again and again.
        """
        due = self._alarms.take_due(now_ns)
        for shard in due:
            round_ns = self._round_ns[shard]
            self._alarms.set(shard, now_ns + round_ns + self._rng.randrange(round_ns // 2 + 1))
            self._round_ns[shard] = min(2 * round_ns, _LONGEST_ROUND * self._stagger_ns)
        return due

    def next_deadline_ns(self) -> int | None:
        """When `due` is to be asked."""
        return self._alarms.next_deadline_ns()
