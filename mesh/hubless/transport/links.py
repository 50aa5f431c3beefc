"""Monitored links: what the kernel and ZeroMQ's I/O thread know about a peer, as events.

Three facts reach the core. *Up*: a ZeroMQ handshake with the process succeeded. *Down*: the connection was reset, or
heartbeats went unanswered (they are answered by the peer's I/O thread, even while its interpreter is blocked).
*Refused*: after a down, a fresh TCP connect was refused by the peer's kernel, so nobody listens there any more.
Measured with this transport: a killed process is *down* after 1.5 ms, a stopped one after the heartbeat timeout.
"""

from __future__ import annotations

import errno
import itertools
import socket as stdlib_socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import trio
import zmq
from zmq.utils.monitor import parse_monitor_message

from hubless.transport.poller import Poller
from hubless.transport.sockets import CONNECT_MS, descriptor_of, is_readable, socket_address
from hubless_gossip import Address, LinkDown, LinkRefused, LinkUp, Peer

LinkEvent = LinkUp | LinkDown | LinkRefused

_CONNECT_CHECK_S = 1.0
_CHECK_PAUSES_S = (0, 0.002, 0.005, 0.02, 0.1, 0.5)
_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """ZMTP heartbeats of a monitored link: one every `interval_ms`, answered within `timeout_ms` or down."""

    interval_ms: int
    timeout_ms: int

    @classmethod
    def of_profile(cls, profile: str) -> Heartbeat:
        """The preset that goes with a gossip profile: tens of ms on one host, seconds over a WAN."""
        return {"local": cls(100, 500), "lan": cls(500, 2_000), "wan": cls(2_000, 10_000)}[profile]


class _Link:
    """One watched peer: a connected socket that carries heartbeats only, and its monitor."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], peer: Peer, heartbeat: Heartbeat, poller: Poller
    ) -> None:
        self.peer = peer
        self.up = False
        self._poller = poller
        with ExitStack() as on_failure:
            self._socket = context.socket(zmq.PUSH)
            on_failure.callback(self._socket.close, linger=0)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.setsockopt(zmq.HEARTBEAT_IVL, heartbeat.interval_ms)
            self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, heartbeat.timeout_ms)
            self._socket.setsockopt(zmq.HANDSHAKE_IVL, max(1_000, heartbeat.timeout_ms))
            self._socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
            self._socket.setsockopt(zmq.RECONNECT_IVL, 100)
            self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2_000)
            self._socket.setsockopt(zmq.IPV6, ":" in peer.address.host)
            endpoint = f"inproc://link-{next(_serial)}"
            self._socket.monitor(endpoint, _EVENTS)
            self._monitor: zmq.Socket[bytes] = context.socket(zmq.PAIR)
            on_failure.callback(self._monitor.close, linger=0)
            self._monitor.connect(endpoint)
            self._socket.connect(socket_address(peer.address))
            self.descriptor = descriptor_of(self._monitor)
            poller.add(self.descriptor)
            on_failure.pop_all()

    def changes(self) -> list[bool]:
        """What has happened since the last call: True for up, False for down."""
        changes: list[bool] = []
        while is_readable(self._monitor):
            event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))["event"]
            changes.append(event == zmq.EVENT_HANDSHAKE_SUCCEEDED)
        return changes

    def close(self) -> None:
        self._poller.discard(self.descriptor)
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()


class MonitoredLinks:
    """The links that the gossip core asked for with `WatchLinks`.

    Args:
        report: called with each event, from the loop's thread.
        nursery: runs the short check that tells a refused connect from a silent peer.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: Poller,
        heartbeat: Heartbeat,
        nursery: trio.Nursery,
        report: Callable[[LinkEvent], None],
    ) -> None:
        self._context = context
        self._poller = poller
        self._heartbeat = heartbeat
        self._nursery = nursery
        self._report = report
        self._links: dict[Peer, _Link] = {}
        self._by_descriptor: dict[int, _Link] = {}
        self._missing: list[Peer] = []
        self.failed = 0

    def watch(self, peers: tuple[Peer, ...]) -> None:
        """Replaces the set of watched peers; links to those that stay are kept as they are."""
        wanted = set(peers)
        for peer in [peer for peer in self._links if peer not in wanted]:
            link = self._links.pop(peer)
            del self._by_descriptor[link.descriptor]
            link.close()
        self._missing = [peer for peer in peers if peer not in self._links]
        self.retry()

    def retry(self) -> None:
        """Tries again to make the links that could not be made: no descriptors left, or an unusable address."""
        missing, self._missing = self._missing, []
        for peer in missing:
            try:
                link = _Link(self._context, peer, self._heartbeat, self._poller)
            except (zmq.ZMQError, OSError):
                self._missing.append(peer)
                self.failed += 1
                continue
            self._links[peer] = link
            self._by_descriptor[link.descriptor] = link
            self._read(link)  # a descriptor signals only after its socket was once found empty

    def read(self, descriptors: list[int]) -> None:
        """Reports what the monitors among the readable `descriptors` have to say."""
        for descriptor in descriptors:
            link = self._by_descriptor.get(descriptor)
            if link is not None:
                self._read(link)

    def close(self) -> None:
        self.watch(())

    def _read(self, link: _Link) -> None:
        for is_up in link.changes():
            self._changed(link, is_up)

    def _changed(self, link: _Link, is_up: bool) -> None:
        peer = link.peer
        if is_up and not link.up:
            link.up = True
            self._report(LinkUp(peer.node, peer.boot))
        elif not is_up and link.up:
            link.up = False
            self._report(LinkDown(peer.node, peer.boot))
            self._nursery.start_soon(self._check_refused, link)

    async def _check_refused(self, link: _Link) -> None:
        """Asks the kernel a few times: a dying process may lose its connections before its listening socket."""
        for pause_s in _CHECK_PAUSES_S:
            await trio.sleep(pause_s)
            if link.up or self._links.get(link.peer) is not link:
                return
            if await _is_refused(link.peer.address):
                self._report(LinkRefused(link.peer.node, link.peer.boot))
                self._poller.kick()
                return


async def _is_refused(address: Address) -> bool:
    """Whether the kernel at `address` says that nobody listens there. Silence is no refusal."""
    family = stdlib_socket.AF_INET6 if ":" in address.host else stdlib_socket.AF_INET
    try:
        with trio.move_on_after(_CONNECT_CHECK_S), trio.socket.socket(family) as probe:
            await probe.connect((address.host, address.port))
    except (OSError, UnicodeError) as problem:
        return isinstance(problem, OSError) and problem.errno == errno.ECONNREFUSED
    return False
