"""Knobs of the supervisor, each with its unit, its range and the thought behind its default."""

from typing import Final

import msgspec

_RANGES: Final[dict[str, tuple[float, float]]] = {
    "workers": (1, 256),
    "spares": (0, 64),
    "queue_per_agent": (1, 1_000_000),
    "max_payload_bytes": (64, 64 * 1024 * 1024),
    "prefetch_max": (0, 256),
    "prefetch_horizon_ms": (0, 1_000),
    "prefetch_payload_bytes": (0, 16 * 1024 * 1024),
    "recall_after_ms": (0.1, 10_000),
    "start_timeout_s": (0.1, 3_600),
    "starts_at_once": (1, 64),
    "kill_grace_ms": (1, 60_000),
    "memory_check_ms": (5, 10_000),
    "max_kills": (1, 1_000),
    "kill_window_s": (0.1, 86_400),
    "backoff_base_ms": (1, 600_000),
    "backoff_max_ms": (1, 3_600_000),
    "quarantine_base_ms": (1, 3_600_000),
    "quarantine_max_ms": (1, 86_400_000),
    "failing_after": (1, 1_000),
}


class SupervisorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Validated when made: ValueError names the field, the value and the range.

    workers, spares          processes that take tasks; warm ones that wait for one of those to die
    queue_per_agent          tasks waiting here per agent; one more is refused as `overloaded`
    max_payload_bytes        input and output of a task, as JSON text
    prefetch_*               a busy worker is given further tasks while the expected work in it stays below the
                             horizon: depth = min(max, horizon / mean service time); larger payloads never
    recall_after_ms          prefetched tasks are taken back when the task before them runs longer than this
    start_timeout_s          import of the user's module
    starts_at_once           processes that may be starting at the same time (imports compete for the cores)
    kill_grace_ms            how long a killed process may take to be gone before it is written off
    memory_check_ms          interval of the check of a running task's resident memory
    max_kills, kill_window_s restart intensity: more kills of one agent within the window quarantine it
    quarantine_*             first quarantine; doubles with each failed trial up to the maximum (jitter ±20 %)
    backoff_*                pause after a failed start, doubling (jitter ±20 %)
    failing_after            failed starts in a row, with no worker left, after which offers are withdrawn
    """

    workers: int = 1
    spares: int = 1
    queue_per_agent: int = 1_024
    max_payload_bytes: int = 1024 * 1024
    prefetch_max: int = 16
    prefetch_horizon_ms: float = 2.0
    prefetch_payload_bytes: int = 64 * 1024
    recall_after_ms: float = 5.0
    start_timeout_s: float = 60.0
    starts_at_once: int = 2
    kill_grace_ms: int = 2_000
    memory_check_ms: int = 50
    max_kills: int = 5
    kill_window_s: float = 30.0
    backoff_base_ms: int = 250
    backoff_max_ms: int = 30_000
    quarantine_base_ms: int = 5_000
    quarantine_max_ms: int = 300_000
    failing_after: int = 3

    def __post_init__(self) -> None:
        """Check every knob against its range."""
        for field, (low, high) in _RANGES.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ValueError(f"SupervisorConfig.{field}={value!r}: choose a value from {low} to {high}")
