"""The heap of a world: what happens next, in the order of (time in ns, sequence number).

Equal times keep the order in which they were asked for, so that a run is a pure function of its inputs.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Act = Callable[[Any, Any, Any], None]
Entry = tuple[int, int, Act, Any, Any, Any]


class Calendar:
    """Virtual time, and what is to come."""

    __slots__ = ("_heap", "events", "now_ns", "sequence")

    def __init__(self) -> None:
        self.now_ns = 0
        self.events = 0
        """How many entries have come up."""
        self.sequence = 0
        """The number of the last entry made."""
        self._heap: list[Entry] = []

    def push(self, at_ns: int, act: Act, a: Any, b: Any, c: Any) -> None:
        """Call ``act(a, b, c)`` at this time, which must not have passed."""
        self.sequence += 1
        heappush(self._heap, (at_ns, self.sequence, act, a, b, c))

    def after(self, delay_ns: int, act: Act, a: Any, b: Any) -> None:
        """Call ``act(a, b, None)`` after ``delay_ns``."""
        self.push(self.now_ns + delay_ns, act, a, b, None)

    def run_until(self, end_ns: int) -> None:
        """Run everything up to and including ``end_ns``; the clock then stands there."""
        heap = self._heap
        count = 0
        while heap and heap[0][0] <= end_ns:
            self.now_ns, _, act, a, b, c = heappop(heap)
            act(a, b, c)
            count += 1
        self.events += count
        self.now_ns = max(self.now_ns, end_ns)
