"""One breaker: what it saw lately, its state, and when it moves. `breakers.py` decides whether it may open.

The rule (Breakers in the design): it fails when the 99 % Wilson lower bound of its failure rate, calls in flight
that are too old counted as failures, exceeds the pool's median rate by the margin.
"""

import random

import msgspec

from hubless.guard.config import BreakerConfig
from hubless.guard.permit import Scope, State
from hubless.guard.states import TRANSITIONS, Cause, Evidence
from hubless.guard.wilson import wilson_lower
from hubless.guard.window import Window

_MAX_DOUBLINGS = 40


class Moved(msgspec.Struct, frozen=True):
    """A breaker changed its state."""

    scope: Scope
    previous: State
    state: State
    cause: Cause
    at_ns: int
    reason: str


class BreakerView(msgspec.Struct, frozen=True):
    """One breaker as `mesh breakers` shows it. Rates and bounds are 0..1, times are the driver's clock."""

    scope: Scope
    state: State
    calls: int
    """Outcomes in the window plus calls in flight that are too old."""
    failures: int
    overdue: int
    failure_rate: float
    wilson_bound: float
    held: bool
    """It should be open, but the pool could not spare the peer."""
    since_ns: int
    next_probe_ns: int | None
    reason: str


class Breaker:
    """State, window, backoff and probe lease of one scope."""

    __slots__ = (
        "_closed_ns",
        "_config",
        "_streak",
        "evidence",
        "evidence_ns",
        "fresh_serial",
        "held",
        "lease_serial",
        "lease_until_ns",
        "next_probe_ns",
        "orphan",
        "overdue",
        "reason",
        "scope",
        "since_ns",
        "state",
        "wake_ns",
        "window",
    )

    def __init__(self, scope: Scope, config: BreakerConfig, now_ns: int, serial: int) -> None:
        self._config = config
        self._streak = 0
        self._closed_ns: int | None = None
        self.scope = scope
        self.state = State.CLOSED
        self.since_ns = now_ns
        self.reason = ""
        self.evidence: Evidence | None = None
        self.evidence_ns = 0
        self.orphan = False
        """Its peer was forgotten or left: outcomes still find it, but it moves no more."""
        self.held = False
        self.overdue = 0
        self.fresh_serial = serial
        """Only permits above this serial count: calls from before it was made or last closed are its past."""
        self.next_probe_ns = 0
        self.lease_serial = 0
        """Serial of the permit that is the probe; 0 if none is out."""
        self.lease_until_ns = 0
        self.wake_ns: int | None = None
        """When this breaker wants `Breakers.tick`; kept by `Breakers`."""
        self.window = Window(width_ns=config.bucket_ns, buckets=config.buckets, now_ns=now_ns)

    @property
    def suspect(self) -> bool:
        """Out of its pool, or held in it against the rule."""
        return self.held or self.state is not State.CLOSED

    def tally(self, now_ns: int) -> tuple[int, int]:
        """(failures, calls) of the window now, too old calls included."""
        self.window.advance(now_ns)
        failures = self.window.failures + self.overdue
        return failures, failures + self.window.successes

    def rate(self, now_ns: int) -> float:
        """Failure rate now; 0 without outcomes: a peer that nobody tried is presumed well."""
        failures, calls = self.tally(now_ns)
        return failures / calls if calls else 0.0

    def excess(self, now_ns: int) -> float:
        """How far the Wilson bound lies above the margin; it fails if this exceeds the pool's median."""
        failures, calls = self.tally(now_ns)
        if calls < self._config.min_calls:
            return -1.0
        return wilson_lower(failures, calls) - self._config.margin

    def move(self, cause: Cause, now_ns: int, rng: random.Random, *, serial: int, reason: str) -> Moved:
        """Follows the transition table; the cause must be listed for the state. `serial` is the newest permit's."""
        previous = self.state
        self.state = TRANSITIONS[previous][cause]
        self.since_ns = now_ns
        self.reason = reason
        self.lease_serial = self.lease_until_ns = 0
        self.held = False
        if self.state is State.OPEN:
            self._back_off(previous, now_ns, rng)
        elif self.state is State.CLOSED:
            self.evidence = None
            self._closed_ns = now_ns
            self.window.clear()
            self.overdue = 0
            self.fresh_serial = serial
        return Moved(self.scope, previous, self.state, cause, now_ns, reason)

    def grant_lease(self, serial: int, now_ns: int, rng: random.Random) -> None:
        """Makes the permit with this serial the one probe."""
        self.lease_serial = serial
        self.lease_until_ns = now_ns + _jittered(self._config.lease_ns, self._config.jitter, rng)

    def end_lease(self) -> None:
        """The probe told nothing: the next one may go."""
        self.lease_serial = self.lease_until_ns = 0

    def view(self, now_ns: int) -> BreakerView:
        """A frozen picture of it."""
        failures, calls = self.tally(now_ns)
        return BreakerView(
            scope=self.scope,
            state=self.state,
            calls=calls,
            failures=failures,
            overdue=self.overdue,
            failure_rate=failures / calls if calls else 0.0,
            wilson_bound=wilson_lower(failures, calls),
            held=self.held,
            since_ns=self.since_ns,
            next_probe_ns=self.next_probe_ns if self.state is State.OPEN else None,
            reason=self.reason,
        )

    def _back_off(self, previous: State, now_ns: int, rng: random.Random) -> None:
        config = self._config
        calm = self._closed_ns is None or now_ns - self._closed_ns >= config.backoff_max_ns
        if previous is State.CLOSED and calm:
            self._streak = 0
        else:
            self._streak = min(self._streak + 1, _MAX_DOUBLINGS)
        wait_ns = min(config.backoff_max_ns, config.backoff_ns << self._streak)
        self.next_probe_ns = now_ns + _jittered(wait_ns, config.jitter, rng)


def _jittered(span_ns: int, jitter: float, rng: random.Random) -> int:
    """A uniform draw from [(1 - jitter) * span, span]: never above the bound."""
    return max(1, int(span_ns * (1.0 - jitter * rng.random())))
