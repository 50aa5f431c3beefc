"""A lockstep network for the core: one heap of (time, sequence, what), links as functions, no codec shortcuts."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

import pytest

from hubless_gossip import (
    Address,
    Condition,
    DeadlineReached,
    Gossip,
    GossipConfig,
    Identity,
    JoinRequested,
    LinkDown,
    LinkRefused,
    LinkUp,
    PacketReceived,
    Persist,
    SendPacket,
    Tell,
    WatchLinks,
)

MS = 1_000_000
MESH = b"testmesh"


class Lockstep:
    """Virtual time in ms. `carries(a, b)` decides whether a packet gets through; `blocked` holds back events."""

    def __init__(
        self, config: GossipConfig, *, seed: int = 0, latency_ms: float = 0.5, monitored: bool = True
    ) -> None:
        self.config, self.latency_ms, self.monitored = config, latency_ms, monitored
        self.rng = random.Random(seed)
        self.now = 0
        self.cores: dict[str, Gossip] = {}
        self.tells: dict[str, list[tuple[int, Any]]] = {}
        self.kept: dict[str, Any] = {}
        self.links: dict[str, dict[str, int]] = {}
        self.blocked: dict[str, list[Any]] = {}
        self.deaf: dict[str, list[Any]] = {}
        self.carries: Callable[[str, str], bool] = lambda _a, _b: True
        self.packets = self.bytes = self.handled = self.biggest = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._names: dict[Address, str] = {}
        self._booked: dict[str, int | None] = {}
        self._boots: dict[str, int] = {}

    def at(self, when_ns: int, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (when_ns, self._count, do))

    def start(self, name: str, *seeds: str, **more: Any) -> Gossip:
        boot = self._boots[name] = self._boots.get(name, 0) + 1
        address = self.address(name)
        identity = Identity(MESH, name, boot, address)
        chance = random.Random(self.rng.random())
        self.cores[name] = Gossip(identity, config=self.config, rng=chance, now_ns=self.now, **more)
        self.links[name] = {}
        for other, links in self.links.items():
            if name in links and other in self.cores:
                self._link(other, name)
        self.tells.setdefault(name, [])
        self._booked[name] = None
        self.give(name, JoinRequested(tuple(map(self.address, seeds))) if seeds else DeadlineReached())
        return self.cores[name]

    def address(self, name: str) -> Address:
        address = Address(name, 7000)
        self._names[address] = name
        return address

    def give(self, name: str, event: Any) -> None:
        core = self.cores.get(name)
        if core is None:
            return
        if name in self.blocked:
            self.blocked[name].append(event)
            return
        if name in self.deaf and isinstance(event, PacketReceived):
            self.deaf[name].append(event)
            return
        self.handled += 1
        for effect in core.handle(self.now, event):
            match effect:
                case SendPacket(to, packet):
                    self._send(name, self._names[to], packet)
                case WatchLinks(peers):
                    known, self.links[name] = self.links[name], {peer.node: peer.boot for peer in peers}
                    for peer in peers if self.monitored else ():
                        if known.get(peer.node) != peer.boot:
                            self.at(self.now + 2 * MS, lambda n=peer.node: self._link(name, n))
                case Tell(event):
                    self.tells[name].append((self.now, event))
                case Persist(remembered):
                    self.kept[name] = remembered
        self._book(name, core)

    def _book(self, name: str, core: Gossip) -> None:
        due = core.next_deadline_ns()
        if due is not None and due != self._booked[name]:
            self._booked[name] = due
            due = max(due, self.now)
            self.at(due, lambda: self._wake(name, core))

    def _wake(self, name: str, core: Gossip) -> None:
        due = core.next_deadline_ns()
        if self.cores.get(name) is core and name not in self.blocked and due is not None and due <= self.now:
            self._booked[name] = None
            self.give(name, DeadlineReached())

    def _send(self, source: str, target: str, packet: bytes) -> None:
        self.packets += 1
        self.bytes += len(packet)
        self.biggest = max(self.biggest, len(packet))
        if target in self.cores and self.carries(source, target):
            delay = int(self.latency_ms * MS * (0.5 + self.rng.random()))
            self.at(self.now + delay, lambda: self.give(target, PacketReceived(packet)))

    def _link(self, watcher: str, name: str) -> None:
        if name in self.cores and name in self.links.get(watcher, {}) and self.carries(watcher, name):
            self.give(watcher, LinkUp(name, self._boots[name]))

    def cut(self, carries: Callable[[str, str], bool]) -> None:
        """Change what gets through; monitored links follow, down after 150 ms, up after 50 ms."""
        before, self.carries = self.carries, carries
        for watcher, links in sorted(self.links.items()):
            for node, boot in sorted(links.items() if self.monitored else ()):
                now_up = carries(watcher, node) and carries(node, watcher)
                if now_up != (before(watcher, node) and before(node, watcher)):
                    event, after_ms = (LinkUp, 50) if now_up else (LinkDown, 150)
                    told = event(node, boot)
                    self.at(self.now + after_ms * MS, lambda w=watcher, e=told: self.give(w, e))

    def kill(self, name: str, *, refused: bool = True) -> None:
        del self.cores[name]
        boot = self._boots[name]
        self.blocked.pop(name, None)
        for watcher, links in self.links.items() if self.monitored else ():
            if name in links and watcher in self.cores:
                self.at(self.now + MS, lambda w=watcher: self.give(w, LinkDown(name, boot)))
                if refused:
                    self.at(self.now + 2 * MS, lambda w=watcher: self.give(w, LinkRefused(name, boot)))

    def block(self, name: str) -> None:
        self.blocked[name] = []

    def unblock(self, name: str) -> None:
        for event in self.blocked.pop(name):
            self.give(name, event)
        self._wake(name, self.cores[name])

    def run(self, seconds: float) -> None:
        end = self.now + int(seconds * 1000 * MS)
        while self._heap and self._heap[0][0] <= end:
            self.now, _, do = heapq.heappop(self._heap)
            do()
        self.now = end

    def sees(self, name: str, other: str) -> Condition | None:
        member = self.cores[name].member(other)
        return member.condition if member is not None else None

    def agree(self) -> bool:
        views = {
            tuple(
                (m.node, m.boot, m.incarnation, m.condition)
                for m in core.members()
                if m.condition < Condition.DEAD
            )
            for core in self.cores.values()
        }
        return len(views) == 1 and {m[0] for m in views.pop()} == set(self.cores)


@pytest.fixture
def lockstep() -> type[Lockstep]:
    return Lockstep
