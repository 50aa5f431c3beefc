"""What users' code finds in place of the clocks, of `time.sleep` and of what ends a process, while a mesh is simulated.

Outside of simulated processes every stand-in is what it stands for, so that tests and their tools see no difference.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from hubless_sim.testing.strands import ProcessClock, RealWorldError, Strand, current_strand

_Place = tuple[Any, str]


def _clock(real: Callable[[], Any], read: Callable[[ProcessClock], Any]) -> Callable[[], Any]:
    @functools.wraps(real)
    def stand_in() -> Any:
        strand = current_strand()
        return real() if strand is None else read(strand.read_clock())

    return stand_in


def _otherwise(real: Callable[..., Any], act: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def stand_in(*arguments: Any, **keywords: Any) -> Any:
        strand = current_strand()
        return real(*arguments, **keywords) if strand is None else act(strand, *arguments, **keywords)

    return stand_in


def _exit(strand: Strand, status: int) -> None:
    strand.die(f"exit code {status}")


def _abort(strand: Strand) -> None:
    strand.die("signal SIGABRT")


def _raise_signal(strand: Strand, number: int) -> None:
    strand.die(f"signal {signal.Signals(number).name}")


def _kill(strand: Strand, pid: int, number: int) -> None:
    if pid != os.getpid():
        raise PermissionError(
            f"os.kill({pid}, {number}): an agent in a simulated mesh has no processes but its own; "
            "kill nodes from the test, with mesh.kill"
        )
    _raise_signal(strand, number)


def _start_thread(strand: Strand, thread: threading.Thread) -> None:
    raise RuntimeError(
        f"{strand.name} starts the thread {thread.name!r}, whose order the simulated mesh does not rule: "
        "use asyncio.to_thread, or put something else in its place for the test"
    )


def _connect(strand: Strand, _socket: socket.socket, address: object) -> None:
    _refuse_to_reach(strand, address)


def _look_up(strand: Strand, host: object, *_arguments: object, **_keywords: object) -> None:
    _refuse_to_reach(strand, host)


def _refuse_to_reach(strand: Strand, address: object) -> None:
    raise RealWorldError(
        f"{strand.name} reaches for {address!r}: there is no network in a simulated mesh; put a fake in the place of "
        "what talks to the outside, for instance with pytest's monkeypatch"
    )


STAND_INS: dict[_Place, Callable[..., Any]] = {
    (time, "time"): _clock(time.time, lambda clock: (clock.epoch_ns + clock.now_ns) / 1e9),
    (time, "time_ns"): _clock(time.time_ns, lambda clock: clock.epoch_ns + clock.now_ns),
    (time, "monotonic"): _clock(time.monotonic, lambda clock: clock.now_ns / 1e9),
    (time, "monotonic_ns"): _clock(time.monotonic_ns, lambda clock: clock.now_ns),
    (time, "perf_counter"): _clock(time.perf_counter, lambda clock: clock.now_ns / 1e9),
    (time, "perf_counter_ns"): _clock(time.perf_counter_ns, lambda clock: clock.now_ns),
    (time, "sleep"): _otherwise(time.sleep, Strand.sleep),
    (os, "_exit"): _otherwise(os._exit, _exit),
    (os, "abort"): _otherwise(os.abort, _abort),
    (os, "kill"): _otherwise(os.kill, _kill),
    (signal, "raise_signal"): _otherwise(signal.raise_signal, _raise_signal),
    (socket, "getaddrinfo"): _otherwise(socket.getaddrinfo, _look_up),
    (socket.socket, "connect"): _otherwise(socket.socket.connect, _connect),
    (socket.socket, "connect_ex"): _otherwise(socket.socket.connect_ex, _connect),
    (threading.Thread, "start"): _otherwise(threading.Thread.start, _start_thread),
}
_lock = threading.Lock()
_real: dict[_Place, Any] = {}
_users = 0


def put_up() -> None:
    """Put the stand-ins in place; the first of several that do so does it."""
    global _users  # noqa: PLW0603 they stand in modules of the process, which has one of each
    with _lock:
        _users += 1
        if _users == 1:
            for place, stand_in in STAND_INS.items():
                owner, name = place
                _real[place] = getattr(owner, name)
                setattr(owner, name, stand_in)


def take_down() -> None:
    """The last one to go takes them away."""
    global _users  # noqa: PLW0603 as above
    with _lock:
        _users -= 1
        if _users == 0:
            for (owner, name), real in _real.items():
                if owner is socket.socket:
                    delattr(owner, name)  # its base has them
                else:
                    setattr(owner, name, real)
            _real.clear()


def put_into(namespaces: Iterable[dict[str, Any]]) -> Callable[[], None]:
    """Replace what modules have taken by name (``from time import sleep``); call what is returned to undo it."""
    by_real = {
        id(_real[place]): stand_in for place, stand_in in STAND_INS.items() if inspect.ismodule(place[0])
    }
    replaced = [
        (namespace, name, value)
        for namespace in namespaces
        for name, value in list(namespace.items())
        if id(value) in by_real
    ]
    for namespace, name, value in replaced:
        namespace[name] = by_real[id(value)]

    def undo() -> None:
        for namespace, name, value in replaced:
            namespace[name] = value

    return undo
