"""A worker process: `python -m hubless_agents.worker TARGET --fd N --parent PID --max-payload BYTES`.

It imports the user's module, sends the contracts of its agents, and serves one private socket. A reader
thread puts tasks into the lane; the runtimes (`runtimes.py`) run them. Each answer is written before the
next task of the lane starts: after a death the supervisor knows what had certainly not started.
"""

import argparse
import faulthandler
import gc
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .context import Context
from .events import AnswerKind, GiveTask, RecallTask
from .failure import DETAIL_LIMIT_CHARS
from .frames import (
    OVERHEAD_BYTES,
    FrameReader,
    decode_order,
    encode_answer,
    encode_ready,
    encode_start_failed,
)
from .lane import Lane
from .loading import load
from .process import die_with_parent
from .runtimes import Runtime, ThreadRuntime
from .signature import Bound, InputError, OutputError, bounds_of

_READ_BYTES = 256 * 1024


class Job:
    """One task in this worker. `stop` is set by the runtime when the task can be cancelled."""

    __slots__ = ("_deadline_s", "bound", "give", "lane_agent", "lane_limit", "order", "started_ns", "stop")

    def __init__(self, order: GiveTask, bound: Bound) -> None:
        self.order = order
        self.give = order.give
        self.bound = bound
        self.lane_agent = bound.contract.name
        self.lane_limit = bound.contract.concurrency
        self.stop: Callable[[], None] | None = None
        self.started_ns = 0
        self._deadline_s = time.monotonic() + order.remaining_ns / 1e9

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Start the clock and decode the payload; InputError if it does not fit."""
        self.started_ns = time.perf_counter_ns()
        task = self.order.assignment
        ends_s = min(self._deadline_s, time.monotonic() + self.bound.contract.deadline_ms / 1000)
        context = Context(
            task=task.task.hex(),
            attempt=task.attempt,
            agent=task.agent,
            failures=task.failures,
            remaining_s=lambda: ends_s - time.monotonic(),
        )
        return self.bound.arguments(task.payload, context)


class Server:
    """The socket, the lane and the runtimes of one worker."""

    def __init__(self, sock: socket.socket, bounds: list[Bound], *, max_payload_bytes: int) -> None:
        self._sock = sock
        self._max_payload_bytes = max_payload_bytes
        self._bounds = {bound.contract.name: bound for bound in bounds}
        self._lane: Lane[Job] = Lane()
        # Guards the lane and the order of writes; held while writing, so that "answered" precedes "started".
        self._lock = threading.Lock()
        self._runtimes = self._start_runtimes()

    def _start_runtimes(self) -> dict[str, Runtime]:
        wanted = {bound.contract.runtime for bound in self._bounds.values()}
        runtimes: dict[str, Runtime] = {}
        if "asyncio" in wanted:
            from .asyncio_runtime import AsyncioRuntime  # noqa: PLC0415 - 35 ms that plain functions do not need

            runtimes["asyncio"] = AsyncioRuntime(self)
        if "trio" in wanted:
            from .trio_runtime import TrioRuntime  # noqa: PLC0415 - only for those who asked for it

            runtimes["trio"] = TrioRuntime(self)
        if "thread" in wanted:
            runtimes["thread"] = ThreadRuntime(self)
        return runtimes

    def serve(self) -> None:
        """Runs until the process ends. The first runtime gets the main thread, which libraries like best."""
        first, *others = self._runtimes.values()
        for runtime in others:
            threading.Thread(target=runtime.run, daemon=True).start()
        threading.Thread(target=self._read, name="hubless-reader", daemon=True).start()
        first.run()

    def _read(self) -> None:
        reader = FrameReader(self._max_payload_bytes + OVERHEAD_BYTES)
        try:
            while chunk := self._sock.recv(_READ_BYTES):
                for frame in reader.feed(chunk):
                    self._order(decode_order(frame))
        except OSError:
            os._exit(0)
        except Exception as error:  # noqa: BLE001 - a reader that ended silently would leave a deaf worker
            sys.stderr.write(f"worker stops, it does not understand its node: {describe(error)[1]}\n")
            os._exit(70)
        os._exit(0)  # the node is gone: nobody waits for what runs here

    def _order(self, order: GiveTask | RecallTask) -> None:
        with self._lock:
            if isinstance(order, RecallTask):
                self._recall(order)
                return
            job = Job(order, self._bounds[order.assignment.agent])
            if self._lane.add(job.give, job) is not None:
                self._runtimes[job.bound.contract.runtime].submit(job)

    def _recall(self, order: RecallTask) -> None:
        if order.give in self._lane.waiting:
            self._write(encode_answer(order.give, "dropped"))
            self._advance(order.give)
        elif order.stop and order.give in self._lane.running:
            job = self._lane.running[order.give]
            self._runtimes[job.bound.contract.runtime].cancel(job)

    def _advance(self, give: int) -> None:
        for _, job in self._lane.remove(give)[1]:
            self._runtimes[job.bound.contract.runtime].submit(job)

    def _write(self, frame: bytes) -> None:
        try:
            self._sock.sendall(frame)
        except OSError:
            os._exit(0)  # as in `_read`

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
        took_ns = time.perf_counter_ns() - job.started_ns
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


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="hubless_agents.worker")
    parser.add_argument("target")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--max-payload", type=int, required=True)
    options = parser.parse_args(arguments)
    die_with_parent(options.parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.set_inheritable(options.fd, False)
    sock = socket.socket(fileno=options.fd)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable()  # a segmentation fault then tells where, on stderr
    try:
        bounds = bounds_of(load(options.target))
        server = Server(sock, bounds, max_payload_bytes=options.max_payload)
    except BaseException as error:  # noqa: BLE001 - the user's module may raise anything, SystemExit too
        sock.sendall(encode_start_failed(*describe(error)))
        raise SystemExit(1) from None
    gc.collect()
    gc.freeze()  # what the import made lives as long as the process: collections need not walk it
    sock.sendall(encode_ready(os.getpid(), tuple(bound.contract for bound in bounds)))
    server.serve()


if __name__ == "__main__":
    main()
