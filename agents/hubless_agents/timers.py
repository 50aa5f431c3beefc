"""Deadlines by key: arm, disarm, and what is due. Forgotten entries are swept, so the heap stays bounded."""

import heapq
from collections.abc import Hashable
from typing import Generic, Literal, TypeVar

import msgspec


class Due(msgspec.Struct, frozen=True):
    """A named deadline of the supervisor, about one worker (by number) or one agent (by name)."""

    what: Literal["spawn", "start", "bury", "recall", "memory", "quarantine"]
    worker: int = 0
    agent: str = ""


K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """At most one deadline per key. Keys that are due at the same time come in the order of their arming."""

    __slots__ = ("_due", "_heap", "_sequence")

    def __init__(self) -> None:
        self._due: dict[K, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._sequence = 0

    def arm(self, key: K, due_ns: int) -> None:
        """Set or move the key's deadline."""
        self._sequence += 1
        self._due[key] = (due_ns, self._sequence)
        heapq.heappush(self._heap, (due_ns, self._sequence, key))
        if len(self._heap) > 64 + 4 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[:2]]
            heapq.heapify(self._heap)

    def disarm(self, key: K) -> None:
        """Forget the key; unknown keys are fine."""
        self._due.pop(key, None)

    def armed(self, key: K) -> bool:
        return key in self._due

    def next_ns(self) -> int | None:
        """The earliest deadline, or None."""
        heap = self._heap
        while heap:
            due_ns, sequence, key = heap[0]
            if self._due.get(key) == (due_ns, sequence):
                return due_ns
            heapq.heappop(heap)
        return None

    def pop_due(self, now_ns: int) -> K | None:
        """Disarm and return the earliest key whose deadline is not after `now_ns`, or None."""
        due_ns = self.next_ns()
        if due_ns is None or due_ns > now_ns:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._due[key]
        return key
