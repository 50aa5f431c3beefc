"""A worker process that is none: the server of real workers, with runtimes that wait in virtual time.

Orders come in and reports go out as the bytes of the private socket. Nothing of it runs but in ``step``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hubless_agents import GiveTask, RecallTask
from hubless_agents.events import PoolEvent
from hubless_agents.frames import (
    OVERHEAD_BYTES,
    FrameReader,
    StartFailed,
    decode_order,
    decode_report,
    encode_give,
    encode_recall,
)
from hubless_agents.runtimes import Runtime, Sink, ThreadRuntime
from hubless_agents.server import Job, Server
from hubless_agents.signature import Bound
from hubless_sim.testing.strands import ProcessClock, Strand, Unwound
from hubless_sim.testing.waiting import VirtualLoop, WaitingJobs, run_trio

_LAST_STEPS = 100

Begin = Callable[[Callable[[], None], Job], None]
"""Have the job begun by what is given, a little later: it has left the line of its worker."""


def _nothing() -> None:
    """There is nothing to tidy up."""


class WorkerProcess:
    """One worker of a simulated node. ``name`` is for people; ``log(line)`` gets what agents log."""

    def __init__(
        self,
        number: int,
        bounds: list[Bound],
        *,
        name: str,
        clock: ProcessClock,
        begin: Begin,
        log: Callable[[str], None],
        max_payload_bytes: int,
        busy_s: float,
    ) -> None:
        self.number = number
        self.name = name
        self.exit: str | None = None
        """How it ended, once it has."""
        self._clock = clock
        self._begin = begin
        self._busy_s = busy_s
        self._written: list[bytes] = []
        self._orders = FrameReader(max_payload_bytes + OVERHEAD_BYTES)
        self._reports = FrameReader(max_payload_bytes + OVERHEAD_BYTES)
        self._strands: list[Strand] = []
        self._doorsteps: list[_Doorstep] = []
        self._server = Server(
            bounds,
            write=self._written.append,
            max_payload_bytes=max_payload_bytes,
            runtime_of=self._doorstep,
            now_ns=lambda: clock.now_ns,
            log=log,
        )

    def order(self, order: GiveTask | RecallTask) -> None:
        """What the node writes to its socket."""
        raw = encode_give(order) if isinstance(order, GiveTask) else encode_recall(order)
        for frame in self._orders.feed(raw):
            self._server.order(decode_order(frame))

    def next_due_ns(self) -> int | None:
        """When ``step`` or ``reports`` has something to do; None while everything in it waits."""
        if self._written:
            return self._clock.now_ns
        return min((strand.due_ns for strand in self._strands if strand.due_ns is not None), default=None)

    def step(self, now_ns: int) -> None:
        """Run what is due, until all of it waits or the process has ended."""
        self._clock.now_ns = now_ns
        while self.exit is None:
            strand = next(
                (one for one in self._strands if one.due_ns is not None and one.due_ns <= now_ns), None
            )
            if strand is None:
                return
            self._run(strand)

    def reports(self) -> list[PoolEvent]:
        """What it wrote to its socket since the last call."""
        raw = b"".join(self._written)
        self._written.clear()
        found = [decode_report(frame, self.number) for frame in self._reports.feed(raw)]
        return [report for report in found if not isinstance(report, StartFailed)]

    def kill(self) -> None:
        """It runs no more; what is in it stays as it is."""
        self.exit = self.exit or "signal SIGKILL"

    def unwind(self) -> None:
        """Let its stacks go, once the world has ended."""
        self.kill()
        for doorstep in self._doorsteps:
            doorstep.stop()
        for strand in list(self._strands):
            strand.end()

    # For its runtimes

    def advance_to(self, now_ns: int) -> None:
        """Set its clock, once the world's has stopped."""
        self._clock.now_ns = max(now_ns, self._clock.now_ns)

    def line_left(self, runtime: _Doorstep, job: Job) -> None:
        """A job's turn has come."""
        self._begin(partial(runtime.begin, job), job)

    def strand(self, what: str, run: Callable[[], None], leave: Callable[[], None] = _nothing) -> Strand:
        """One more main thread of this process, which ends with it; ``leave`` is called when it is unwound."""

        def main() -> None:
            try:
                try:
                    run()
                except Unwound:
                    raise
                except BaseException as error:  # noqa: BLE001 as at the top of a program
                    made.die(_exit_text(error))
            finally:
                leave()

        made = self._strand(what, main)
        return made

    def start(self, strand: Strand) -> None:
        """Run a new thread up to where it first waits."""
        self._run(strand)

    def virtual_loop(self, wake: Callable[[], None]) -> VirtualLoop:
        """The event loop of its asynchronous agents."""
        return VirtualLoop(self._clock, wake, self._spawn)

    def virtual_trio(self) -> Callable[..., object]:
        """What `trio.run` is here."""
        return run_trio(self._clock)

    def _doorstep(self, kind: str, sink: Sink) -> Runtime:
        made = _Doorstep(kind, sink, self)
        self._doorsteps.append(made)
        return made

    def _spawn(self, main: Callable[[], None]) -> None:
        self._strand("a plain function", main)

    def _strand(self, what: str, main: Callable[[], None]) -> Strand:
        name = f"{self.name}, {what}"
        made = Strand(name, main, self._clock, die=self._die, busy_s=self._busy_s)
        self._strands.append(made)
        return made

    def _run(self, strand: Strand) -> None:
        strand.run()
        if strand.is_over:
            self._strands.remove(strand)

    def _die(self, text: str) -> None:
        if self.exit is None:
            self.exit = text


class _Doorstep:
    """Stands before a runtime: a job that leaves the line of its worker begins a little later. See `Runtime`."""

    def __init__(self, kind: str, sink: Sink, process: WorkerProcess) -> None:
        self._kind = kind
        self._sink = sink
        self._process = process
        self._strand: Strand | None = None
        self._runtime: Runtime | None = None
        self._stop: Callable[[], None] | None = None
        self._begun: set[int] = set()

    def run(self) -> None:
        """The process runs what is behind the door, in a strand of its own."""

    def submit(self, job: Job) -> None:
        """Its turn has come."""
        self._process.line_left(self, job)

    def cancel(self, job: Job) -> None:
        """One that has not begun runs all the same, as in a real worker whose loop has not come to it."""
        if self._runtime is not None and job.give in self._begun:
            self._runtime.cancel(job)
            self._wake()

    def begin(self, job: Job) -> None:
        """Run it from now on."""
        if self._runtime is None:
            self._runtime = self._made()
        self._begun.add(job.give)
        self._runtime.submit(job)
        self._wake()

    def stop(self) -> None:
        """Have trio end its run in order, if it will: it does not take it well to be unwound."""
        strand = self._strand
        if self._stop is None or strand is None or not strand.is_wakeable:
            return
        self._stop()
        self._wake()
        for _ in range(_LAST_STEPS):
            if strand.is_over or strand.due_ns is None:
                return
            self._process.advance_to(strand.due_ns)
            strand.run()

    def _made(self) -> Runtime:
        process = self._process
        runtime: Runtime
        match self._kind:
            case "asyncio":
                from hubless_agents.asyncio_runtime import AsyncioRuntime  # noqa: PLC0415 as in a real worker

                loop = process.virtual_loop(self._wake)
                runtime = AsyncioRuntime(self._sink, loop)
                self._strand = process.strand(self._kind, runtime.run, loop.discard)
            case "trio":
                from hubless_agents.trio_runtime import TrioRuntime  # noqa: PLC0415 as in a real worker

                runtime = TrioRuntime(self._sink, process.virtual_trio())
                self._stop = runtime.stop
                self._strand = process.strand(self._kind, runtime.run)
            case _:
                runtime = ThreadRuntime(self._sink, WaitingJobs(self._wake))
                self._strand = process.strand(self._kind, runtime.run)
        process.start(self._strand)
        return runtime

    def _wake(self) -> None:
        if self._strand is not None:
            self._strand.wake()


def _exit_text(error: BaseException) -> str:
    """The end of a process whose main thread has ended with this."""
    if isinstance(error, SystemExit):
        code = error.code
        return f"exit code {code if isinstance(code, int) else 0 if code is None else 1}"
    return "signal SIGINT" if isinstance(error, KeyboardInterrupt) else "exit code 1"
