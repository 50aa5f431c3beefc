"""What an agent may know about the task that it runs."""

import sys
from collections.abc import Callable

from .failure import Failure


def _no_deadline() -> float:
    return float("inf")


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


class Context:
    """Handed to the parameter named `ctx` or annotated `Context`. Without arguments: fit for a unit test.

    task      the task's id, 32 hexadecimal digits, the same for every attempt
    attempt   counts from 1; higher attempts supersede lower ones
    fence     fencing token for outside systems: refuse writes with a lower one than already seen
    failures  what went wrong before: earlier attempts, and answers of this one that were rejected
    """

    __slots__ = ("_remaining_s", "_write", "agent", "attempt", "failures", "task")

    def __init__(
        self,
        *,
        task: str = "0" * 32,
        attempt: int = 1,
        agent: str = "agent",
        failures: tuple[Failure, ...] = (),
        remaining_s: Callable[[], float] = _no_deadline,
        write: Callable[[str], None] = _to_stderr,
    ) -> None:
        self.task = task
        self.attempt = attempt
        self.agent = agent
        self.failures = failures
        self._remaining_s = remaining_s
        self._write = write

    @property
    def fence(self) -> int:
        return self.attempt

    @property
    def deadline(self) -> float:
        """Seconds left for this run; never negative, infinite if there is no deadline."""
        return max(self._remaining_s(), 0.0)

    def log(self, message: str) -> None:
        """Write lines to the node's log, marked with agent and task. Bounded: a flood is cut, not waited for."""
        for line in str(message).splitlines() or [""]:
            self._write(f"[{self.agent} {self.task[:8]}] {line}")
