"""What a gateway takes in: so many tasks in flight, and an explicit refusal beyond.

Each agent may hold `per_agent` tasks and all together `total`. An agent with reserved slots always finds those,
however busy the others are: what others may share is `total` minus the reservations that are not in use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec

_NO_RESERVATIONS: Final[Mapping[str, int]] = MappingProxyType({})


class AdmissionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Validated when made; raises ValueError naming the field."""

    total: int = 20_000
    """Tasks in flight at this gateway; each holds its payload in memory."""
    per_agent: int = 10_000
    """Tasks in flight per agent, reserved ones included."""
    reserved: Mapping[str, int] = _NO_RESERVATIONS
    """Slots by agent that nobody else can take."""
    retry_base_ms: int = 50
    """A refused caller is told retry_base_ms * (1 + n / limit), n the refusals since a slot last became free:"""
    retry_max_ms: int = 5_000
    """so that callers come back spread out, one limit's worth per base, and never later than this."""

    def __post_init__(self) -> None:
        for field in ("total", "per_agent", "retry_base_ms"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        if self.retry_max_ms < self.retry_base_ms:
            raise ValueError(f"retry_max_ms must be at least retry_base_ms, got {self.retry_max_ms}")
        for agent, slots in self.reserved.items():
            if not 0 <= slots <= self.per_agent:
                raise ValueError(f"reserved[{agent!r}] must be 0..per_agent, got {slots}")
        if sum(self.reserved.values()) > self.total:
            raise ValueError(f"reserved slots must fit into total {self.total}, got {dict(self.reserved)}")


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """The task is counted; call `Admission.finished` once when it is answered."""

    agent: str


class Overloaded(msgspec.Struct, frozen=True, gc=False):
    """The task was not taken and nothing happened. `reason` says which bound was reached."""

    retry_after_ms: int
    reason: str


@dataclass(slots=True)
class AdmissionCounters:
    """What happened since the start."""

    admitted: int = 0
    refused_agent: int = 0
    refused_total: int = 0


class Admission:
    """Tasks in flight at one gateway, per agent and in total."""

    def __init__(self, config: AdmissionConfig | None = None) -> None:
        self._config = config or AdmissionConfig()
        self._in_flight: dict[str, int] = {}
        self._total = 0
        self._unused = sum(self._config.reserved.values())
        self._turned_away = 0
        self.counters = AdmissionCounters()

    @property
    def total(self) -> int:
        """Tasks in flight."""
        return self._total

    def in_flight(self, agent: str) -> int:
        """Tasks of one agent in flight."""
        return self._in_flight.get(agent, 0)

    def admit(self, agent: str) -> Admitted | Overloaded:
        """Takes one task of the agent, or says how long to stay away."""
        config = self._config
        count = self._in_flight.get(agent, 0)
        if count >= config.per_agent:
            self.counters.refused_agent += 1
            return self._refusal(f"{count} tasks of {agent!r} are in flight", config.per_agent)
        has_reserved = count < config.reserved.get(agent, 0)
        if not has_reserved and self._total + self._unused >= config.total:
            self.counters.refused_total += 1
            return self._refusal(f"{self._total} tasks are in flight", config.total)
        self._in_flight[agent] = count + 1
        self._total += 1
        self._unused -= has_reserved
        self.counters.admitted += 1
        return Admitted(agent)

    def finished(self, agent: str) -> None:
        """One admitted task is over; raises ValueError if none was counted."""
        count = self._in_flight.get(agent, 0)
        if not count:
            raise ValueError(f"no task of agent {agent!r} is in flight; pair each finished with an admit")
        if count == 1:
            del self._in_flight[agent]
        else:
            self._in_flight[agent] = count - 1
        self._total -= 1
        self._unused += count <= self._config.reserved.get(agent, 0)
        self._turned_away = 0

    def _refusal(self, reason: str, limit: int) -> Overloaded:
        wait_ms = self._config.retry_base_ms * (limit + self._turned_away) // limit
        self._turned_away += 1
        return Overloaded(min(self._config.retry_max_ms, wait_ms), reason)
