"""The clocks of one machine: a monotonic one that may run fast or slow, and a wall clock that may jump.

A machine's monotonic clock agrees with virtual time until it drifts.  Its wall clock is the monotonic one and
an offset; a process is told the wall clock at its start only, so a jump shows at the next start.
"""

WALL_START_NS = 1_800_000_000 * 1_000_000_000
"""What a wall clock without an offset says at virtual time 0, in ns since 1970."""

_MILLION = 1_000_000


class Clock:
    """Maps virtual time to a machine's own and back."""

    __slots__ = ("_from_local_ns", "_from_ns", "_ppm", "is_true", "wall_offset_ns")

    def __init__(self) -> None:
        self._from_ns = 0
        self._from_local_ns = 0
        self._ppm = 0
        self.wall_offset_ns = 0
        self.is_true = True
        """Whether the machine's time is virtual time: then there is nothing to convert."""

    @property
    def ppm(self) -> int:
        """How much faster than virtual time the clock runs, in parts per million."""
        return self._ppm

    def drift(self, now_ns: int, ppm: int) -> None:
        """From now on run this much faster (slower, if negative) than virtual time; at most half as fast."""
        if not -_MILLION // 2 <= ppm <= _MILLION:
            raise ValueError(f"ppm: {ppm} is no drift; allowed is {-_MILLION // 2} to {_MILLION}")
        self._from_local_ns = self.local_ns(now_ns)
        self._from_ns = now_ns
        self._ppm = ppm
        self.is_true = ppm == 0 and self._from_local_ns == now_ns

    def local_ns(self, now_ns: int) -> int:
        """What the monotonic clock says at this virtual time."""
        return self._from_local_ns + (now_ns - self._from_ns) * (_MILLION + self._ppm) // _MILLION

    def virtual_ns(self, local_ns: int) -> int:
        """The first virtual time at which the monotonic clock says this, or more."""
        rate = _MILLION + self._ppm
        return self._from_ns - (self._from_local_ns - local_ns) * _MILLION // rate

    def wall_ns(self, now_ns: int) -> int:
        """What the wall clock says at this virtual time, in ns since 1970."""
        return WALL_START_NS + self.local_ns(now_ns) + self.wall_offset_ns
