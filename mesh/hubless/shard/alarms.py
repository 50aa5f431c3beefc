"""When which shard wants to be looked at, for thousands of shards whose deadlines move with every message."""

from __future__ import annotations

import heapq

_SLACK = 64


class Alarms:
    """One alarm for each key. Moving an alarm to a later time costs a dictionary entry and nothing else.

    The heap keeps the earlier time; when that comes, the alarm is set again for its real one. So `next_deadline_ns`
    may be early, never late, and times are rounded up to the grain: shards at rest wake a node that often at most.
    """

    def __init__(self, *, grain_ns: int = 1) -> None:
        if grain_ns <= 0:
            raise ValueError(f"grain_ns is {grain_ns}; it must be positive")
        self._grain_ns = grain_ns
        self._due: dict[int, int] = {}
        self._armed: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: int, due_ns: int | None) -> None:
        """Wants `key` back at `due_ns` and not at the time said before; None wants it no more."""
        if due_ns is None:
            self._due.pop(key, None)
            return
        due_ns = -(-due_ns // self._grain_ns) * self._grain_ns
        self._due[key] = due_ns
        armed_ns = self._armed.get(key)
        if armed_ns is None or due_ns < armed_ns:
            self._arm(key, due_ns)

    def due_ns(self, key: int) -> int | None:
        """When `key` is wanted back; None if it is not."""
        return self._due.get(key)

    def take_due(self, now_ns: int) -> list[int]:
        """Removes and returns the keys whose time has come, the earliest first."""
        taken: list[int] = []
        while self._heap and self._heap[0][0] <= now_ns:
            armed_ns, key = heapq.heappop(self._heap)
            if self._armed.get(key) != armed_ns:
                continue
            del self._armed[key]
            due_ns = self._due.get(key)
            if due_ns is None:
                continue
            if due_ns > now_ns:
                self._arm(key, due_ns)
            else:
                del self._due[key]
                taken.append(key)
        return taken

    def next_deadline_ns(self) -> int | None:
        """When to call `take_due`; it may turn out that nothing is due then."""
        return self._heap[0][0] if self._heap else None

    def _arm(self, key: int, due_ns: int) -> None:
        self._armed[key] = due_ns
        heapq.heappush(self._heap, (due_ns, key))
        if len(self._heap) > _SLACK + 4 * len(self._armed):
            self._heap = sorted((armed_ns, armed) for armed, armed_ns in self._armed.items())
