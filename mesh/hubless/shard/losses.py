"""Who lost the ownership of a shard, and how long it should be left with others.

Ownership goes back to a preferred node as soon as that is well. One that loses it again and again, as it cannot hold a
quorum although this node sees nothing wrong with it, waits twice as long each time.
"""

from __future__ import annotations

from collections.abc import Sequence

_MOST_DOUBLINGS = 6
_FORGOTTEN_AFTER = 10
"""In pauses."""


class Losses:
    """The losses of one shard, as a replica of it sees owners come and go."""

    __slots__ = ("_last", "_lost")

    def __init__(self) -> None:
        self._last: str | None = None
        self._lost: dict[str, tuple[int, int]] = {}

    def owned_by(self, now_ns: int, owner: str, preference: Sequence[str], pause_ns: int) -> None:
        """The shard has this owner. One that the ring prefers to it does not give way to it while all is well."""
        last, self._last = self._last, owner
        if last is None or last == owner or last not in preference:
            return
        if owner in preference and preference.index(owner) < preference.index(last):
            return
        for node in [node for node in self._lost if node not in preference]:
            del self._lost[node]
        count, at_ns = self._lost.get(last, (0, now_ns))
        if now_ns - at_ns > _FORGOTTEN_AFTER * pause_ns + 2 * self.pause_ns(last, pause_ns):
            count = 0
        self._lost[last] = (count + 1, now_ns)

    def pause_ns(self, node: str, pause_ns: int) -> int:
        """How long others keep the shard after the node lost it: `pause_ns` the first time, then twice as long."""
        count, _ = self._lost.get(node, (0, 0))
        return pause_ns << min(max(count - 1, 0), _MOST_DOUBLINGS)

    def recent(self, now_ns: int, pause_ns: int) -> frozenset[str]:
        """Who lost the shard so lately that it should not be given back."""
        return frozenset(
            node for node, (_, at_ns) in self._lost.items() if now_ns - at_ns < self.pause_ns(node, pause_ns)
        )
