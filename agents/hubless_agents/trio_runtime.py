"""`@agent(runtime="trio")`: one trio run, a task with a cancel scope for each job."""

import threading
from typing import Any

import trio

from .runtimes import Sink


class TrioRuntime:
    """See `Runtime`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._scopes: dict[Any, trio.CancelScope] = {}
        self._running = threading.Event()

    def run(self) -> None:
        trio.run(self._serve)

    def submit(self, job: Any) -> None:
        self._soon(self._start, job)

    def cancel(self, job: Any) -> None:
        self._soon(self._cancel, job)

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._token = trio.lowlevel.current_trio_token()
            self._running.set()
            await trio.sleep_forever()

    def _soon(self, function: Any, job: Any) -> None:
        self._running.wait()
        assert self._token is not None
        self._token.run_sync_soon(function, job)

    def _start(self, job: Any) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._run_job, job)

    def _cancel(self, job: Any) -> None:
        scope = self._scopes.get(job)
        if scope is not None:
            scope.cancel()

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
