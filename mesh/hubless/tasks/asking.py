"""Finding the owners of shards that nobody is known to own: their replicas are asked, for all tasks that wait at once.

A new owner tells everybody that it is one. Asking is for the case that its word was lost, or that this node came later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubless.effects import NodeEffect, ToPeer
from hubless.view import View
from hubless.wire import Whose

_MS = 1_000_000
_FIRST_NS = 100 * _MS
_LONGEST_NS = 1_000 * _MS


@dataclass(slots=True)
class _Search:
    """When to look again, and after how long the time after that."""

    due_ns: int
    after_ns: int = _FIRST_NS


class Asking:
    """The searches that are under way, one for each shard."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._searches: dict[int, _Search] = {}

    def want(self, now_ns: int, shard: int, out: list[NodeEffect]) -> None:
        """Somebody waits for an owner of the shard: its replicas are asked, unless they have just been."""
        if shard not in self._searches:
            self._searches[shard] = _Search(now_ns + _FIRST_NS)
            self._ask(shard, out)

    def due(self, now_ns: int, is_wanted: Callable[[int], bool], out: list[NodeEffect]) -> list[int]:
        """Asks again for owners that somebody still waits for. Returns the shards that have one by now."""
        found: list[int] = []
        for shard, search in list(self._searches.items()):
            if now_ns < search.due_ns:
                continue
            if self._view.owner_of_shard(shard) is not None:
                del self._searches[shard]
                found.append(shard)
            elif not is_wanted(shard):
                del self._searches[shard]
            else:
                search.after_ns = min(2 * search.after_ns, _LONGEST_NS)
                search.due_ns = now_ns + search.after_ns
                self._ask(shard, out)
        return found

    def next_deadline_ns(self) -> int | None:
        """When `due` has something to do."""
        if not self._searches:
            return None
        return min(search.due_ns for search in self._searches.values())

    def _ask(self, shard: int, out: list[NodeEffect]) -> None:
        nodes = self._view.preference(shard)
        out += (ToPeer(node, Whose(shard)) for node in nodes if self._view.is_alive(node))
