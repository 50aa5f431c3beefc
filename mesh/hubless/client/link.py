"""One connection to one node: a DEALER socket and its monitor, under trio or asyncio.

The descriptor of a ZeroMQ socket is edge-triggered, and a send may use up the edge that a waiting reader needs. So
every operation here ends with reading until `EVENTS` says that nothing is there; only then may anybody wait.
All of it happens in one thread, and nothing between two waits yields to another task.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import zmq

from hubless.client.gateways import Trouble, TroubleKind
from hubless.config import parse_address
from hubless.wire import FrameError, Hello, Limits, decode, encode

if TYPE_CHECKING:
    from hubless.wire import Envelope

_HEARTBEAT_MS = 1_000
_HEARTBEAT_TIMEOUT_MS = 4_000
_HANDSHAKE_MS = 3_000
_QUEUE_FRAMES = 1_000
_BACKLOG_FRAMES = 100_000
_LIMITS = Limits(frame_bytes=256 * 1024 * 1024)
_SEEN = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
_FAILED_HANDSHAKE = (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_POLLIN, _POLLOUT, _NOBLOCK = int(zmq.POLLIN), int(zmq.POLLOUT), int(zmq.NOBLOCK)  # enum arithmetic is slow
_serial = itertools.count()


class Link:
    """A connection that is never made again: when it is lost, it says so once and is thrown away.

    Args:
        received: called with each frame that could be read.
        lost: called once, with the reason, unless the link is closed first.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        *,
        received: Callable[[str, Envelope], None],
        lost: Callable[[str, Trouble], None],
    ) -> None:
        self.address = address
        self._received = received
        self._lost = lost
        self._backlog: deque[list[bytes]] = deque()
        self._is_connected = False
        self._is_over = False
        self._scope = anyio.CancelScope()
        self._socket = context.socket(zmq.DEALER)
        for option, number in (
            (zmq.LINGER, 0),
            (zmq.RECONNECT_IVL, -1),
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS),
            (zmq.HANDSHAKE_IVL, _HANDSHAKE_MS),
            (zmq.SNDHWM, _QUEUE_FRAMES),
            (zmq.RCVHWM, _QUEUE_FRAMES),
            (zmq.IPV6, int("[" in address)),
        ):
            self._socket.setsockopt(option, number)
        endpoint = f"inproc://client-{next(_serial)}"
        self._socket.monitor(endpoint, _SEEN)
        self._monitor = context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.LINGER, 0)
        self._monitor.connect(endpoint)
        self._unusable = ""
        try:
            self._socket.connect(f"tcp://{address}")
        except zmq.ZMQError as problem:
            self._unusable = f"{address} cannot be connected to: {problem.strerror}"
        self._backlog.append(encode(b"", "", 0, [Hello("client")]))

    async def run(self) -> None:
        """Reads until the link is lost or closed."""
        if self._unusable:
            self._fail(TroubleKind.GONE, self._unusable)
        with self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch)
                tasks.start_soon(self._read)

    def dispose(self) -> None:
        """Gives the sockets back, once nothing runs here any more. Harmless when done before."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=0)

    def close(self) -> None:
        """Ends `run`; whatever is queued is thrown away. Harmless when already closed."""
        self._is_over = True
        self._scope.cancel()

    def send(self, parts: list[bytes]) -> None:
        """Sends a frame, or keeps it until the socket can take it."""
        if self._is_over:
            return
        self._backlog.append(parts)
        if len(self._backlog) > _BACKLOG_FRAMES:
            self._fail(TroubleKind.SILENT, f"{self.address} takes no frames any more")
            return
        self._pump()

    async def _read(self) -> None:
        descriptor = self._socket.getsockopt(zmq.FD)
        while True:
            self._pump()
            await anyio.wait_readable(int(descriptor))

    def _pump(self) -> None:
        """Sends and receives until neither is possible."""
        socket, backlog = self._socket, self._backlog
        while not self._is_over:
            events = int(socket.getsockopt(zmq.EVENTS))
            if events & _POLLOUT and backlog:
                try:
                    socket.send_multipart(backlog[0], _NOBLOCK)
                except zmq.Again:
                    return  # the connection went just now; the monitor is about to say so
                backlog.popleft()
            elif events & _POLLIN:
                self._take(socket.recv_multipart(_NOBLOCK))
            else:
                return

    def _take(self, parts: list[bytes]) -> None:
        try:
            envelope = decode(parts, _LIMITS)
        except FrameError as problem:
            if problem.reason == "version" or "protocol version" in problem.remedy:
                self._fail(TroubleKind.VERSION, f"{self.address} speaks another protocol: {problem.remedy}")
            elif problem.reason == "refused":
                self._fail(TroubleKind.REFUSED, f"{self.address} refused this client: {problem.remedy}")
            else:
                self._fail(TroubleKind.STRANGER, _stranger(self.address))
            return
        self._received(self.address, envelope)

    async def _watch(self) -> None:
        descriptor = self._monitor.getsockopt(zmq.FD)
        while True:
            while int(self._monitor.getsockopt(zmq.EVENTS)) & _POLLIN:
                event, _ = struct.unpack("=hi", self._monitor.recv_multipart(_NOBLOCK)[0])
                self._seen(event)
            await anyio.wait_readable(int(descriptor))

    def _seen(self, event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._is_connected = True
        elif event in _FAILED_HANDSHAKE:
            self._fail(TroubleKind.STRANGER, _stranger(self.address))
        elif event == zmq.EVENT_DISCONNECTED:
            self._pump()  # what came before the reset counts
            self._fail(TroubleKind.GONE, f"the connection to {self.address} was lost")
        elif event == zmq.EVENT_CLOSED and not self._is_connected:
            self._fail(TroubleKind.GONE, f"nothing answers at {self.address}")

    def _fail(self, kind: TroubleKind, text: str) -> None:
        if not self._is_over:
            self.close()
            self._lost(self.address, Trouble(kind, text))


def _stranger(address: str) -> str:
    return f"something listens at {address} that is not a hubless node: give the work address of a node"


async def diagnosis(address: str) -> str:
    """Asks the kernel what is wrong with an address: one phrase, for a message to people."""
    where = parse_address(address)
    try:
        with anyio.fail_after(2):
            async with await anyio.connect_tcp(where.host, where.port):
                return (
                    "it takes the connection and says nothing: a node that looks for its mesh, as its log says, or is "
                    "stopped, the gossip port of one, or no node"
                )
    except TimeoutError:
        return "no answer"
    except OSError as problem:
        cause = problem.__cause__ if isinstance(problem.__cause__, OSError) else problem
        number = cause.errno or 0
        return (os.strerror(number) if number > 0 else cause.strerror or str(cause)).lower()
