"""Packets between hosts: a kind, a checksum and a body; what does not match is dropped.

Stands for the transport below real nodes, which keeps garbled bytes from those above it. The requests are those of bare
shards.
"""

import zlib

import msgspec

RAFT, ASK, ANSWER = b"\0", b"\1", b"\2"
_CHECK_BYTES = 4


class Ask(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Client to node: write ``value`` to a register, or read it (None).  ``number`` rises with each of a client."""

    number: int
    shard: int
    key: int
    value: int | None


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Node to client: done, with the value that was read; or not here: ask ``owner``, or anybody if that is -1."""

    number: int
    is_done: bool
    value: int | None = None
    owner: int = -1


_encoder = msgspec.msgpack.Encoder()
_asks = msgspec.msgpack.Decoder(Ask)
_answers = msgspec.msgpack.Decoder(Answer)


def seal(content: bytes) -> bytes:
    """Make a packet; the first byte of its content is its kind."""
    return zlib.crc32(content).to_bytes(_CHECK_BYTES, "big") + content


def unseal(packet: bytes) -> bytes:
    """The content of a packet; b"" if its bytes were changed on the way."""
    content = packet[_CHECK_BYTES:]
    if zlib.crc32(content).to_bytes(_CHECK_BYTES, "big") != packet[:_CHECK_BYTES]:
        return b""
    return content


def seal_ask(ask: Ask) -> bytes:
    """A client's packet."""
    return seal(ASK + _encoder.encode(ask))


def seal_answer(answer: Answer) -> bytes:
    """A packet to a client."""
    return seal(ANSWER + _encoder.encode(answer))


def to_ask(content: bytes) -> Ask:
    """What a client's packet holds."""
    return _asks.decode(content[1:])


def to_answer(content: bytes) -> Answer:
    """What a packet to a client holds."""
    return _answers.decode(content[1:])
