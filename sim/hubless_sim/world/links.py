"""Monitored links: what the kernel and the I/O thread of a peer tell about it.

Models a connection with heartbeats as the transport keeps one to each watched peer.  Up after a
handshake; down when the peer's process dies (its kernel resets the connection) or when heartbeats
have gone unanswered for the timeout (cut, stopped process, machine gone); refused when, after a
down, the peer's kernel turns a fresh connect away because no process listens.

Nothing polls: heartbeats of a healthy link are not simulated one by one, a silence starts when
conditions change, and a connect that came to nothing is parked until what it met with changes: a cut between others
does not make it try again, nor does any link take the chances of another.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from hubless_sim.world.chance import draw, stream
from hubless_sim.world.hosts import HostEvent, LinkDown, LinkRefused, LinkUp
from hubless_sim.world.network import Network
from hubless_sim.world.nodes import Node

_GONE = -1
_JITTER, _TRIPS = 2, 1

_Standing = tuple[bool, int, bool, bool]
"""What a connect meets with: is the peer's kernel reached, which process listens there, who of the two is silent."""


class LinkProfile(msgspec.Struct, frozen=True):
    """Timing of monitored links, in ns.  A silence shows after the timeout and the rest of an interval."""

    heartbeat_interval_ns: int = 50_000_000
    heartbeat_timeout_ns: int = 150_000_000
    reconnect_ns: int = 10_000_000


class Scheduler(Protocol):
    """Runs ``act(a, b, None)`` after ``delay_ns``."""

    def __call__(self, delay_ns: int, act: Callable[[Any, Any, Any], None], a: Any, b: Any) -> None: ...


class _Watched:
    """One monitored link of one watcher.  ``token`` changes with its state and voids what is scheduled."""

    __slots__ = (
        "boot",
        "has_reset",
        "owes_refusal",
        "parked",
        "peer",
        "silent",
        "token",
        "trips",
        "up",
        "watcher",
    )

    def __init__(self, watcher: Node, peer: Node) -> None:
        self.watcher = watcher
        self.peer = peer
        self.boot = 0
        self.up = False
        self.silent = False
        self.has_reset = False
        """Whether the reset that ends it is under way."""
        self.parked: _Standing | None = None
        """What the last connect met with, if nothing has come of it."""
        self.owes_refusal = False
        self.token = 0
        self.trips = 0
        """How many packets the kernels have exchanged for this link."""


class Links:
    """All monitored links of a world."""

    def __init__(
        self,
        *,
        profile: LinkProfile,
        seed: int,
        network: Network,
        nodes: list[Node],
        schedule: Scheduler,
        deliver: Callable[[Node, HostEvent], None],
    ) -> None:
        self._profile = profile
        self._seed = seed
        self._network = network
        self._nodes = nodes
        self._schedule = schedule
        self._deliver = deliver
        self._of: dict[int, dict[int, _Watched]] = {}
        self._to: dict[int, dict[int, _Watched]] = {}

    def watch(self, watcher: Node, peers: Iterable[int]) -> None:
        """Keep links from the watcher's process to exactly these peers."""
        current = self._of.setdefault(watcher.index, {})
        wanted = dict.fromkeys(peer for peer in peers if 0 <= peer < len(self._nodes))
        wanted.pop(watcher.index, None)
        for peer in [peer for peer in current if peer not in wanted]:
            self._forget(current.pop(peer))
        for peer in wanted:
            if peer not in current:
                link = current[peer] = _Watched(watcher, self._nodes[peer])
                self._to.setdefault(peer, {})[watcher.index] = link
                self._connect(link, 0)

    def process_started(self, node: Node) -> None:
        """A process has begun to listen on the node."""
        for link in list(self._to.get(node.index, {}).values()):
            self._review(link)

    def process_gone(self, node: Node) -> None:
        """The node's process has ended: its own links vanish, those to it are reset or fall silent."""
        for link in self._of.pop(node.index, {}).values():
            self._forget(link)
        for link in list(self._to.get(node.index, {}).values()):
            self._review(link)

    def node_changed(self, node: Node) -> None:
        """The I/O thread of the node fell silent or came back."""
        for link in [*self._of.get(node.index, {}).values(), *self._to.get(node.index, {}).values()]:
            self._review(link)

    def network_changed(self) -> None:
        """Cuts were made or healed somewhere."""
        for links in list(self._of.values()):
            for link in list(links.values()):
                self._review(link)

    def _forget(self, link: _Watched) -> None:
        link.token = _GONE
        self._to[link.peer.index].pop(link.watcher.index, None)

    def _reachable(self, link: _Watched) -> bool:
        """Whether the peer's kernel can be talked to."""
        watcher, peer = link.watcher.index, link.peer.index
        return (
            not link.peer.powered_off
            and self._network.reaches(watcher, peer)
            and self._network.reaches(peer, watcher)
        )

    def _standing(self, link: _Watched) -> _Standing:
        peer = link.peer
        boot = 0 if peer.host is None else peer.boot
        return self._reachable(link), boot, peer.silent > 0, link.watcher.silent > 0

    def _review(self, link: _Watched) -> None:
        """Work out what a change means for one link."""
        reachable = self._reachable(link)
        if not link.up:
            if link.parked is not None and reachable and link.parked != self._standing(link):
                link.parked = None
                self._connect(link, self._jitter(link, self._profile.reconnect_ns))
            return
        same = link.peer.host is not None and link.peer.boot == link.boot
        if reachable and not same:
            if link.has_reset:
                return
            link.token += 1
            link.silent, link.has_reset = False, True
            delay = self._trip_ns(link, link.peer, link.watcher)
            self._schedule(delay, self._drop, link, link.token)
        elif reachable and not link.peer.silent and not link.watcher.silent:
            if link.silent:
                link.token += 1
                link.silent = False
        elif not link.silent:
            link.token += 1
            link.silent, link.has_reset = True, False
            rest = self._jitter(link, self._profile.heartbeat_interval_ns)
            self._schedule(self._profile.heartbeat_timeout_ns + rest, self._drop, link, link.token)

    def _drop(self, link: _Watched, token: int, _: None) -> None:
        """A reset has arrived, or the heartbeat timeout has passed."""
        if link.token != token:
            return
        link.token += 1
        link.up = link.silent = link.has_reset = False
        link.owes_refusal = True
        self._connect(link, self._profile.reconnect_ns)
        self._deliver(link.watcher, LinkDown(link.peer.index, link.boot))

    def _connect(self, link: _Watched, wait_ns: int) -> None:
        """Begin a connect after ``wait_ns``; its answer comes one round trip later."""
        trip = self._trip_ns(link, link.watcher, link.peer) + self._trip_ns(link, link.peer, link.watcher)
        link.token += 1
        self._schedule(wait_ns + trip, self._answered, link, link.token)

    def _answered(self, link: _Watched, token: int, _: None) -> None:
        if link.token != token:
            return
        peer = link.peer
        if not self._reachable(link) or link.watcher.silent:
            link.parked = self._standing(link)
        elif peer.host is None:
            link.parked = self._standing(link)
            if link.owes_refusal:
                link.owes_refusal = False
                self._deliver(link.watcher, LinkRefused(peer.index, link.boot))
        elif peer.silent:
            link.parked = self._standing(link)
        else:
            link.token += 1
            link.up = True
            link.owes_refusal = False
            link.boot = peer.boot
            self._deliver(link.watcher, LinkUp(peer.index, link.boot))

    def _trip_ns(self, link: _Watched, source: Node, target: Node) -> int:
        """How long the next packet of the kernels takes."""
        link.trips += 1
        chance = draw(stream(self._seed, _TRIPS, link.watcher.index, link.peer.index), link.trips)
        return self._network.control_ns(source.index, target.index, chance)

    def _jitter(self, link: _Watched, span_ns: int) -> int:
        key = stream(self._seed, _JITTER, link.watcher.index, link.peer.index)
        return draw(key, link.token) % max(1, span_ns)
