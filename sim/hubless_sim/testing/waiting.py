"""How the runtimes of a worker wait in virtual time: asyncio's loop, trio's clock, and a queue for plain functions.

They are those of real workers in all else (`hubless_agents.asyncio_runtime` and its neighbours).
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from hubless_agents.runtimes import Task
from hubless_sim.testing.strands import ProcessClock, RealWorldError, Strand, Unwound, current_strand

SpawnStrand = Callable[[Callable[[], None]], None]


def here() -> Strand:
    """The strand that runs this."""
    strand = current_strand()
    if strand is None:
        raise RuntimeError("this runs outside of a simulated process, which alone can wait in virtual time")
    return strand


class _Selector:
    """Waits for time, and for whoever calls ``call_soon_threadsafe``; there is nothing else to wait for."""

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            here().wait(None, wakeable=True)
        elif timeout > 0:
            strand = here()
            strand.wait(strand.clock.now_ns + math.ceil(timeout * 1e9), wakeable=True)
        return []

    def close(self) -> None:
        """Nothing is held."""


def _refused(name: str) -> Callable[..., Any]:
    def refuse(*_arguments: Any, **_keywords: Any) -> NoReturn:
        raise RealWorldError(
            f"loop.{name}: there are no sockets and no processes in a simulated mesh; put a fake in the place of what "
            "talks to the outside, for instance with pytest's monkeypatch"
        )

    return refuse


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop of a simulated process. What asyncio runs in threads runs in strands of the process."""

    def __init__(self, clock: ProcessClock, wake: Callable[[], None], spawn: SpawnStrand) -> None:
        super().__init__()
        self._clock = clock
        self._wake = wake
        self._spawn = spawn
        self._selector = _Selector()

    def time(self) -> float:
        """Virtual time, in s."""
        return self._clock.now_ns / 1e9

    def discard(self) -> None:
        """Close all coroutines that are left, quietly, and the loop."""
        self.set_exception_handler(lambda _loop, _problem: None)
        for task in asyncio.all_tasks(self):
            with suppress(BaseException):  # what users' code does on its way out is its own affair
                task.get_coro().close()
        self.close()

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run a plain function in a strand of its own, whatever the executor; `asyncio.to_thread` comes here."""
        future: asyncio.Future[Any] = self.create_future()

        def settle(act: Callable[[Any], None], value: Any) -> None:
            if not future.done():
                act(value)

        def main() -> None:
            try:
                value = func(*args)
            except Unwound:
                raise
            except BaseException as error:  # noqa: BLE001 it belongs to whoever waits for the future
                self.call_soon_threadsafe(settle, future.set_exception, error)
            else:
                self.call_soon_threadsafe(settle, future.set_result, value)

        self._spawn(main)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """Nothing but time is waited for."""

    def _write_to_self(self) -> None:
        self._wake()


for _name in (
    "add_reader",
    "add_writer",
    "connect_accepted_socket",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_sendall",
    "subprocess_exec",
    "subprocess_shell",
):
    setattr(VirtualLoop, _name, _refused(_name))


class WaitingJobs:
    """The queue of the plain functions of a process; its ``get`` waits in virtual time."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._jobs: deque[Task] = deque()

    def get(self) -> Task:
        """The next job, as soon as there is one."""
        while not self._jobs:
            here().wait(None, wakeable=True)
        return self._jobs.popleft()

    def put(self, job: Task) -> None:
        """Called by the process, from outside of its strands."""
        self._jobs.append(job)
        self._wake()


def run_trio(clock: ProcessClock) -> Callable[..., object]:
    """`trio.run` under virtual time."""
    import trio  # noqa: PLC0415 only for agents that ask for it

    class VirtualClock(trio.abc.Clock, trio.abc.Instrument):
        """Trio asks how long it may sleep; the strand waits that long here, and what trio then sleeps is nothing.

        It waits only after trio has looked for what other threads sent it and found nothing to do.
        """

        def __init__(self) -> None:
            self._has_looked = False

        def start_clock(self) -> None:
            """It runs already."""

        def current_time(self) -> float:
            return clock.now_ns / 1e9

        def before_task_step(self, _task: trio.lowlevel.Task) -> None:
            self._has_looked = False

        def deadline_to_sleep_time(self, deadline: float) -> float:
            if deadline <= self.current_time():
                return 0
            if not self._has_looked:
                self._has_looked = True
                return 0
            due_ns = None if math.isinf(deadline) else max(math.ceil(deadline * 1e9), clock.now_ns + 1)
            here().wait(due_ns, wakeable=True)
            self._has_looked = False
            return 0

    virtual = VirtualClock()
    return functools.partial(trio.run, clock=virtual, instruments=[virtual])
