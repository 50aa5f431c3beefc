"""`@agent(runtime="trio")`: one trio run, a task with a cancel scope for each job."""

import threading
from collections.abc import Callable
from typing import Any

import trio

from .runtimes import Sink


class TrioRuntime:
    """See `Runtime`. `run_trio` is for who brings a clock with other time."""

    def __init__(self, sink: Sink, run_trio: Callable[..., object] = trio.run) -> None:
        self._sink = sink
        self._run_trio = run_trio
        self._run: tuple[trio.lowlevel.TrioToken, trio.Nursery] | None = None
        self._scopes: dict[Any, trio.CancelScope] = {}
        self._running = threading.Event()

    def run(self) -> None:
        self._run_trio(self._serve)

    def submit(self, job: Any) -> None:
        self._soon(self._start, job)

    def cancel(self, job: Any) -> None:
        self._soon(self._cancel, job)

    def stop(self) -> None:
        """Cancel all jobs and end the run. Real workers are killed; this is for who runs several in one process."""
        self._soon(self._cancel_all, None)

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            self._run = (trio.lowlevel.current_trio_token(), nursery)
            self._running.set()
            await trio.sleep_forever()

    def _soon(self, function: Callable[[trio.Nursery, Any], None], job: Any) -> None:
        self._running.wait()
        if self._run is not None:
            token, nursery = self._run
            token.run_sync_soon(function, nursery, job)

    def _start(self, nursery: trio.Nursery, job: Any) -> None:
        nursery.start_soon(self._run_job, job)

    def _cancel(self, _: trio.Nursery, job: Any) -> None:
        scope = self._scopes.get(job)
        if scope is not None:
            scope.cancel()

    def _cancel_all(self, nursery: trio.Nursery, _: Any) -> None:
        nursery.cancel_scope.cancel()

    async def _run_job(self, job: Any) -> None:
        with trio.CancelScope() as scope:
            self._scopes[job] = scope
            try:
                positional, keywords = job.arguments()
                value = await job.bound.function(*positional, **keywords)
            except BaseException as error:  # noqa: BLE001 - nothing of an agent may end the nursery
                self._sink.raised(job, error)
            else:
                self._sink.returned(job, value)
            finally:
                del self._scopes[job]
