"""Threads that run only while the world waits for them, so that users' code takes virtual time wherever it waits.

One of them runs at a time, from where it last waited to where it waits next. Which one and when is the world's choice:
the operating system has no say in the order of anything. A strand whose process is gone never goes on; its stack is
unwound when the world has ended, and not before.
"""

from __future__ import annotations

import ctypes
import math
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress

_STEP_NS, _LONGEST_STEP_NS = 100_000, 20_000_000
_ENDING_S = 5.0
_READS = 1_000
_REFUSALS = 100


class Unwound(BaseException):
    """Raised where a strand waits once its world has ended; never within the simulated time."""


class StuckAgentError(RuntimeError):
    """An agent computes and computes, and virtual time cannot go on. In a real mesh its deadline would kill it."""


class RealWorldError(RuntimeError):
    """An agent reaches for sockets or processes, which a simulated mesh does not have."""


class ProcessClock:
    """The time of one simulated worker process: that of its node's machine."""

    __slots__ = ("epoch_ns", "now_ns")

    def __init__(self, now_ns: int, epoch_ns: int) -> None:
        self.now_ns = now_ns
        self.epoch_ns = epoch_ns
        """What the wall clock is ahead, in ns since 1970."""


class Strand:
    """One thread of a simulated process.

    ``die`` ends the process with these words, as `os._exit` does. ``busy_s`` is how long, in real time, it may run
    without waiting.
    """

    def __init__(
        self,
        name: str,
        main: Callable[[], None],
        clock: ProcessClock,
        *,
        die: Callable[[str], None],
        busy_s: float,
    ) -> None:
        self.name = name
        self.clock = clock
        self.is_over = False
        self.due_ns: int | None = clock.now_ns
        """When it wants to go on; None while it waits to be woken."""
        self._main = main
        self._die = die
        self._busy_s = busy_s
        self.is_wakeable = False
        """Whether it waits for something to happen, and not for time alone."""
        self._is_ending = False
        self._refused = 0
        self._reads = 0
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread: threading.Thread | None = None

    # The world's side

    def run(self) -> None:
        """Let it run until it waits or ends. Raises StuckAgentError when it does neither."""
        self.due_ns = None
        if self._thread is None:
            self._thread = threading.Thread(target=self._bootstrap, name=self.name, daemon=True)
            start_thread(self._thread)
        else:
            self._go.release()
        if not self._back.acquire(timeout=-1 if math.isinf(self._busy_s) else self._busy_s):
            raise StuckAgentError(self._stuck())

    def wake(self) -> None:
        """Have it go on now, if it waits for something to happen; one that sleeps sleeps on."""
        if self.is_wakeable:
            self.due_ns = self.clock.now_ns

    def end(self) -> None:
        """Unwind its stack, now that nobody looks any more. What it does about that is its own affair."""
        self._is_ending = True
        if self._thread is not None and not self.is_over:
            self._go.release()
            self._back.acquire(timeout=_ENDING_S)

    # Its own side

    def wait(self, due_ns: int | None, *, wakeable: bool) -> None:
        """Give way until then (None: until it is woken)."""
        if self._is_ending:
            self._refuse()
        self._reads = 0
        self.due_ns = due_ns
        self.is_wakeable = wakeable
        self._back.release()
        self._go.acquire()
        self.is_wakeable = False
        if self._is_ending:
            self._refuse()

    def sleep(self, seconds: float) -> None:
        """What `time.sleep` does in a process."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self.wait(self.clock.now_ns + round(seconds * 1e9), wakeable=False)

    def read_clock(self) -> ProcessClock:
        """The clock. Whoever does nothing but look at it sees it go on all the same, in growing steps."""
        self._reads += 1
        if self._reads > _READS:
            reads = self._reads
            step_ns = min((reads - _READS) * _STEP_NS, _LONGEST_STEP_NS)
            self.wait(self.clock.now_ns + step_ns, wakeable=False)
            self._reads = reads
        return self.clock

    def die(self, text: str) -> None:
        """End the whole process here; this does not return, and no ``finally`` runs."""
        self._die(text)
        self.wait(None, wakeable=False)

    def _refuse(self) -> None:
        self._refused += 1
        if self._refused > _REFUSALS:  # it will not be ended: leave it where it is
            self._back.release()
            while True:
                self._go.acquire()
        raise Unwound

    def _bootstrap(self) -> None:
        _strands[threading.get_ident()] = self
        try:
            with suppress(
                BaseException
            ):  # it is told by whoever gave ``main``; here nobody is left to hear of it
                self._main()
        finally:
            del _strands[threading.get_ident()]
            self.is_over = True
            self._back.release()

    def _stuck(self) -> str:
        ident = self._thread.ident if self._thread is not None else None
        frame = sys._current_frames().get(ident or 0)  # noqa: SLF001 the one way to see another thread's stack
        where = "".join(traceback.format_stack(frame)[-3:]) if frame is not None else ""
        if ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Unwound))
        return (
            f"{self.name} has run for {self._busy_s:g} s of real time without waiting for anything; an agent in a "
            f"simulated mesh must come to an await, a time.sleep or its end (busy_s allows it more). It is at:\n{where}"
        )


start_thread: Callable[[threading.Thread], None] = threading.Thread.start
_strands: dict[int, Strand] = {}


def current_strand() -> Strand | None:
    """The strand that this code runs in; None outside of simulated processes."""
    return _strands.get(threading.get_ident())
