"""What arrives at the work socket: frames are checked, and their messages handed to whoever they are for.

Nothing that a stranger sends raises: a frame that cannot be used is counted, and answered in words where words help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hubless.effects import Log, NodeEffect, RefuseClient, ToClient
from hubless.wire import (
    Envelope,
    FrameError,
    Hello,
    Limits,
    Message,
    Refused,
    decode,
)
from hubless_gossip.marks import sometimes


class Audience(Protocol):
    """Who acts on messages."""

    def from_client(self, now_ns: int, route: bytes, message: Message, out: list[NodeEffect]) -> bool:
        """Acts on a client's message; False if clients have no business sending it."""

    def is_outlived(self, node: str, boot: int) -> bool:
        """Whether another process is known to have taken that one's name."""

    def from_node(self, now_ns: int, node: str, message: Message, out: list[NodeEffect]) -> bool:
        """Acts on a node's message; False if nodes have no business sending it."""


@dataclass(slots=True)
class ReceptionCounters:
    """What came in, what was dropped and why. `unaddressed` counts messages to nodes of unknown address,
    `outlived` frames of a process whose name another one has by now.
    """

    frames: int = 0
    garbage: int = 0
    version: int = 0
    oversized: int = 0
    refused: int = 0
    foreign_mesh: int = 0
    unknown_tags: int = 0
    malformed: int = 0
    misplaced: int = 0
    unaddressed: int = 0
    outlived: int = 0


class Reception:
    """Checks what strangers and peers send to this node of one mesh."""

    def __init__(self, *, mesh: bytes, limits: Limits, audience: Audience) -> None:
        self._mesh = mesh
        self._limits = limits
        self._audience = audience
        self.counters = ReceptionCounters()

    def frame(self, now_ns: int, route: bytes, parts: list[bytes], out: list[NodeEffect]) -> None:
        """Takes one frame that came over the connection `route`."""
        self.counters.frames += 1
        envelope = self._decode(parts, route, out)
        if envelope is None:
            return
        if envelope.mesh != self._mesh and not _is_greeting(envelope):
            self.counters.foreign_mesh += 1
            out.append(ToClient(route, Refused("mesh_mismatch", self._foreign_text(envelope))))
            return
        sender = envelope.sender
        if sender and self._audience.is_outlived(sender, envelope.boot):
            self.counters.outlived += 1
            sometimes("dropped a frame of a process that another has outlived")
            return
        for message in envelope.messages:
            if sender:
                is_taken = self._audience.from_node(now_ns, sender, message, out)
            else:
                is_taken = self._audience.from_client(now_ns, route, message, out)
            self.counters.misplaced += not is_taken

    def refusal(self, parts: list[bytes], out: list[NodeEffect]) -> None:
        """Takes what a peer sent back over our connection to it: it will not talk to us."""
        try:
            envelope = decode(parts, self._limits)
        except FrameError as problem:
            self.counters.refused += 1
            out.append(Log("warning", f"a peer refused our frames: {problem.remedy or problem.reason}"))
            return
        for message in envelope.messages:
            if isinstance(message, Refused):
                self.counters.refused += 1
                out.append(Log("warning", f"node {envelope.sender} refused our frames: {message.message}"))

    def _decode(self, parts: list[bytes], route: bytes, out: list[NodeEffect]) -> Envelope | None:
        try:
            envelope = decode(parts, self._limits)
        except FrameError as problem:
            counter = problem.reason
            setattr(self.counters, counter, getattr(self.counters, counter) + 1)
            if problem.remedy and counter != "refused":
                out.append(RefuseClient(route, problem.remedy))
            return None
        self.counters.unknown_tags += envelope.unknown
        self.counters.malformed += envelope.malformed
        return envelope

    def _foreign_text(self, envelope: Envelope) -> str:
        return (
            f"this node is of mesh {self._mesh.hex()}, the sender is of mesh {envelope.mesh.hex() or '(none)'}: "
            "use an address of the right mesh, or start with an empty data directory"
        )


def _is_greeting(envelope: Envelope) -> bool:
    return not envelope.mesh and all(isinstance(message, Hello) for message in envelope.messages)
