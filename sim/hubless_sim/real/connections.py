"""Connections of a client process to all nodes of a tape: frames, and the links' comings and goings, with a time limit.

A frame to a node without a connection is dropped, as in the simulator.
"""

import errno
from collections.abc import Iterator, Sequence

import zmq
from zmq.utils.monitor import parse_monitor_message

from hubless_sim.tapes.tape import Monitored

_LINGER_MS = 0
_RECONNECT_MS = 100
_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED

Seen = tuple[int, bool | list[bytes]]
"""A node's number, and whether its link came up (or went down), or a frame from it."""


class Connections:
    """One socket a node; ``addresses`` are "host:port"."""

    def __init__(self, addresses: Sequence[str], heartbeat: Monitored) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._nodes: list[zmq.Socket[bytes]] = []
        self._monitors: list[zmq.Socket[bytes]] = []
        for place, address in enumerate(addresses):
            node = self._context.socket(zmq.DEALER)
            for option, number in (
                (zmq.LINGER, _LINGER_MS),
                (zmq.IMMEDIATE, 1),
                (zmq.RECONNECT_IVL, _RECONNECT_MS),
                (zmq.CONNECT_TIMEOUT, heartbeat.heartbeat_timeout_ms),
                (zmq.HEARTBEAT_IVL, heartbeat.heartbeat_interval_ms),
                (zmq.HEARTBEAT_TIMEOUT, heartbeat.heartbeat_timeout_ms),
                (zmq.HANDSHAKE_IVL, max(1_000, heartbeat.heartbeat_timeout_ms)),
            ):
                node.setsockopt(option, number)
            node.monitor(f"inproc://node-{place}", _EVENTS)
            monitor = self._context.socket(zmq.PAIR)
            monitor.connect(f"inproc://node-{place}")
            node.connect(f"tcp://{address}")
            self._nodes.append(node)
            self._monitors.append(monitor)
            self._poller.register(node, zmq.POLLIN)
            self._poller.register(monitor, zmq.POLLIN)

    def send(self, place: int, frame: Sequence[bytes]) -> None:
        """Sends a frame, or drops it."""
        try:
            self._nodes[place].send_multipart(frame, zmq.NOBLOCK)
        except zmq.ZMQError as problem:
            if problem.errno not in (errno.EAGAIN, errno.EHOSTUNREACH):
                raise

    def wait(self, most_ms: int) -> Iterator[Seen]:
        """What has come in, after at most so long."""
        ready = dict(self._poller.poll(most_ms))
        for place, (node, monitor) in enumerate(zip(self._nodes, self._monitors, strict=True)):
            if monitor in ready:
                for message in _all(monitor):
                    yield place, parse_monitor_message(message)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if node in ready:
                for frame in _all(node):
                    yield place, frame


def _all(socket: zmq.Socket[bytes]) -> Iterator[list[bytes]]:
    while True:
        try:
            yield socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
