"""How far this node trusts itself: Lifeguard's local health score and the clock of its waking hours."""

from __future__ import annotations


class Health:
    """Lifeguard section IV-A: a score in 0..maximum; score + 1 multiplies probe interval and timeout."""

    __slots__ = ("_maximum", "score")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self.score = 0

    @property
    def multiplier(self) -> int:
        return self.score + 1

    def better(self) -> None:
        """A probe was answered."""
        if self.score:
            self.score -= 1

    def worse(self, by: int = 1) -> None:
        """Relays stayed silent, a failed probe had none, this node had to refute, or it was blocked."""
        self.score = min(self._maximum, self.score + by)


class WakingClock:
    """Time as far as this node was awake to see it.

    All protocol timers run on it. If `handle` is called long after the deadline it asked for, the node itself
    was blocked (a long garbage collection, a stopped process, a starved host): that time, and a grace in
    which what has queued up meanwhile can be read, does not count. So every probe and every suspicion gets the time
    back at once, and a node that wakes up accuses nobody for its own sleep.
    """

    __slots__ = ("_grace_ns", "_tolerance_ns", "asleep_ns")

    def __init__(self, *, tolerance_ns: int, grace_ns: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._grace_ns = grace_ns
        self.asleep_ns = 0

    def read(self, now_ns: int, asked_ns: int | None) -> tuple[int, int]:
        """(waking time, time just slept or 0). `asked_ns`: the deadline asked for, in the driver's clock."""
        slept = 0
        if asked_ns is not None and now_ns - asked_ns > self._tolerance_ns:
            slept = now_ns - asked_ns
            self.asleep_ns += slept + min(slept, self._grace_ns)
        return now_ns - self.asleep_ns, slept

    def to_driver(self, waking_ns: int) -> int:
        return waking_ns + self.asleep_ns
