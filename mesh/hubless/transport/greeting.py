"""The first words to a mesh: ask a work address who it is."""

from __future__ import annotations

import trio
import zmq

from hubless.transport.sockets import descriptor_of, is_readable, socket_address
from hubless.wire import FrameError, Hello, Limits, Refused, Welcome, decode, encode
from hubless_gossip import Address


class GreetingRefusedError(Exception):
    """Somebody is there and will not have us; asking again changes nothing. The text says why."""


async def greet(
    context: zmq.Context[zmq.Socket[bytes]], address: Address, *, mesh: bytes, timeout_s: float
) -> Welcome | None:
    """Says hello to a work socket; None when nobody answered in time.

    Raises:
        GreetingRefusedError: the answer is a refusal, or not of this protocol.
    """
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IPV6, ":" in address.host)
    try:
        socket.connect(socket_address(address))
        socket.send_multipart(encode(mesh, "", 0, [Hello("node")]), zmq.NOBLOCK)
        with trio.move_on_after(timeout_s):
            return _understood(await _received(socket))
    finally:
        socket.close()
    return None


async def _received(socket: zmq.Socket[bytes]) -> list[bytes]:
    while not is_readable(socket):
        await trio.lowlevel.wait_readable(descriptor_of(socket))
    return socket.recv_multipart(zmq.NOBLOCK)


def _understood(parts: list[bytes]) -> Welcome:
    try:
        envelope = decode(parts, Limits())
    except FrameError as problem:
        raise GreetingRefusedError(problem.remedy or "it does not speak this protocol") from problem
    for message in envelope.messages:
        if isinstance(message, Welcome):
            return message
        if isinstance(message, Refused):
            raise GreetingRefusedError(message.message)
    raise GreetingRefusedError("it answered a greeting with something else")
