"""The third rung and the pause after failed starts: pure bookkeeping over times.

Restart intensity follows Erlang/OTP's supervisors: more than `max_kills` kills within `kill_window_s` and
the agent is set aside. The way back is a breaker's half-open state: one single task is tried.
"""

import enum
import random
from collections import deque

from .config import SupervisorConfig
from .marks import sometimes

MS = 1_000_000
_FORGIVEN_AFTER_WINDOWS = 10  # so long after a quarantine the next one starts small again


class Standing(enum.Enum):
    """GOOD: takes tasks. QUARANTINED: none until a time. TRIAL: one single task, which decides."""

    GOOD = "good"
    QUARANTINED = "quarantined"
    TRIAL = "trial"


def doubled_ms(base_ms: int, level: int, max_ms: int) -> int:
    """base, 2 base, 4 base, ... up to max; `level` counts from 0."""
    return min(base_ms << min(level, 30), max_ms)


def jittered_ns(pause_ms: int, rng: random.Random) -> int:
    """The pause spread over ±20 %, so that nodes with the same trouble do not move in step."""
    return int(pause_ms * MS * rng.uniform(0.8, 1.2))


class Intensity:
    """Kills of one agent on this node, and what follows from them."""

    __slots__ = ("_config", "_kills_ns", "_level", "_rng", "standing", "until_ns")

    def __init__(self, config: SupervisorConfig, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self._kills_ns: deque[int] = deque(maxlen=config.max_kills)
        self._level = 0
        self.standing = Standing.GOOD
        self.until_ns = 0

    def allows(self, given: int) -> bool:
        """May one more task be given to a worker, while `given` are with workers?"""
        if self.standing is Standing.GOOD:
            return True
        return self.standing is Standing.TRIAL and given == 0

    def kill(self, now_ns: int, *, at_once: bool = False) -> bool:
        """Count a kill; True if it put the agent into quarantine (`at_once`: the contract asked for it)."""
        if self.standing is Standing.QUARANTINED:
            return False
        window_ns = int(self._config.kill_window_s * 1e9)
        full = len(self._kills_ns) == self._config.max_kills
        exceeded = full and now_ns - self._kills_ns[0] <= window_ns
        self._kills_ns.append(now_ns)
        if not (exceeded or at_once or self.standing is Standing.TRIAL):
            return False
        if self.standing is Standing.TRIAL:
            sometimes("an agent failed its trial")
        if now_ns - self.until_ns > _FORGIVEN_AFTER_WINDOWS * window_ns:
            self._level = 0
        pause_ms = doubled_ms(self._config.quarantine_base_ms, self._level, self._config.quarantine_max_ms)
        self._level += 1
        self.standing = Standing.QUARANTINED
        self.until_ns = now_ns + jittered_ns(pause_ms, self._rng)
        return True

    def expired(self) -> None:
        """The quarantine's time is over: the next task is the trial."""
        self.standing = Standing.TRIAL

    def survived(self) -> bool:
        """A task ended without harm to its process; True if that was the trial."""
        if self.standing is not Standing.TRIAL:
            return False
        self.standing = Standing.GOOD
        self._kills_ns.clear()
        return True


class StartBackoff:
    """Consecutive failed starts and the time before which no other is made."""

    __slots__ = ("_config", "_rng", "consecutive", "not_before_ns")

    def __init__(self, config: SupervisorConfig, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self.consecutive = 0
        self.not_before_ns = 0

    def failed(self, now_ns: int) -> None:
        pause_ms = doubled_ms(self._config.backoff_base_ms, self.consecutive, self._config.backoff_max_ms)
        self.consecutive += 1
        self.not_before_ns = now_ns + jittered_ns(pause_ms, self._rng)

    def worked(self) -> None:
        self.consecutive = 0
        self.not_before_ns = 0
