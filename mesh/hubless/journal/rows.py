"""How records become bytes, and the checksums that say whether they are still the same bytes.

A commit is one row. Its *head* lists its parts, each with the shard, the indexes, the size and the checksum of its
bytes in the row's *body*; the head has a checksum of its own and names its row, the oldest row of its time, and the
checksum of the row before. So a bad byte in a body costs one shard, and a row that is missing, stale or in the
wrong place is noticed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from hubless.wire.replication import Config, Entry

CHUNK_BYTES: Final = 256 * 1024
_T = TypeVar("_T")


class Kind(IntEnum):
    """What a part's bytes are, and what they do to what earlier rows say of the shard."""

    ENTRIES = 0
    """Entries; what the shard has from `first` on is replaced."""
    KEPT = 1
    """Entries moved here from a row that goes; those in `first..last` count, nothing else changes."""
    STATE = 2
    """A `ShardState`; the last one of a shard counts."""


class SnapshotMark(Struct, frozen=True, array_like=True):
    """Where a snapshot's bytes are: `chunks` rows from number `chunk` on, with one checksum over all of them."""

    index: int
    term: int
    config: Config
    size: int
    checksum: int
    chunk: int
    chunks: int


class ShardState(Struct, frozen=True, array_like=True):
    """What is kept of a shard beside its entries. With `clears` no entry of earlier parts stays.

    The floor is that of the last `HardState`.
    """

    term: int = 0
    vote: str = ""
    snapshot: SnapshotMark | None = None
    clears: bool = False
    floor_index: int = 0
    floor_term: int = 0


class Part(Struct, frozen=True, array_like=True, gc=False):
    """One part of a row: `size` bytes of the body, after those of the parts before it; a state stands here itself."""

    kind: Kind
    shard: int
    first: int = 0
    last: int = 0
    size: int = 0
    checksum: int = 0
    state: ShardState | None = None


class RowHead(Struct, frozen=True, array_like=True):
    """`oldest` is the first row that is still there after this commit, `before` the checksum of the row before."""

    number: int
    oldest: int
    before: int
    parts: list[Part]


class UnverifiedError(Exception):
    """Bytes that are not what was written; the text says in what way."""


_encode = msgspec.msgpack.Encoder().encode
_entries = msgspec.msgpack.Decoder(tuple[Entry, ...])
_heads = msgspec.msgpack.Decoder(RowHead)


def pack_entries(entries: Sequence[Entry]) -> bytes:
    return _encode(entries)


def pack_head(head: RowHead) -> bytes:
    return _encode(head)


def checksum(raw: bytes, start: int = 0) -> int:
    """Of entries it starts with their shard's number; their indexes are bound by the head, which has its own."""
    return zlib.crc32(raw, start)


def chunks_of(state: bytes) -> list[bytes]:
    """A snapshot's bytes in pieces, so that an old one can go piece by piece."""
    return [state[at : at + CHUNK_BYTES] for at in range(0, len(state), CHUNK_BYTES)]


def unpack_head(raw: bytes, expected: int, number: int) -> RowHead:
    """Raises UnverifiedError if these bytes are not the head of row `number` with that checksum."""
    if zlib.crc32(raw) != expected:
        raise UnverifiedError("its checksum does not fit")
    head = _decoded(_heads, raw)
    if head.number != number:
        raise UnverifiedError(f"it says that it is row {head.number}")
    return head


def unpack_entries(raw: bytes, expected: int, shard: int) -> tuple[Entry, ...]:
    """Raises UnverifiedError."""
    if zlib.crc32(raw, shard) != expected:
        raise UnverifiedError("the checksum does not fit")
    return _decoded(_entries, raw)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], raw: bytes) -> _T:
    try:
        return decoder.decode(raw)
    except msgspec.MsgspecError as problem:
        raise UnverifiedError(f"it cannot be read ({problem})") from problem
