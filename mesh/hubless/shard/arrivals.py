"""How much memory snapshots may take on their way to the replicas of a node: pieces wait there for the last one."""

from __future__ import annotations


class Arrivals:
    """Room for `most_bytes` of snapshots that have not wholly arrived, of all shards together.

    Each has its room from its first piece on, so that of two that do not both fit one arrives.
    """

    __slots__ = ("_most_bytes", "_sizes")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._sizes: dict[int, int] = {}

    @property
    def size_bytes(self) -> int:
        """How much room is taken."""
        return sum(self._sizes.values())

    def expect(self, shard: int, size_bytes: int) -> bool:
        """Room for the one snapshot that a shard's replica may be waiting for; False if there is none now."""
        others = self.size_bytes - self._sizes.get(shard, 0)
        if others + size_bytes > self._most_bytes:
            self._sizes.pop(shard, None)
            return False
        self._sizes[shard] = size_bytes
        return True

    def ended(self, shard: int) -> None:
        """It is here, or not waited for any more."""
        self._sizes.pop(shard, None)
