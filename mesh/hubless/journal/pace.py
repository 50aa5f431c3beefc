"""Whether the disk is fast enough to wait for it on the event loop. Pure."""

from __future__ import annotations

_NS_PER_MS = 1_000_000


class Pace:
    """Follows how long commits take: mean of the last ten or so, each one's share in it falling with its age.

    Args:
        fast_ms: below it the disk becomes fast again.
        slow_ms: above it the disk becomes slow; the space between keeps it from changing to and fro.
    """

    def __init__(self, *, fast_ms: float = 2.0, slow_ms: float = 5.0, weight: float = 0.1) -> None:
        if not 0 < fast_ms <= slow_ms:
            raise ValueError(f"fast_ms is {fast_ms} and slow_ms {slow_ms}: take 0 < fast_ms <= slow_ms")
        self._fast_ms = fast_ms
        self._slow_ms = slow_ms
        self._weight = weight
        self.mean_ms = 0.0
        self.is_fast = True

    def took(self, elapsed_ns: int) -> None:
        """A commit took so long."""
        self.mean_ms += self._weight * (elapsed_ns / _NS_PER_MS - self.mean_ms)
        if self.mean_ms > self._slow_ms:
            self.is_fast = False
        elif self.mean_ms < self._fast_ms:
            self.is_fast = True
