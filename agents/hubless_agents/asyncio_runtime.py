"""`async def` agents on asyncio (and so anyio): one loop, a task for each job."""

import asyncio
import threading
from collections import deque
from typing import Any

from .runtimes import Sink


class AsyncioRuntime:
    """See `Runtime`. Jobs that arrive together wake the loop once. `loop` is for who brings one with other time."""

    def __init__(self, sink: Sink, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._sink = sink
        self._loop = asyncio.new_event_loop() if loop is None else loop
        self._inbox: deque[Any] = deque()
        self._woken = False
        self._thread: int | None = None
        self._tasks: dict[Any, asyncio.Task[None]] = {}

    def run(self) -> None:
        self._thread = threading.get_ident()
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def submit(self, job: Any) -> None:
        # Callers hold the worker's lock; `_start_all` clears the flag before it empties the inbox.
        self._inbox.append(job)
        if not self._woken:
            self._woken = True
            if threading.get_ident() == self._thread:  # one job follows another: nobody is to be woken
                self._loop.call_soon(self._start_all)
            else:
                self._loop.call_soon_threadsafe(self._start_all)

    def cancel(self, job: Any) -> None:
        self._loop.call_soon_threadsafe(self._cancel, job)

    def _start_all(self) -> None:
        self._woken = False
        while self._inbox:
            job = self._inbox.popleft()
            self._tasks[job] = self._loop.create_task(self._run_job(job))

    def _cancel(self, job: Any) -> None:
        task = self._tasks.get(job)
        if task is not None:
            task.cancel()

    async def _run_job(self, job: Any) -> None:
        try:
            positional, keywords = job.arguments()
            value = await job.bound.function(*positional, **keywords)
        except BaseException as error:  # noqa: BLE001 - an agent's SystemExit or cancellation must not end the loop
            self._sink.raised(job, error)
        else:
            self._sink.returned(job, value)
        finally:
            self._tasks.pop(job, None)
