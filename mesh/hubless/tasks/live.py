"""What an owner knows of an unfinished task beside its row: lost with the owner, and rightly so."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from hubless.placement import Chosen

_MS = 1_000_000
FIRST_RESEND_NS = 1_000 * _MS
LONGEST_RESEND_NS = 8_000 * _MS
_MOST_GATEWAYS = 4
_NOBODY: frozenset[str] = frozenset()


class Phase(Enum):
    """`waiting` for an executor -> `starting` (proposed) -> `running` -> `ending` (proposed) -> one of the first two,
    or finished.
    """

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"


class Live(Struct, gc=False):
    """An unfinished task. `attempt` is the last that was proposed, `chosen` where it runs or is to run.

    `avoid` are the nodes that the next attempt had better not go to. `due_ns` is when an order is repeated, or a
    waiting task tried again. `receipts` are the gateways that want to know when the task is safe. `payload` is kept
    until the task has a row. `unmet_until_ns`: how long to wait for an executor that this node has not met yet.
    """

    task: bytes
    agent: str
    key: bytes
    retries: int
    deadline_ns: int
    phase: Phase = Phase.WAITING
    attempt: int = 0
    chosen: Chosen | None = None
    avoid: frozenset[str] = _NOBODY
    due_ns: int = 0
    resend_after_ns: int = FIRST_RESEND_NS
    unmet_until_ns: int = 0
    gateways: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()
    payload: bytes = b""

    def is_same(self, agent: str, key: str, payload: bytes) -> bool:
        """Whether a submission under this task's id, which has no row yet, is this task."""
        return agent == self.agent and (key.encode() or self.task) == self.key and payload == self.payload

    def tell(self, gateway: str) -> None:
        """A gateway wants the outcome; of too many the first ones are forgotten."""
        if gateway not in self.gateways:
            self.gateways = (*self.gateways, gateway)[-_MOST_GATEWAYS:]
