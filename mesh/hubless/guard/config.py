"""Knobs of the breakers, with the formula beside each."""

import msgspec

_MS = 1_000_000
_S = 1_000_000_000


class BreakerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Validated when made; raises ValueError naming the field."""

    window_ns: int = 10 * _S
    """How far back outcomes count."""
    buckets: int = 10
    """Steps in which the window slides: memory per scope is 2 * buckets integers."""
    margin: float = 0.10
    """A breaker opens when the 99 % Wilson lower bound exceeds the pool's median rate by this."""
    min_calls: int = 5
    """Outcomes needed before the rate is judged: under 5, one failure alone puts Wilson's bound above 10 points."""
    max_open_share: float = 0.5
    """Peers out / peers in the pool, after adding the candidate, may not exceed this."""
    panic_share: float = 0.5
    """Suspect peers / peers in the pool above this: the node distrusts itself. At least max_open_share."""
    backoff_ns: int = 1 * _S
    """First wait before a probe; the n-th reopening in a row waits min(backoff_max_ns, backoff_ns * 2**n)."""
    backoff_max_ns: int = 60 * _S
    """Longest wait; also how long a breaker must stay closed for its reopenings to be forgotten."""
    jitter: float = 0.5
    """Waits and leases are multiplied by a uniform draw from [1 - jitter, 1]: never above the bound."""
    lease_ns: int = 2 * _S
    """How long a probe's permit may stay unused; once started, its lease ends when its call is due."""
    age_factor: float = 4.0
    """A call in flight counts as failing after age_factor * p99 of its (peer, agent), or at its deadline."""
    age_floor_ns: int = 1 * _S
    """Younger calls never count as failing, unless their own deadline has passed."""
    granularity_ns: int = 50 * _MS
    """Rounding of a call's due time: how late an old call may be noticed."""
    min_weight: float = 0.05
    """No peer's weight falls below this."""
    hint_ttl_ns: int = 30 * _S
    """How long a hint from gossip lowers a weight."""
    max_scopes: int = 65_536
    """(peer, agent) pairs kept; calls of others are let through unjudged and counted."""
    max_flights: int = 131_072
    """Calls in flight whose age is watched; others are judged by their outcome only, and counted."""

    def __post_init__(self) -> None:
        for field in ("window_ns", "backoff_ns", "lease_ns", "age_floor_ns", "granularity_ns", "hint_ttl_ns"):
            _need(getattr(self, field) > 0, field, getattr(self, field), "positive")
        for field in ("buckets", "min_calls", "max_scopes", "max_flights"):
            _need(getattr(self, field) >= 1, field, getattr(self, field), "at least 1")
        for field in ("margin", "jitter"):
            _need(0.0 <= getattr(self, field) < 1.0, field, getattr(self, field), "in [0, 1)")
        _need(0.0 < self.min_weight <= 1.0, "min_weight", self.min_weight, "in (0, 1]")
        _need(0.0 < self.max_open_share < 1.0, "max_open_share", self.max_open_share, "in (0, 1)")
        _need(
            self.max_open_share <= self.panic_share < 1.0,
            "panic_share",
            self.panic_share,
            f"in [max_open_share, 1), here [{self.max_open_share}, 1)",
        )
        _need(
            self.backoff_max_ns >= self.backoff_ns,
            "backoff_max_ns",
            self.backoff_max_ns,
            "at least backoff_ns",
        )
        _need(self.age_factor >= 1.0, "age_factor", self.age_factor, "at least 1")
        _need(
            self.buckets <= self.window_ns,
            "buckets",
            self.buckets,
            "so few that a bucket is at least 1 ns wide",
        )

    @property
    def bucket_ns(self) -> int:
        """Width of one bucket of the window."""
        return self.window_ns // self.buckets


def _need(holds: bool, field: str, value: float, must_be: str) -> None:
    if not holds:
        raise ValueError(f"{field} must be {must_be}, got {value}")
