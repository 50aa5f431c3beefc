"""What was seen lately: outcomes in a sliding window, and how long calls take. Both of fixed size."""

from math import ceil


class Window:
    """Successes and failures of the last `buckets` bucket widths, forgotten a bucket at a time.

    A `now_ns` older than the newest bucket counts into the newest.
    """

    __slots__ = ("_bad", "_bucket", "_ok", "_width_ns", "failures", "successes")

    def __init__(self, *, width_ns: int, buckets: int, now_ns: int) -> None:
        self._width_ns = width_ns
        self._bucket = now_ns // width_ns
        self._ok = [0] * buckets
        self._bad = [0] * buckets
        self.successes = 0
        self.failures = 0

    def succeeded(self, now_ns: int) -> None:
        """One more success."""
        bucket = now_ns // self._width_ns
        if bucket > self._bucket:
            self._slide(bucket)
        self._ok[self._bucket % len(self._ok)] += 1
        self.successes += 1

    def failed(self, now_ns: int) -> None:
        """One more failure."""
        bucket = now_ns // self._width_ns
        if bucket > self._bucket:
            self._slide(bucket)
        self._bad[self._bucket % len(self._bad)] += 1
        self.failures += 1

    def advance(self, now_ns: int) -> None:
        """Forgets what is older than the window."""
        bucket = now_ns // self._width_ns
        if bucket > self._bucket:
            self._slide(bucket)

    def clear(self) -> None:
        """Forgets everything."""
        size = len(self._ok)
        self._ok = [0] * size
        self._bad = [0] * size
        self.successes = self.failures = 0

    def _slide(self, bucket: int) -> None:
        size = len(self._ok)
        for passed in range(self._bucket + 1, min(bucket, self._bucket + size) + 1):
            slot = passed % size
            self.successes -= self._ok[slot]
            self.failures -= self._bad[slot]
            self._ok[slot] = self._bad[slot] = 0
        self._bucket = bucket


_SLOTS = 48
_HALVE_AT = 2048
_REVIEW_EVERY = 64


class Latencies:
    """The age beyond which a call in flight counts as failing, learned from calls that ended.

    A histogram with a slot per power of two of 1.024 us, halved every 2,048 calls, so that old habits fade.
    """

    __slots__ = ("_counts", "_factor", "_floor_ns", "_total", "limit_ns")

    def __init__(self, *, factor: float, floor_ns: int) -> None:
        self._factor = factor
        self._floor_ns = floor_ns
        self._counts = [0] * _SLOTS
        self._total = 0
        self.limit_ns: int | None = None
        """`factor` times the 99 % quantile (upper edge of its slot), at least the floor; None before 64 calls."""

    def add(self, elapsed_ns: int) -> None:
        """A call ended after `elapsed_ns`."""
        slot = (elapsed_ns >> 10).bit_length()
        self._counts[slot if slot < _SLOTS else _SLOTS - 1] += 1
        self._total += 1
        if self._total % _REVIEW_EVERY == 0:
            self._review()

    def _review(self) -> None:
        left = ceil(self._total * 0.01)
        slot = _SLOTS - 1
        while slot > 0 and self._counts[slot] < left:
            left -= self._counts[slot]
            slot -= 1
        self.limit_ns = max(self._floor_ns, int(self._factor * (1 << (slot + 10))))
        if self._total >= _HALVE_AT:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)
