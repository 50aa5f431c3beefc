"""Who owns what, as this node tells it: everybody hears of its new shards, newcomers of all that it has.

Of a shard that it has lost it expects to hear who comes next; if nobody says so, nobody is known to own it.
"""

from __future__ import annotations

from collections.abc import Mapping

from hubless.effects import NodeEffect, ToPeer
from hubless.view import View
from hubless.wire import Owns
from hubless_gossip.marks import sometimes

_SUCCESSION_NS = 1_000_000_000


class Succession:
    """What is to be told of ownerships at the end of a tick, and what is to be heard within a second."""

    def __init__(self, *, me: str, view: View) -> None:
        self._me = me
        self._view = view
        self._news: dict[int, int] = {}
        self._left: dict[int, int] = {}
        self._strangers: dict[str, None] = {}

    def took_over(self, shard: int, term: int) -> None:
        """This node has come to own a shard."""
        self._news[shard] = term
        self._left.pop(shard, None)
        self._view.learn_owner(shard, term, self._me)

    def gave_up(self, now_ns: int, shard: int) -> None:
        """This node no longer owns a shard."""
        self._news.pop(shard, None)
        self._left[shard] = now_ns

    def met(self, node: str) -> None:
        """Another process takes part: it does not know yet what this node owns."""
        self._strangers[node] = None

    def tick(self, now_ns: int) -> None:
        """Stops taking itself for the owner of what it has given up, if nobody else has said to be that."""
        for shard in [shard for shard, at_ns in self._left.items() if now_ns - at_ns >= _SUCCESSION_NS]:
            del self._left[shard]
            sometimes("nobody came forward for a shard that this node had owned")
            self._view.doubt_owner(shard, self._me)

    def announce(self, owned: Mapping[int, int], out: list[NodeEffect]) -> frozenset[int]:
        """Tells the others, with the terms of all shards that it owns. Returns those that are new."""
        news, self._news = self._news, {}
        strangers, self._strangers = self._strangers, {}
        if news:
            led = Owns(tuple(news.items()))
            present = (known.member.node for known in self._view.known())
            out += (
                ToPeer(node, led)
                for node in present
                if node != self._me and node not in strangers and self._view.is_present(node)
            )
        if strangers and owned:
            out += (ToPeer(node, Owns(tuple(sorted(owned.items())))) for node in strangers)
        return frozenset(news)
