"""A node of the simulated topology: the machine that outlives the processes started on it."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from hubless_sim.world.clock import Clock
from hubless_sim.world.disk import Disk
from hubless_sim.world.hosts import Host, HostEvent

NEVER_NS = 1 << 62

Tampering = Callable[[int, bytes], bytes | None]
"""What becomes of a packet to a target before it leaves; None: it does not leave now."""


class Traffic(msgspec.Struct):
    """What one node sent and received, and what became of it.  Bytes are those of the packets alone."""

    messages_out: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    bytes_in: int = 0
    lost: int = 0
    """Packets of this node that the network dropped (loss, partition, limits of links)."""
    too_large: int = 0
    """Those of them that were larger than their link carries."""
    duplicated: int = 0
    """Packets of this node that arrived more than once."""
    unanswered: int = 0
    """Packets that arrived while no process ran here."""
    inbox_refused: int = 0
    """Packets that found the inbox of a blocked process full."""
    outbox_refused: int = 0
    """Packets that a process with blocked sends had no room for."""
    corrupted: int = 0
    """Packets of this node that arrived with other bytes."""
    unroutable: int = 0
    """Packets to targets outside the topology."""


class Node:
    """State of one node; the world and the monitored links are its only users."""

    __slots__ = (
        "alarm_ns",
        "alarm_token",
        "blocked",
        "boot",
        "clock",
        "disk",
        "factors",
        "held",
        "host",
        "ills",
        "inbox",
        "index",
        "is_serving",
        "kept",
        "name",
        "outbox",
        "powered_off",
        "silent",
        "slowness",
        "tampering",
        "traffic",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = f"n{index}"
        self.boot = 0
        self.host: Host | None = None
        self.disk: Disk
        self.clock = Clock()
        self.factors: list[int] = []
        self.slowness = 1
        """How many times longer everything takes here; 1: handling an event takes no time."""
        self.ills: tuple[Any, ...] = ()
        """What is wrong with what runs here, in words that its host understands."""
        self.tampering: tuple[Tampering, ...] = ()
        """What its packets go through, one after the other."""
        self.kept = b""
        """What the last process had on disk."""
        self.powered_off = False
        """The machine answers nothing: no resets, no refusals."""
        self.traffic = Traffic()
        self.inbox: deque[HostEvent] = deque()
        self.outbox: deque[tuple[int, bytes]] = deque()
        self.clear()

    def clear(self) -> None:
        """Forget everything that belonged to the last process."""
        self.alarm_ns = NEVER_NS
        self.alarm_token = 0
        self.blocked = 0
        """How many faults keep the process from running at all."""
        self.held = 0
        """How many faults keep it from sending and receiving, while its timers run."""
        self.silent = 0
        """How many faults keep its I/O thread from answering heartbeats."""
        self.is_serving = False
        """Whether a slow process has the first event of its inbox in hand."""
        self.inbox.clear()
        self.outbox.clear()
