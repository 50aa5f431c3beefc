"""The beat between two nodes: one message for all shards that one of them leads and the other replicates.

It stands for an empty AppendEntries of each shard (dissertation, 3.4 and 6.2), so that shards at rest cost a mesh of
n nodes at most n (n - 1) beats an interval, however many shards there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hubless.wire.replication import Beat, Led

_REMEMBERED = 32
"""Beats to one node, of which it is known whether they were answered."""
_ON_THE_WAY = 4
"""The newest of them may still be answered."""
_MANY = 10
_GAPS = 3


class Sent(NamedTuple):
    """A beat that was sent: when, and what it told the receiver. `turn`: how many that node had been sent by then."""

    at_ns: int
    led: tuple[Led, ...]
    turn: int


class Beats:
    """The beats that this node sends, and which of them are answered.

    Args:
        first_number: where numbers start. An answer to a beat of an earlier process must not pass for one to this
            one's, so that it must be drawn from a range too wide for that.
    """

    def __init__(self, *, first_number: int) -> None:
        self._number = first_number
        self._sent: dict[str, dict[int, Sent]] = {}
        self._missed: dict[str, int] = {}
        self._turns: dict[str, int] = {}

    def beat(self, now_ns: int, led: Mapping[str, Sequence[Led]]) -> list[tuple[str, Beat]]:
        """One beat for each node of `led`, in the order of their names. What others were told is forgotten."""
        for node in [node for node in self._sent if node not in led]:
            del self._sent[node], self._missed[node], self._turns[node]
        beats: list[tuple[str, Beat]] = []
        for node in sorted(led):
            self._number += 1
            told = tuple(led[node])
            unanswered = self._sent.setdefault(node, {})
            self._turns[node] = turn = self._turns.get(node, 0) + 1
            unanswered[self._number] = Sent(now_ns, told, turn)
            self._missed[node] = self._missed.get(node, 0) + 1
            oldest = next(iter(unanswered))
            if unanswered[oldest].turn <= turn - _REMEMBERED:
                del unanswered[oldest]
            beats.append((node, Beat(self._number, told)))
        return beats

    def answered(self, node: str, number: int) -> Sent | None:
        """The beat that `node` answers; None if it was answered before, is too old, or was never sent to it."""
        sent = self._sent.get(node, {}).pop(number, None)
        if sent is not None:
            self._missed[node] = 0
        return sent

    def silent(self, most: int) -> frozenset[str]:
        """Who has answered none of more than the last `most` beats: no time, as this node itself may have slept."""
        return frozenset(node for node, missed in self._missed.items() if missed > most)

    def shaky(self) -> frozenset[str]:
        """Who leaves many of the last beats unanswered, time and again: a link that comes and goes.

        Not who was away once, however long: a pause of either node is one gap.
        """
        return frozenset(node for node in self._sent if self._is_shaky(node))

    def _is_shaky(self, node: str) -> bool:
        unanswered = self._sent[node]
        if len(unanswered) < _MANY:
            return False
        newest = self._turns[node] - _ON_THE_WAY
        missed = {sent.turn for sent in unanswered.values() if sent.turn <= newest}
        return len(missed) >= _MANY and sum(turn - 1 not in missed for turn in missed) >= _GAPS
