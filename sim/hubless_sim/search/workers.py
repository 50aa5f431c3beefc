"""Processes that do jobs beside each other, and do not outlive the one that made them.

A job is a function of a module and what it is called with. Processes are spawned, so that nothing of this one is in
them; each has the next job waiting while it does one, so that none is ever idle.
"""

import gc
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

PATIENCE_S = 600.0
_AHEAD = 2
_GARBAGE = 50_000
"""How many objects may be more before cycles among them are looked for: what a job leaves behind is small."""
_STOP_S = 5.0


class Job(NamedTuple):
    """What is to be done."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Lost(NamedTuple):
    """Why there is no result of a job: its process ended, or was ended after ``PATIENCE_S``."""

    why: str


class Ended(NamedTuple):
    """A job with its result."""

    job: Job
    result: Any


class Workers(Protocol):
    """Whoever does jobs."""

    @property
    def has_room(self) -> bool:
        """Whether a job would be begun at once, or next."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether all that was given has ended."""
        ...

    def give(self, job: Job) -> None:
        """Have a job done; there must be room."""
        ...

    def wait(self) -> list[Ended]:
        """What has ended since, at least one job; what a job raises is raised here."""
        ...


def employed(count: int) -> AbstractContextManager[Workers]:
    """So many processes, which have ended when the context has. One does its jobs in this process."""
    return _here() if count == 1 else Processes(count)


class Here:
    """Does each job while it is waited for."""

    def __init__(self) -> None:
        self._job: Job | None = None

    @property
    def has_room(self) -> bool:
        return self._job is None

    @property
    def is_idle(self) -> bool:
        return self._job is None

    def give(self, job: Job) -> None:
        self._job = job

    def wait(self) -> list[Ended]:
        job, self._job = self._job, None
        return [Ended(job, job.function(*job.arguments))] if job is not None else []


@contextmanager
def _here() -> Iterator[Workers]:
    yield Here()


class Processes:
    """Does jobs in processes of its own; one that dies is replaced, and its job is lost."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._crew: list[_Worker] = []

    def __enter__(self) -> Self:
        self._crew = [_Worker() for _ in range(self._count)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._crew:
            worker.stop()
        self._crew = []

    @property
    def has_room(self) -> bool:
        return any(len(worker.jobs) < _AHEAD for worker in self._crew)

    @property
    def is_idle(self) -> bool:
        return not any(worker.jobs for worker in self._crew)

    def give(self, job: Job) -> None:
        min(self._crew, key=lambda worker: len(worker.jobs)).give(job)

    def wait(self) -> list[Ended]:
        while not self.is_idle:
            busy = [worker for worker in self._crew if worker.jobs]
            ready = wait([worker.pipe for worker in busy], timeout=1.0)
            heard = [worker for worker in busy if worker.pipe in ready]
            late = [worker for worker in busy if worker not in heard and worker.is_late()]
            ended = [worker.hear() for worker in heard]
            if late:
                ended += [worker.lose(f"did not end within {PATIENCE_S:.0f} s") for worker in late]
            replaced = [worker for worker in self._crew if worker.is_over]
            self._crew = [worker for worker in self._crew if not worker.is_over]
            self._crew += [_Worker(worker.jobs) for worker in replaced]
            if ended:
                return ended
        return []


class _Worker:
    """One process and what it was given, in order; ``jobs`` are those of the one that it replaces."""

    def __init__(self, jobs: deque[Job] | None = None) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        # Ctrl-C reaches all processes of a terminal. It is for this one alone, which then ends the others.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.jobs: deque[Job] = deque()
        self.is_over = False
        self._since = time.monotonic()
        for job in jobs or ():
            self.give(job)

    def give(self, job: Job) -> None:
        if not self.jobs:
            self._since = time.monotonic()
        self.jobs.append(job)
        try:
            self.pipe.send(job)
        except BrokenPipeError:
            self.is_over = True  # and hear() will say so

    def is_late(self) -> bool:
        return time.monotonic() - self._since > PATIENCE_S

    def hear(self) -> Ended:
        """The result of the first job; raises what the job has raised."""
        try:
            result = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(_STOP_S)
            return self.lose(f"ended its process with exit code {self.process.exitcode}")
        self._since = time.monotonic()
        job = self.jobs.popleft()
        if isinstance(result, BaseException):
            raise result
        return Ended(job, result)

    def lose(self, why: str) -> Ended:
        self.stop()
        self.is_over = True
        return Ended(self.jobs.popleft(), Lost(why))

    def stop(self) -> None:
        self.process.kill()
        self.process.join(_STOP_S)
        self.pipe.close()


def _work(pipe: Connection) -> None:
    """Does jobs until there is nobody any more to do them for."""
    gc.set_threshold(_GARBAGE)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            result = job.function(*job.arguments)
        except Exception as error:  # noqa: BLE001 it is raised where the result is waited for
            result = error
        pipe.send(result)


def _end_with_parent() -> None:
    """However the parent ended, and whatever is being done for it."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
