"""The inside of packets: which socket one is for, its frame, and its messages by the codecs of real nodes.

A packet of gossip alone is what the core made.  Those of whole nodes and of bare shards are sealed, and begin with one
byte for the socket that they came to.
"""

from collections.abc import Sequence
from typing import Any

import msgpack
import msgspec

from hubless.wire import FrameError, Limits, decode, encode
from hubless_gossip.codec import Envelope, pack_header, pack_message, pack_packet, unpack_packet
from hubless_sim.sealed import seal, unseal

GOSSIP, WORK, BACK = b"\0", b"\1", b"\2"
"""Which socket a packet is for: gossip, work, or a connection that the receiver made to somebody's work socket."""

_HEADER_BYTES = 6
_MAGIC = b"HUBL"
_LIMITS = Limits()


class Opened(msgspec.Struct, frozen=True):
    """A packet that was read.  ``socket`` is b"" for one of gossip alone."""

    socket: bytes
    is_frame: bool
    mesh: bytes
    sender: str
    boot: int
    messages: list[Any]


def to_packet(socket: bytes, frame: list[bytes]) -> bytes:
    """One frame of a work connection as one packet."""
    return socket + frame[0] + frame[1]


def to_frame(packet: bytes) -> list[bytes]:
    """The two parts of a frame; any bytes make some frame."""
    return [packet[1 : 1 + _HEADER_BYTES], packet[1 + _HEADER_BYTES :]]


def opened(packet: bytes) -> Opened | None:
    """Read a packet of any system; None if it is no packet of a node: a client's of bare shards, or garbled."""
    content = unseal(packet)
    if content[1:5] == _MAGIC:
        try:
            frame = decode(to_frame(content), _LIMITS)
        except FrameError:
            return None
        return Opened(content[:1], True, frame.mesh, frame.sender, frame.boot, list(frame.messages))
    if content and content[:1] != GOSSIP:
        return None
    return _of_gossip(content[:1], content[1:] or packet)


def closed(packet: Opened, messages: Sequence[Any]) -> bytes:
    """The packet with these messages in the place of its own."""
    if packet.is_frame:
        frame = encode(packet.mesh, packet.sender, packet.boot, messages)
        return seal(to_packet(packet.socket, frame))
    header = pack_header(packet.mesh, packet.sender, packet.boot)
    raw = pack_packet(header, [pack_message(message) for message in messages])
    return seal(packet.socket + raw) if packet.socket else raw


def _of_gossip(socket: bytes, raw: bytes) -> Opened | None:
    try:
        mesh = msgpack.unpackb(raw)[1]
    except Exception:  # noqa: BLE001 msgpack raises a dozen types for bad bytes
        return None
    envelope = unpack_packet(raw, mesh)
    if not isinstance(envelope, Envelope):
        return None
    return Opened(socket, False, mesh, envelope.sender, envelope.boot, list(envelope.messages))
