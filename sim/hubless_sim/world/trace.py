"""The digest of a run: SHA-256 over every delivered event and every effect, in order.

Two runs of one tape are equal when their digests are; the digest is what the checks for
determinism compare.
"""

import hashlib
import struct

import msgspec

from hubless_sim.world.hosts import (
    Command,
    Delivered,
    Due,
    HostEffect,
    HostEvent,
    Keep,
    LinkDown,
    LinkRefused,
    LinkUp,
    Note,
    Send,
    Watch,
    Write,
    WriteRefused,
    Written,
)

_HEAD = struct.Struct("<qiBqi")  # time in ns, node, what, peer or boot, length of what follows
_BATCH = 2048

_DELIVERED, _DUE, _UP, _DOWN, _REFUSED, _COMMAND, _WRITTEN, _UNWRITTEN = 1, 2, 3, 4, 5, 6, 7, 8
_SEND, _WATCH, _KEEP, _NOTE, _WRITE, _BORN, _GONE = 17, 18, 19, 20, 21, 32, 33

_LINKS: dict[type, int] = {LinkUp: _UP, LinkDown: _DOWN, LinkRefused: _REFUSED}


_encoder = msgspec.msgpack.Encoder()


def written(write: Write) -> bytes:
    """A write to the journal as bytes; so many it takes on the disk."""
    return _encoder.encode([(type(record).__name__, record) for record in write.records])


class Trace:
    """Collects the records of a run and digests them in batches."""

    __slots__ = ("_digest", "_parts")

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._parts: list[bytes] = []

    def event(self, now_ns: int, node: int, event: HostEvent) -> None:
        """Record one event as the host is about to handle it."""
        parts = self._parts
        if type(event) is Delivered:
            packet = event.packet
            parts.append(_HEAD.pack(now_ns, node, _DELIVERED, event.source, len(packet)))
            parts.append(packet)
        elif type(event) is Due:
            parts.append(_HEAD.pack(now_ns, node, _DUE, 0, 0))
        elif type(event) is Command:
            self._text(now_ns, node, _COMMAND, repr(event.order))
        elif isinstance(event, (LinkUp, LinkDown, LinkRefused)):
            parts.append(_HEAD.pack(now_ns, node, _LINKS[type(event)], event.boot, event.peer))
        elif type(event) is Written:
            parts.append(_HEAD.pack(now_ns, node, _WRITTEN, event.mark, 0))
        elif type(event) is WriteRefused:
            parts.append(_HEAD.pack(now_ns, node, _UNWRITTEN, event.mark, event.full))
        if len(parts) > _BATCH:
            self._flush()

    def effect(self, now_ns: int, node: int, effect: HostEffect) -> None:
        """Record one effect as the world is about to carry it out."""
        parts = self._parts
        if type(effect) is Send:
            packet = effect.packet
            parts.append(_HEAD.pack(now_ns, node, _SEND, effect.target, len(packet)))
            parts.append(packet)
        elif type(effect) is Note:
            self._text(now_ns, node, _NOTE, repr(effect.value))
        elif type(effect) is Watch:
            self._text(now_ns, node, _WATCH, repr(effect.peers))
        elif type(effect) is Keep:
            parts.append(_HEAD.pack(now_ns, node, _KEEP, 0, len(effect.state)))
            parts.append(effect.state)

    def write(self, now_ns: int, node: int, mark: int, raw: bytes) -> None:
        """Record a write to the journal, see ``written``."""
        self._parts.append(_HEAD.pack(now_ns, node, _WRITE, mark, len(raw)))
        self._parts.append(raw)

    def born(self, now_ns: int, node: int, boot: int) -> None:
        """Record the start of a process."""
        self._parts.append(_HEAD.pack(now_ns, node, _BORN, boot, 0))

    def gone(self, now_ns: int, node: int, boot: int) -> None:
        """Record the end of a process."""
        self._parts.append(_HEAD.pack(now_ns, node, _GONE, boot, 0))

    def digest(self) -> str:
        """SHA-256 of everything recorded so far, in hexadecimal."""
        self._flush()
        return self._digest.hexdigest()

    def _text(self, now_ns: int, node: int, what: int, text: str) -> None:
        raw = text.encode()
        self._parts.append(_HEAD.pack(now_ns, node, what, 0, len(raw)))
        self._parts.append(raw)

    def _flush(self) -> None:
        if self._parts:
            self._digest.update(b"".join(self._parts))
            self._parts.clear()
