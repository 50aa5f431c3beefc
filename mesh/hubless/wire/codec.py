"""Frames of the work sockets: many messages, one envelope, bounded before they are parsed.

A frame is two ZeroMQ parts:

    part 0   b"HUBL" | version (1 byte) | kind (1 byte)      fixed for all versions to come
    part 1   kind 0: MessagePack [mesh, sender, boot, [[tag, field, ...], ...]]
             kind 1: UTF-8 text, why the peer will not talk to us

Part 0 can be read by every version, so a mismatch is told in words and not by silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import msgspec

from hubless.wire.messages import Message

PROTOCOL_VERSION = 1
_MAGIC = b"HUBL"
_MESSAGES, _REFUSAL = 0, 1
_HEADER = _MAGIC + bytes((PROTOCOL_VERSION, _MESSAGES))
_HEADER_BYTES = len(_HEADER)
_REFUSAL_BYTES = 500
_MESH_BYTES = 8
_NODE_CHARS = 64
_KNOWN_TAGS = frozenset(kind.__struct_config__.tag for kind in Message.__args__)


class _Messages(msgspec.Struct, array_like=True):
    """What a frame holds. The union is made ready once since it is a field; by itself it would be for every frame."""

    messages: list[Message]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[bytes, str, int, list[Message]])
"""Of small frames in which everything is as it should be: straight into messages."""


_SMALLEST_FRAME_BYTES = 1024 * 1024
_PAYLOADS_PER_FRAME = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is read from a peer. Payloads are bounded again, by the agent's contract."""

    frame_bytes: int = 8 * 1024 * 1024
    payload_bytes: int = 1024 * 1024
    messages: int = 4096

    def __post_init__(self) -> None:
        if not 0 < self.payload_bytes < self.frame_bytes:
            raise ValueError(
                f"payload_bytes is {self.payload_bytes}; it must be positive and below frame_bytes ({self.frame_bytes})"
            )


def limits_for(payload_bytes: int) -> Limits:
    """The limits that go with the largest payload a node takes, the same on both sides of a connection."""
    frame_bytes = max(_SMALLEST_FRAME_BYTES, _PAYLOADS_PER_FRAME * payload_bytes)
    return Limits(frame_bytes=frame_bytes, payload_bytes=payload_bytes)


class FrameError(Exception):
    """A frame that cannot be used. `reason` is a counter's name, `remedy` is told to the peer if it is not "".

    Raised by `decode` only; nothing of the frame has been acted on.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(remedy or reason)
        self.reason = reason
        self.remedy = remedy


class Envelope(msgspec.Struct):
    """A decoded frame. `unknown` counts messages that were dropped for their tag, `malformed` for their fields."""

    mesh: bytes
    sender: str
    boot: int
    messages: list[Message] = []
    unknown: int = 0
    malformed: int = 0


def encode(mesh: bytes, sender: str, boot: int, messages: Sequence[Message]) -> list[bytes]:
    """Encodes one frame: its two parts."""
    return [_HEADER, _encoder.encode((mesh, sender, boot, messages))]


def encode_refusal(text: str) -> list[bytes]:
    """Encodes a refusal that every version can read."""
    return [_MAGIC + bytes((PROTOCOL_VERSION, _REFUSAL)), text.encode()[:_REFUSAL_BYTES]]


def decode(parts: Sequence[bytes], limits: Limits) -> Envelope:
    """Decodes one frame; one bad message does not spoil the others.

    Raises:
        FrameError: the frame as a whole is not usable: "garbage", "version", "oversized" or "refused" (the
            peer refused us; the error's text is its reason).
    """
    # no list in a small frame can be longer than the frame either
    if len(parts) == 2 and parts[0] == _HEADER and len(parts[1]) <= limits.messages:
        try:
            mesh, sender, boot, messages = _decoder.decode(parts[1])
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            if _is_bounded(mesh, sender, boot):
                return Envelope(mesh, sender, boot, messages)
    return _decoded_slowly(_checked_body(parts, limits), limits)


def _decoded_slowly(body: bytes, limits: Limits) -> Envelope:
    """Of frames that are large, or have something in them that is not as it should be."""
    try:
        mesh, sender, boot, raw_messages = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            max_bin_len=limits.frame_bytes,
            max_str_len=limits.frame_bytes,
            max_array_len=limits.messages,
            max_map_len=64,
        )
    except Exception as problem:  # msgpack raises a dozen types for bad bytes
        raise FrameError("garbage") from problem
    if (
        not _is_envelope(mesh, sender, boot)
        or not isinstance(raw_messages, list)
        or len(raw_messages) > limits.messages
    ):
        raise FrameError("garbage")
    envelope = Envelope(mesh, sender, boot)
    try:
        envelope.messages = msgspec.convert([raw_messages], _Messages, builtin_types=(bytes,)).messages
    except (msgspec.ValidationError, RecursionError):
        _convert_one_by_one(raw_messages, envelope)
    return envelope


def _checked_body(parts: Sequence[bytes], limits: Limits) -> bytes:
    if len(parts) != 2 or len(parts[0]) != _HEADER_BYTES or not parts[0].startswith(_MAGIC):
        raise FrameError("garbage")
    header, body = parts
    version, kind = header[4], header[5]
    if kind == _REFUSAL:
        raise FrameError("refused", body[:_REFUSAL_BYTES].decode(errors="replace"))
    if version != PROTOCOL_VERSION:
        raise FrameError(
            "version",
            f"protocol version {version} is not spoken here, this side speaks {PROTOCOL_VERSION}: "
            "install the same hubless release on both sides",
        )
    if len(body) > limits.frame_bytes:
        raise FrameError(
            "oversized", f"a frame of {len(body)} bytes is over the limit of {limits.frame_bytes}"
        )
    return body


def _is_envelope(mesh: Any, sender: Any, boot: Any) -> bool:
    return (
        isinstance(mesh, bytes)
        and isinstance(sender, str)
        and isinstance(boot, int)
        and _is_bounded(mesh, sender, boot)
    )


def _is_bounded(mesh: bytes, sender: str, boot: int) -> bool:
    return len(mesh) in (0, _MESH_BYTES) and len(sender) <= _NODE_CHARS and 0 <= boot < 2**63


def _convert_one_by_one(raw_messages: list[Any], envelope: Envelope) -> None:
    """The slow path, taken when some message of the frame is not as it should be."""
    for raw in raw_messages:
        if isinstance(raw, list) and raw and isinstance(raw[0], int) and raw[0] not in _KNOWN_TAGS:
            envelope.unknown += 1
            continue
        try:
            envelope.messages += msgspec.convert([[raw]], _Messages, builtin_types=(bytes,)).messages
        except (msgspec.ValidationError, RecursionError):
            envelope.malformed += 1
