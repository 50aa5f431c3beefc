"""What a worker does with its orders: the lane, the runtimes that run tasks, and their answers.

The process around it (`worker.py`) reads the socket; a simulated one has neither process nor socket. Each answer is
written before the next task of the lane starts: after a death the supervisor knows what had certainly not started.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .context import Context
from .events import AnswerKind, GiveTask, RecallTask
from .failure import DETAIL_LIMIT_CHARS
from .frames import encode_answer
from .lane import Lane
from .runtimes import Runtime, Sink, ThreadRuntime
from .signature import Bound, InputError, OutputError

_MS = 1_000_000
Log = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Where the log lines of agents go in a worker process."""
    sys.stderr.write(line + "\n")


def runtime_of(kind: str, sink: Sink) -> Runtime:
    """The runtime of a contract's `runtime`."""
    if kind == "asyncio":
        from .asyncio_runtime import AsyncioRuntime  # noqa: PLC0415 - 35 ms that plain functions do not need

        return AsyncioRuntime(sink)
    if kind == "trio":
        from .trio_runtime import TrioRuntime  # noqa: PLC0415 - only for those who asked for it

        return TrioRuntime(sink)
    return ThreadRuntime(sink)


class Job:
    """One task in this worker. `stop` is set by the runtime when the task can be cancelled."""

    __slots__ = (
        "_deadline_ns",
        "_log",
        "_now_ns",
        "bound",
        "give",
        "lane_agent",
        "lane_limit",
        "order",
        "started_ns",
        "stop",
    )

    def __init__(self, order: GiveTask, bound: Bound, now_ns: Callable[[], int], log: Log) -> None:
        self.order = order
        self.give = order.give
        self.bound = bound
        self.lane_agent = bound.contract.name
        self.lane_limit = bound.contract.concurrency
        self.stop: Callable[[], None] | None = None
        self.started_ns = 0
        self._now_ns = now_ns
        self._log = log
        self._deadline_ns = now_ns() + order.remaining_ns

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Start the clock and decode the payload; InputError if it does not fit."""
        now_ns = self._now_ns
        self.started_ns = now_ns()
        task = self.order.assignment
        ends_ns = min(self._deadline_ns, self.started_ns + self.bound.contract.deadline_ms * _MS)
        context = Context(
            task=task.task.hex(),
            attempt=task.attempt,
            agent=task.agent,
            failures=task.failures,
            remaining_s=lambda: (ends_ns - now_ns()) / 1e9,
            write=self._log,
        )
        return self.bound.arguments(task.payload, context)


class Server:
    """The lane and the runtimes of one worker.

    `write` takes encoded answers; it must not raise. `runtime_of` makes the runtimes that the agents' contracts name,
    `now_ns` is a monotonic clock, `log` gets the lines of `ctx.log`.
    """

    def __init__(
        self,
        bounds: list[Bound],
        *,
        write: Callable[[bytes], None],
        max_payload_bytes: int,
        runtime_of: Callable[[str, Sink], Runtime] = runtime_of,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        log: Log = to_stderr,
    ) -> None:
        self._write = write
        self._max_payload_bytes = max_payload_bytes
        self._now_ns = now_ns
        self._log = log
        self._bounds = {bound.contract.name: bound for bound in bounds}
        self._lane: Lane[Job] = Lane()
        # Guards the lane and the order of writes; held while writing, so that "answered" precedes "started".
        self._lock = threading.Lock()
        wanted = {bound.contract.runtime for bound in bounds}
        self.runtimes = {
            kind: runtime_of(kind, self) for kind in ("asyncio", "trio", "thread") if kind in wanted
        }

    def order(self, order: GiveTask | RecallTask) -> None:
        """Take what the node asks; called from any thread."""
        with self._lock:
            if isinstance(order, RecallTask):
                self._recall(order)
                return
            job = Job(order, self._bounds[order.assignment.agent], self._now_ns, self._log)
            if self._lane.add(job.give, job) is not None:
                self.runtimes[job.bound.contract.runtime].submit(job)

    def _recall(self, order: RecallTask) -> None:
        if order.give in self._lane.waiting:
            self._write(encode_answer(order.give, "dropped"))
            self._advance(order.give)
        elif order.stop and order.give in self._lane.running:
            job = self._lane.running[order.give]
            self.runtimes[job.bound.contract.runtime].cancel(job)

    def _advance(self, give: int) -> None:
        for _, job in self._lane.remove(give)[1]:
            self.runtimes[job.bound.contract.runtime].submit(job)

    # ---- called by the runtimes -----------------------------------------------------------------------

    def returned(self, job: Job, value: object) -> None:
        """The function ended with a value."""
        try:
            payload = job.bound.encode(value)
        except OutputError as error:
            self._answer(job, "bad_output", message=f"the answer has no JSON form: {error}")
            return
        except BaseException as error:  # noqa: BLE001 - the value's own methods are user code
            self.raised(job, error)
            return
        limit = self._max_payload_bytes
        if len(payload) > limit:
            text = f"the answer has {len(payload)} bytes; the limit is {limit} bytes"
            self._answer(job, "too_large", message=text)
        else:
            self._answer(job, "returned", payload)

    def raised(self, job: Job, error: BaseException) -> None:
        """The function, or the decoding of its input, ended with an exception of any kind."""
        if isinstance(error, InputError):
            self._answer(job, "bad_input", message=f"the input does not fit the function's types: {error}")
            return
        kind: AnswerKind = "out_of_memory" if isinstance(error, MemoryError) else "raised"
        message, detail = describe(error)
        self._answer(job, kind, message=message, detail=detail)

    def _answer(
        self, job: Job, kind: AnswerKind, payload: bytes = b"", *, message: str = "", detail: str = ""
    ) -> None:
        took_ns = self._now_ns() - job.started_ns
        frame = encode_answer(job.give, kind, payload, message=message, detail=detail, took_ns=took_ns)
        with self._lock:
            self._write(frame)
            self._advance(job.give)


def describe(error: BaseException) -> tuple[str, str]:
    """One line and a traceback's tail. The exception's own text is user code and may fail."""
    import traceback  # noqa: PLC0415 - 6 ms that a start can do without

    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - see above
        text = "(its text cannot be made)"
    name = type(error).__name__
    try:
        own_frame = error.__traceback__
        shown = own_frame.tb_next if own_frame is not None and own_frame.tb_next is not None else own_frame
        lines = traceback.format_exception(type(error), error, shown, limit=-30)
        detail = "".join(lines)[-DETAIL_LIMIT_CHARS:]
    except BaseException:  # noqa: BLE001 - see above
        detail = ""
    return (f"{name}: {text}" if text else name), detail
