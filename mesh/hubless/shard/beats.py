"""The beat between two nodes: one message for all shards that one of them leads and the other replicates.

It stands for an empty AppendEntries of each shard (dissertation, 3.4 and 6.2), so that shards at rest cost a mesh of
n nodes at most n (n - 1) beats an interval, however many shards there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hubless.wire.replication import Beat, Led

_MOST_UNANSWERED = 16


class Sent(NamedTuple):
    """A beat that was sent: when, and what it told the receiver."""

    at_ns: int
    led: tuple[Led, ...]


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

    def beat(self, now_ns: int, led: Mapping[str, Sequence[Led]]) -> list[tuple[str, Beat]]:
        """One beat for each node of `led`, in the order of their names. What others were told is forgotten."""
        for node in [node for node in self._sent if node not in led]:
            del self._sent[node], self._missed[node]
        beats: list[tuple[str, Beat]] = []
        for node in sorted(led):
            self._number += 1
            told = tuple(led[node])
            unanswered = self._sent.setdefault(node, {})
            unanswered[self._number] = Sent(now_ns, told)
            self._missed[node] = self._missed.get(node, 0) + 1
            if len(unanswered) > _MOST_UNANSWERED:
                del unanswered[next(iter(unanswered))]
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
