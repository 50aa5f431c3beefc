"""What the supervisor hears (events) and what it asks for (effects).

Order of effects is the contract. The pool performs those of `PoolEffect`; the node those of `NodeEffect`.
Times are integer nanoseconds of the driver's clock. Workers are numbered by the supervisor, never reused.
"""

from typing import Literal

import msgspec

from .contract import Contract
from .failure import Failure

__all__ = [
    "AgentQuarantined",
    "AgentReleased",
    "AnswerKind",
    "Assignment",
    "DeadlineReached",
    "Drain",
    "Drained",
    "ExitReason",
    "Failed",
    "GiveTask",
    "KillWorker",
    "MeasureMemory",
    "MemoryMeasured",
    "NodeEffect",
    "Offered",
    "OffersChanged",
    "Outcome",
    "PoolEffect",
    "PoolEvent",
    "RecallTask",
    "Report",
    "SpawnWorker",
    "Succeeded",
    "SupervisorEffect",
    "SupervisorEvent",
    "Withdrawn",
    "WorkerAnswered",
    "WorkerExited",
    "WorkerMisbehaved",
    "WorkerReady",
    "WorkersFailing",
]


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """One attempt of one task, given to this node. `task` is 16 bytes; `payload` is JSON text.

    `attempt` is the fencing token and counts from 1. `deadline_ns` is the caller's deadline (driver's
    clock): after it nobody waits for the answer. `failures` are those of earlier attempts.
    """

    task: bytes
    attempt: int
    agent: str
    payload: bytes
    deadline_ns: int
    failures: tuple[Failure, ...] = ()


class Succeeded(msgspec.Struct, frozen=True, gc=False):
    task: bytes
    attempt: int
    payload: bytes


class Failed(msgspec.Struct, frozen=True, gc=False):
    task: bytes
    attempt: int
    failure: Failure


Outcome = Succeeded | Failed


# ---- events -------------------------------------------------------------------------------------------


class Offered(msgspec.Struct, frozen=True, gc=False):
    """A task for this node. It ends in exactly one `Report`, at once if it is refused."""

    assignment: Assignment


class Withdrawn(msgspec.Struct, frozen=True, gc=False):
    """Nobody wants this task's answer any more. Unknown tasks are ignored."""

    task: bytes


class WorkerReady(msgspec.Struct, frozen=True):
    """A worker has imported the user's module; `contracts` is its catalogue."""

    worker: int
    pid: int
    contracts: tuple[Contract, ...]


AnswerKind = Literal["returned", "raised", "out_of_memory", "bad_input", "bad_output", "too_large", "dropped"]
"""How a worker ended a task: with a value; with an exception; with MemoryError; the input did not fit the
function's types (not started); the value is not JSON; the value's JSON is too long; cancelled before it
started (`dropped`) - a task cancelled while it ran counts as `raised`."""


class WorkerAnswered(msgspec.Struct, frozen=True, gc=False):
    """The one answer to the `GiveTask` with the same `give`. `took_ns` is the worker's own measure."""

    worker: int
    give: int
    kind: AnswerKind
    payload: bytes = b""
    message: str = ""
    detail: str = ""
    took_ns: int = 0


ExitReason = Literal["exited", "import_error", "spawn_failed", "protocol"]


class WorkerExited(msgspec.Struct, frozen=True):
    """The process is gone and every answer that it had written has been delivered before this event.

    `message` says how ("exit code 3", "signal SIGSEGV", "ImportError: ..."); `detail` is a traceback's tail
    or the last lines of stderr.
    """

    worker: int
    reason: ExitReason
    message: str = ""
    detail: str = ""


class WorkerMisbehaved(msgspec.Struct, frozen=True):
    """A worker wrote something to its socket that is not of the protocol. Nothing more is read from it."""

    worker: int
    message: str


class MemoryMeasured(msgspec.Struct, frozen=True):
    """Answer to `MeasureMemory`: resident bytes of the worker's process; None where it cannot be known."""

    worker: int
    resident_bytes: int | None


class DeadlineReached(msgspec.Struct, frozen=True):
    """The time of `next_deadline_ns` has come. Handle what the workers sent before it."""


class Drain(msgspec.Struct, frozen=True):
    """Take nothing new, finish what is here, then say `Drained`."""


PoolEvent = WorkerReady | WorkerAnswered | WorkerExited | WorkerMisbehaved | MemoryMeasured
SupervisorEvent = Offered | Withdrawn | PoolEvent | DeadlineReached | Drain


# ---- effects ------------------------------------------------------------------------------------------


class SpawnWorker(msgspec.Struct, frozen=True):
    worker: int


class GiveTask(msgspec.Struct, frozen=True, gc=False):
    """Send the task to the worker. `remaining_ns` is the time left until the task's own deadline."""

    worker: int
    give: int
    assignment: Assignment
    remaining_ns: int


class RecallTask(msgspec.Struct, frozen=True, gc=False):
    """Ask for a task back. Unless it has started the worker answers `dropped`; `stop` cancels a running
    asynchronous one too. The answer to the task still comes, exactly once."""

    worker: int
    give: int
    stop: bool


class KillWorker(msgspec.Struct, frozen=True):
    """SIGKILL to the process group. `WorkerExited` follows after everything it wrote has been delivered."""

    worker: int
    reason: str


class MeasureMemory(msgspec.Struct, frozen=True):
    worker: int


class Report(msgspec.Struct, frozen=True, gc=False):
    """The end of an offered task."""

    outcome: Outcome


class OffersChanged(msgspec.Struct, frozen=True):
    """What this node can run now: a full replacement, sorted by name."""

    contracts: tuple[Contract, ...]


class AgentQuarantined(msgspec.Struct, frozen=True):
    """Rung 3: this agent takes no task here until `until_ns`; then one single try decides."""

    agent: str
    until_ns: int
    failure: Failure


class AgentReleased(msgspec.Struct, frozen=True):
    """The single try succeeded (`trial` False) or may now be made (`trial` True)."""

    agent: str
    trial: bool


class WorkersFailing(msgspec.Struct, frozen=True):
    """A worker could not be started (or died idle). The next start is not before `retry_at_ns`."""

    worker: int
    failure: Failure
    consecutive: int
    retry_at_ns: int


class Drained(msgspec.Struct, frozen=True):
    """After `Drain`: nothing is queued and nothing runs."""


PoolEffect = SpawnWorker | GiveTask | RecallTask | KillWorker | MeasureMemory
NodeEffect = Report | OffersChanged | AgentQuarantined | AgentReleased | WorkersFailing | Drained
SupervisorEffect = PoolEffect | NodeEffect
