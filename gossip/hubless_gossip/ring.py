"""The live members in the order of their hashed ids: who watches whom, and whom to draw at random."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from functools import lru_cache

from hubless_gossip.claims import node_point


class Ring:
    """Sorted points of live members. Neighbour and random look-ups do not depend on how many there are."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._places)

    def add(self, node: str) -> None:
        insort(self._places, _place(node))

    def remove(self, node: str) -> None:
        del self._places[bisect_left(self._places, _place(node))]

    def nodes(self) -> list[str]:
        return [node for _, node in self._places]

    def successors(self, node: str, count: int) -> list[str]:
        """Up to `count` other members after `node`, nearest first: the ones that `node` watches."""
        return self._walk(node, count, 1)

    def predecessors(self, node: str, count: int) -> list[str]:
        """Up to `count` other members before `node`, nearest first: the ones that watch `node`."""
        return self._walk(node, count, -1)

    def draw(self, rng: random.Random, count: int, excluded: frozenset[str] | set[str]) -> list[str]:
        """Up to `count` different members outside `excluded`, at random."""
        places = self._places
        size = len(places)
        if size <= count + len(excluded) + 4:
            candidates = [node for _, node in places if node not in excluded]
            rng.shuffle(candidates)
            return candidates[:count]
        drawn: list[str] = []
        for _ in range(8 * count + 8):
            if len(drawn) == count:
                break
            node = places[int(rng.random() * size)][1]
            if node not in excluded and node not in drawn:
                drawn.append(node)
        return drawn

    def _walk(self, node: str, count: int, step: int) -> list[str]:
        places = self._places
        size = len(places)
        at = bisect_left(places, _place(node))
        present = at < size and places[at][1] == node
        count = min(count, size - present)
        first = at + 1 if step > 0 and present else at if step > 0 else at - 1
        return [places[(first + step * k) % size][1] for k in range(count)]


@lru_cache(maxsize=65_536)
def _place(node: str) -> tuple[int, str]:
    """Where a node stands; one tuple for all rings of a process."""
    return node_point(node), node
