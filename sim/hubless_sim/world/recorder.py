"""What a world tells whoever wants to draw a run: each packet and its fate, each event, how each node fared.

A recorder is told and never asked; a run with one has the digest of a run without. Without one nothing is told,
and nothing is paid for it.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from hubless_sim.world.hosts import Delivered, HostEvent, Write
from hubless_sim.world.network import Layer, Lost

Condition = Literal["down", "running", "blocked", "held", "slow"]
"""How the process of a node fares: ``blocked`` does not run, ``held`` neither sends nor receives."""

Drop = Lost | Literal["no such node", "outbox full", "inbox full", "nobody there"]
"""Why a packet did not arrive. What a link does, and the first two of these, befall it before it is under way."""


class Recorder(Protocol):
    """Hears all that happens, in order. Times are virtual, in ns; nodes are numbers."""

    def sent(
        self, now_ns: int, source: int, target: int, packet: bytes, *, arriving: bytes, copies: int
    ) -> Sequence[int]:
        """A packet is under way, in so many copies, as these bytes; returns the copies' numbers."""
        ...

    def dropped(self, now_ns: int, source: int, target: int, packet: bytes, why: Drop) -> None:
        """A packet did not get under way."""
        ...

    def arrived(self, now_ns: int, copy: int, event: Delivered, why: Drop | None) -> None:
        """A copy has come to its target's machine: into the process's hands or its inbox, unless there is a reason."""
        ...

    def handles(self, now_ns: int, node: int, event: HostEvent) -> None:
        """A process is about to handle an event; what follows until the next one is its effect."""
        ...

    def wrote(self, now_ns: int, node: int, write: Write) -> None:
        """A process has asked for a commit."""
        ...

    def noted(self, now_ns: int, node: int, value: Any) -> None:
        """A process has told something."""
        ...

    def born(self, now_ns: int, node: int, boot: int) -> None:
        """A process has started."""
        ...

    def gone(self, now_ns: int, node: int, boot: int) -> None:
        """A process has ended, and with it what waited in its inbox and outbox."""
        ...

    def fares(self, now_ns: int, node: int, condition: Condition) -> None:
        """How the node fares from now on; told again although nothing may have changed."""
        ...

    def imposed(self, now_ns: int, layer: Layer) -> None:
        """A layer of conditions is in force on the network."""
        ...

    def lifted(self, now_ns: int, layer: Layer) -> None:
        """That very layer is no longer in force."""
        ...
