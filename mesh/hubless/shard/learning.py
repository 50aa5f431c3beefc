"""Which learners of a shard get on: one that answers, and never has more than before, is waited for in vain."""

from __future__ import annotations

from collections.abc import Mapping

from hubless.shard.output import Standing
from hubless_gossip.marks import sometimes

_PATIENCE = 8
_PAUSE = 2 * _PATIENCE
"""Both in patiences."""


class Learning:
    """The learners of one shard, in its owner's eyes."""

    __slots__ = ("_again_ns", "_since")

    def __init__(self) -> None:
        self._since: dict[str, tuple[tuple[int, int], int]] = {}
        self._again_ns: dict[str, int] = {}

    def stuck(self, now_ns: int, learners: Mapping[str, Standing], patience_ns: int) -> frozenset[str]:
        """Who is done without: it has had nothing new for some patiences, now or not long ago."""
        for node in [node for node in self._since if node not in learners]:
            del self._since[node]
        for node in [node for node, again_ns in self._again_ns.items() if now_ns >= again_ns]:
            del self._again_ns[node]
        for node, standing in learners.items():
            has = (standing.matched, standing.received)
            before, since_ns = self._since.get(node, (None, now_ns))
            if standing.is_caught_up or has != before:
                self._since[node] = has, now_ns
            elif now_ns - since_ns >= _PATIENCE * patience_ns and node not in self._again_ns:
                sometimes("an owner does without a learner that does not get on")
                self._again_ns[node] = now_ns + _PAUSE * patience_ns
        return frozenset(self._again_ns)
