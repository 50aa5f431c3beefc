"""Bounded, non-blocking ZeroMQ sockets.

A ZeroMQ descriptor is edge-triggered: it turns readable once, and any call on the socket, a send included, may use
that edge up. So a reader asks `EVENTS` again after everything it does, and waits only when that says no.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import zmq

from hubless.config import format_address
from hubless_gossip import Address

_LINGER_MS = 200
_RECEIVE_QUEUE = 10_000
_BACKLOG = 1024
CONNECT_MS = 2_000
"""A connect that is not answered is given up and made again: what goes nowhere is sent again by the kernel with ever
longer pauses, so that a peer behind a cut of a minute was not reached for another one after it."""

_UNACKNOWLEDGED_MS = 10_000
"""The same for a connection that was there before the cut: it is made anew, and what the kernel still had of it is
lost, like any frame may be; whoever waits for an answer sends again. To the kernel a peer whose queues are full is as
silent as one behind a cut, so that this is longer than an interpreter may well be blocked."""


# Numbers, since arithmetic of enums is slow.
_POLLIN, _NOBLOCK = int(zmq.POLLIN), int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


def is_readable(socket: zmq.Socket[bytes]) -> bool:
    """Whether a frame can be read now."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & _POLLIN)


def _send(socket: zmq.Socket[bytes], parts: Sequence[bytes]) -> None:
    """All parts or none; what `send_multipart` does, without its arithmetic of enums."""
    *heads, last = parts
    for head in heads:
        socket.send(head, _MORE)
    socket.send(last, _NOBLOCK)


def descriptor_of(socket: zmq.Socket[bytes]) -> int:
    """The descriptor to wait for, by the rule above."""
    return int(socket.getsockopt(zmq.FD))


class BindError(OSError):
    """The address cannot be listened on. Nothing was started; the text says what to do."""


def socket_address(address: Address) -> str:
    """The form that ZeroMQ wants."""
    return f"tcp://{format_address(address)}"


def bound_address(socket: zmq.Socket[bytes]) -> Address:
    """Where a bound socket listens, with the port that the kernel chose."""
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT).removeprefix("tcp://")
    host, _, port = endpoint.rpartition(":")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


class Inbound:
    """A bound socket: everything that others send to this node.

    `kind` is `zmq.ROUTER` (frames begin with the sender's route, and can be answered) or `zmq.PULL`.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], kind: int, address: Address, *, frame_bytes: int
    ) -> None:
        self._socket = context.socket(kind)
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        self._socket.setsockopt(zmq.RCVHWM, _RECEIVE_QUEUE)
        self._socket.setsockopt(zmq.MAXMSGSIZE, frame_bytes)
        self._socket.setsockopt(zmq.BACKLOG, _BACKLOG)
        self._socket.setsockopt(zmq.IPV6, ":" in address.host)
        if kind == zmq.ROUTER:
            self._socket.setsockopt(zmq.SNDHWM, _RECEIVE_QUEUE)
            self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            self._socket.bind(socket_address(address))
        except zmq.ZMQError as problem:
            self._socket.close(linger=0)
            raise BindError(problem.errno, _bind_text(address, problem)) from problem
        self.address = bound_address(self._socket)
        self.descriptor = descriptor_of(self._socket)
        self.unroutable = 0
        self._is_untold = True

    def has_untold(self) -> bool:
        """Whether there is a frame to read that the descriptor does not tell of: a send may have used up its edge."""
        if self._is_untold:
            self._is_untold = is_readable(self._socket)
        return self._is_untold

    def receive(self, most: int) -> Iterator[list[bytes]]:
        """Yields the frames that have arrived, at most `most`."""
        socket = self._socket
        self._is_untold = True
        for count in range(most):
            # Mostly there is one frame: to try for it, and to ask for a second, asks once and raises nothing.
            if count and not is_readable(socket):
                break
            try:
                frames = socket.recv_multipart(_NOBLOCK)
            except zmq.Again:
                break
            yield frames
        else:
            return
        self._is_untold = False

    def answer(self, route: bytes, parts: Sequence[bytes]) -> bool:
        """Sends to the connection that `route` names; False when it has gone or its queue is full."""
        self._is_untold = True
        try:
            _send(self._socket, (route, *parts))
        except zmq.ZMQError as problem:
            if problem.errno not in (errno.EHOSTUNREACH, errno.EAGAIN):
                raise
            self.unroutable += 1
            return False
        return True

    def close(self) -> None:
        self._socket.close()


class Outbound:
    """Connections to peers, one socket each, made at the first send and bounded in number.

    What is sent while a connection is being made, or made again, waits in its bounded queue; `drop` throws the queue
    away when the peer is known to be gone, since a stale order is worse than a lost one: owners send theirs again.

    Args:
        kind: `zmq.DEALER` or `zmq.PUSH`.
        queue: frames that may wait for one peer before sends fail.
        connections: idle connections beyond this many are closed, the longest unused first.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], kind: int, *, queue: int, connections: int
    ) -> None:
        self._context = context
        self._kind = kind
        self._queue = queue
        self._most = connections
        self._sockets: OrderedDict[Address, zmq.Socket[bytes]] = OrderedDict()
        self.refused = 0
        self.frames_sent = 0
        self.bytes_sent = 0

    def __len__(self) -> int:
        return len(self._sockets)

    def send(self, to: Address, parts: Sequence[bytes]) -> bool:
        """Queues one frame; False, and counted in `refused`, when it cannot be.

        The peer's queue may be full, this process out of descriptors, or the address, which others told us,
        none that a socket can use. Nothing of that is worth more than a lost frame.
        """
        try:
            socket = self._sockets.get(to)
            if socket is None:
                socket = self._connect(to)
            self._sockets.move_to_end(to)
            _send(socket, parts)
        except zmq.ZMQError:
            self.refused += 1
            return False
        self.frames_sent += 1
        self.bytes_sent += sum(map(len, parts))
        return True

    def refusals(self) -> Iterator[list[bytes]]:
        """Yields what peers sent back over these (DEALER) connections: they do so only to refuse us."""
        for socket in self._sockets.values():
            while is_readable(socket):
                yield socket.recv_multipart(_NOBLOCK)

    def drop(self, to: Address) -> None:
        """Closes the connection to a peer that is gone, with what was queued for it."""
        socket = self._sockets.pop(to, None)
        if socket is not None:
            socket.close(linger=0)

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close(linger=_LINGER_MS)
        self._sockets.clear()

    def _connect(self, to: Address) -> zmq.Socket[bytes]:
        if len(self._sockets) >= self._most:
            _, oldest = self._sockets.popitem(last=False)
            oldest.close(linger=0)
        socket = self._context.socket(self._kind)
        try:
            socket.setsockopt(zmq.SNDHWM, self._queue)
            socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
            socket.setsockopt(zmq.TCP_MAXRT, _UNACKNOWLEDGED_MS)
            socket.setsockopt(zmq.RECONNECT_IVL, 50)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
            socket.setsockopt(zmq.IPV6, ":" in to.host)
            socket.connect(socket_address(to))
        except zmq.ZMQError:
            socket.close(linger=0)
            raise
        self._sockets[to] = socket
        return socket


def _bind_text(address: Address, problem: zmq.ZMQError) -> str:
    where = format_address(address)
    if problem.errno == errno.EADDRINUSE:
        return f"{where} is in use by another process: stop it, choose another port, or give port 0 for a free one"
    if problem.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
        return f"{where} is not an address of this machine: listen on one of its own, such as 127.0.0.1"
    return f"cannot listen on {where}: {problem.strerror}"
