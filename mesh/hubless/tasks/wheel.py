"""Coarse timers for very many short-lived things: adding one is O(1), and forgetting one costs nothing."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Wheel(Generic[Key]):
    """Keys in buckets of equal width. A key comes back in or after the bucket of its time, never before it.

    There is no removal: whoever takes a key out looks whether it still matters. Most tasks end long before
    any of their timers, so that a heap entry and a removal for each would be paid for nothing.
    """

    def __init__(self, *, width_ns: int) -> None:
        if width_ns <= 0:
            raise ValueError(f"width_ns is {width_ns}; it must be positive")
        self._width_ns = width_ns
        self._buckets: dict[int, list[Key]] = {}
        self._order: list[int] = []

    def add(self, due_ns: int, key: Key) -> None:
        """Asks for `key` at `due_ns`, or up to one width later."""
        bucket = -(-due_ns // self._width_ns)
        keys = self._buckets.get(bucket)
        if keys is None:
            self._buckets[bucket] = [key]
            heapq.heappush(self._order, bucket)
        else:
            keys.append(key)

    def take_due(self, now_ns: int) -> list[Key]:
        """Removes and returns the keys of all buckets whose time has come, in the order of the buckets."""
        current = now_ns // self._width_ns
        due: list[Key] = []
        while self._order and self._order[0] <= current:
            due += self._buckets.pop(heapq.heappop(self._order))
        return due

    def next_deadline_ns(self) -> int | None:
        """When `take_due` next has something."""
        return self._order[0] * self._width_ns if self._order else None
