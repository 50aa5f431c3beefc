"""The pool: runs the supervisor's effects on real processes. No event loop, nothing blocks.

`fileno()` is readable when anything is ready; then `collect()` gives events for the supervisor, `perform`
takes its effects, `flush()` sends what they buffered. One thread uses a pool, for as long as it lives.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, assert_never

from .events import (
    GiveTask,
    KillWorker,
    MeasureMemory,
    MemoryMeasured,
    PoolEffect,
    PoolEvent,
    RecallTask,
    SpawnWorker,
    WorkerExited,
    WorkerMisbehaved,
)
from .frames import (
    OVERHEAD_BYTES,
    FrameError,
    FrameReader,
    StartFailed,
    decode_report,
    encode_give,
    encode_recall,
)
from .loglines import LogLines
from .process import kill_group, open_exit_fd, resident_bytes

Stream = Literal["stdout", "stderr"]
OnLog = Callable[[int, Stream, str], None]

_READ_BYTES = 256 * 1024
_READS_PER_COLLECT = 4
_UNSENT_LIMIT_BYTES = 64 * 1024 * 1024
_LAST_READ_LIMIT_BYTES = 64 * 1024 * 1024
_TAIL_LINES = 20
_SOCKET_BUFFER_BYTES = 1024 * 1024


class _Process:
    """One worker process with its descriptors."""

    def __init__(self, number: int, popen: subprocess.Popen[bytes], sock: socket.socket, reader: FrameReader):
        self.number = number
        self.popen = popen
        self.sock = sock
        self.exit_fd: int | None = None
        self.reader = reader
        self.broken = False  # wrote junk or closed its end: nothing more is read
        self.frames: list[bytes] = []  # of this tick
        self.unsent = bytearray()  # what the socket did not take
        self.start_failed: StartFailed | None = None
        self.logs: dict[Stream, LogLines] = {"stdout": LogLines(), "stderr": LogLines()}
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def pipe(self, stream: Stream) -> Any:
        return self.popen.stdout if stream == "stdout" else self.popen.stderr


class Pool:
    """Worker processes of one target: a path ending in .py, or the dotted name of an importable module.

    `on_log(worker, stream, line)` gets what workers print, within the bounds of `loglines.py`. It is called
    from `collect()` and `close()`. `python` is the interpreter that runs the workers.
    """

    def __init__(
        self,
        target: str,
        *,
        node: str,
        max_payload_bytes: int = 1024 * 1024,
        on_log: OnLog | None = None,
        python: str = sys.executable,
    ) -> None:
        if target.endswith(".py") and not Path(target).is_file():
            raise ValueError(
                f"target={target!r}: no such file; give the path of a file with @agent functions"
            )
        self._target = target
        self._node = node
        self._max_payload_bytes = max_payload_bytes
        self._on_log = on_log
        self._python = python
        self._processes: dict[int, _Process] = {}
        self._dirty: dict[int, _Process] = {}
        self._to_spawn: list[int] = []
        self._events: list[PoolEvent] = []
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, (None, "wake"))

    def fileno(self) -> int:
        """One descriptor (an epoll or kqueue), readable when `collect()` has something to do."""
        return self._selector.fileno()

    def pids(self) -> dict[int, int]:
        """Process ids of the workers that have not been reaped, by worker number."""
        return {number: process.popen.pid for number, process in self._processes.items()}

    # ---- effects --------------------------------------------------------------------------------------

    def perform(self, effect: PoolEffect) -> None:
        """Do one effect. Frames and new processes wait for `flush()`; what is for a worker that is gone is
        ignored."""
        if isinstance(effect, SpawnWorker):
            self._to_spawn.append(effect.worker)
            return
        process = self._processes.get(effect.worker)
        if process is None:
            return
        match effect:
            case GiveTask():
                self._buffer_frame(process, encode_give(effect))
            case RecallTask():
                self._buffer_frame(process, encode_recall(effect))
            case KillWorker():
                kill_group(process.popen.pid)
            case MeasureMemory():
                # Resident size, looked at from outside: RLIMIT_AS would count address space, which threads,
                # allocators and numeric libraries reserve by the gigabyte without using it, and a hit limit
                # turns into MemoryError at a random place instead of a clean death.
                resident = resident_bytes(process.popen.pid)
                self._tell(MemoryMeasured(effect.worker, resident))
            case _:
                assert_never(effect)

    def flush(self) -> None:
        """Send what was buffered since the last flush, one system call for each worker; then start processes,
        so that a spare has its task before the start of its replacement takes time."""
        dirty, self._dirty = self._dirty, {}
        for process in dirty.values():
            chunk = b"".join(process.frames)
            process.frames.clear()
            if process.unsent:
                process.unsent += chunk
            else:
                self._send(process, chunk)
        to_spawn, self._to_spawn = self._to_spawn, []
        for number in to_spawn:
            self._spawn(number)

    def _buffer_frame(self, process: _Process, frame: bytes) -> None:
        if len(process.unsent) > _UNSENT_LIMIT_BYTES:
            if not process.broken:
                self._break(process, "it does not read its socket")
            return
        process.frames.append(frame)
        self._dirty[process.number] = process

    def _send(self, process: _Process, chunk: bytes | bytearray) -> None:
        try:
            sent = process.sock.send(chunk)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it is dying; its exit follows
        was_waiting = bool(process.unsent)
        process.unsent = bytearray(chunk[sent:])
        if bool(process.unsent) != was_waiting and not process.broken:
            interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if process.unsent else 0)
            self._selector.modify(process.sock, interest, (process, "socket"))

    def _spawn(self, number: int) -> None:
        try:
            ours, popen = self._start_process()
        except OSError as error:  # no interpreter, no more processes or descriptors
            self._tell(WorkerExited(number, "spawn_failed", f"the process cannot be started: {error}"))
            return
        ours.setblocking(False)
        process = _Process(number, popen, ours, FrameReader(self._max_payload_bytes + OVERHEAD_BYTES))
        self._processes[number] = process
        self._selector.register(ours, selectors.EVENT_READ, (process, "socket"))
        for stream in ("stdout", "stderr"):
            pipe = process.pipe(stream)
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, (process, stream))
        process.exit_fd = open_exit_fd(popen.pid)
        if process.exit_fd is not None:
            self._selector.register(process.exit_fd, selectors.EVENT_READ, (process, "exit"))

    def _start_process(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            command = [self._python, "-P", "-m", "hubless_agents.worker", self._target]
            command += ["--fd", str(theirs.fileno()), "--parent", str(os.getpid())]
            command += ["--max-payload", str(self._max_payload_bytes)]
            try:
                popen = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        return ours, popen

    def _tell(self, event: PoolEvent) -> None:
        """An event that no descriptor announces: make ours readable."""
        self._events.append(event)
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # full of wake-ups already

    # ---- events ---------------------------------------------------------------------------------------

    def collect(self) -> list[PoolEvent]:
        """What has happened, in order for each worker. Bounded: what is left keeps `fileno()` readable."""
        ended: list[_Process] = []
        for key, mask in self._selector.select(0):
            process, what = key.data
            match what:
                case "socket":
                    if mask & selectors.EVENT_WRITE:
                        self._send(process, process.unsent)
                    if mask & selectors.EVENT_READ and self._read(process):
                        ended.append(process)
                case "exit":
                    ended.append(process)
                case "wake":
                    os.read(self._wake_read, 4096)
                case _:
                    self._read_log(process, what)
        for process in ended:
            if process.number in self._processes:
                self._bury(process)
        events, self._events = self._events, []
        return events

    def _read(self, process: _Process) -> bool:
        """Read the socket. True if that shows the end of a process whose exit nothing else would announce."""
        for _ in range(_READS_PER_COLLECT):
            if process.broken:
                return False
            try:
                size = process.sock.recv_into(self._buffer)
            except BlockingIOError:
                return False
            except OSError:
                size = 0
            if size == 0:
                return self._closed(process)
            self._take(process, self._buffer[:size])
            if size < _READ_BYTES:
                return False
        return False

    def _take(self, process: _Process, chunk: memoryview) -> None:
        try:
            for frame in process.reader.feed(chunk):
                report = decode_report(frame, process.number)
                if isinstance(report, StartFailed):
                    process.start_failed = report
                else:
                    self._events.append(report)
        except FrameError as error:
            self._break(process, f"it wrote junk to its socket: {error}")

    def _closed(self, process: _Process) -> bool:
        # It is ending, or it lives on without its socket and is of no use. Its exit follows either way, with
        # its own code if it had ended by itself.
        process.broken = True
        self._selector.unregister(process.sock)
        kill_group(process.popen.pid)
        return process.exit_fd is None

    def _break(self, process: _Process, message: str) -> None:
        """Read nothing more from this worker. The supervisor decides; usually it has it killed."""
        process.broken = True
        self._selector.unregister(process.sock)
        self._tell(WorkerMisbehaved(process.number, message))

    def _read_log(self, process: _Process, stream: Stream) -> None:
        try:
            chunk = os.read(process.pipe(stream).fileno(), _READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self._selector.unregister(process.pipe(stream))
            return
        self._log(process, stream, process.logs[stream].feed(time.monotonic_ns(), chunk))

    def _log(self, process: _Process, stream: Stream, lines: list[str]) -> None:
        if stream == "stderr":
            process.tail.extend(lines)
        if self._on_log is not None:
            for line in lines:
                self._on_log(process.number, stream, line)

    # ---- ends -----------------------------------------------------------------------------------------

    def _bury(self, process: _Process) -> None:
        """The process has ended: deliver what it had written, then its exit, and leave nothing behind."""
        # The group's other members first: its id is safe from reuse until the leader is reaped.
        kill_group(process.popen.pid)
        code = process.popen.wait()
        self._read_rest(process)
        failed = process.start_failed
        if failed is not None:
            exited = WorkerExited(process.number, "import_error", failed.message, failed.detail)
        else:
            exited = WorkerExited(process.number, "exited", _exit_text(code), "\n".join(process.tail))
        self._forget(process)
        self._events.append(exited)

    def _read_rest(self, process: _Process) -> None:
        left = _LAST_READ_LIMIT_BYTES
        while not process.broken and left > 0:
            try:
                size = process.sock.recv_into(self._buffer)
            except OSError:
                break
            if size == 0:
                break
            left -= size
            self._take(process, self._buffer[:size])
        for stream, lines in process.logs.items():
            try:
                chunk = os.read(process.pipe(stream).fileno(), _READ_BYTES)
            except OSError:
                chunk = b""
            self._log(process, stream, lines.feed(time.monotonic_ns(), chunk) + lines.close())

    def _forget(self, process: _Process) -> None:
        del self._processes[process.number]
        self._dirty.pop(process.number, None)
        for end in (process.sock, process.popen.stdout, process.popen.stderr):
            if end is not None:
                if end in self._selector.get_map():
                    self._selector.unregister(end)
                end.close()
        if process.exit_fd is not None:
            self._selector.unregister(process.exit_fd)
            os.close(process.exit_fd)

    def close(self) -> None:
        """Kill and reap every process of this pool, and close every descriptor. May be called again."""
        for process in self._processes.values():
            kill_group(process.popen.pid)
        for process in list(self._processes.values()):
            self._bury(process)
        self._events.clear()
        if self._selector.get_map() is not None:
            self._selector.close()
            os.close(self._wake_read)
            os.close(self._wake_write)


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
