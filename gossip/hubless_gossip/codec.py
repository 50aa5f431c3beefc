"""Packets to bytes and back. The only place that sees foreign bytes; nothing it is given makes it raise.

A packet is one MessagePack array, `[version, mesh, sender, boot, signature, [message, ...]]`, and a message
is an array that begins with its tag. Messages are packed one by one and joined, so that a rumour is packed
once however often it is sent, and sizes are exact. Statements travel as opaque bytes inside their message: what
their subject will sign stays as it packed it, and decoding one twice costs a dictionary lookup.
"""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import Annotated, Any

import msgpack
import msgspec
from msgspec import Meta, Struct

from hubless_gossip.claims import Claim, Standing, Statement, alive
from hubless_gossip.member import Count, NodeId
from hubless_gossip.messages import BLOB_MAX_BYTES, MESSAGES, SIGNATURE_MAX_BYTES, Entry, Message

VERSION = 1
MESSAGES_MAX = 4096
PACKET_MAX_BYTES = 64 * 1024

_TYPES: dict[int, type[Message]] = {kind.__struct_config__.tag: kind for kind in MESSAGES}  # type: ignore[misc]
_MALFORMED = (ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError)


class Fault(enum.Enum):
    """Why a packet was dropped whole."""

    MALFORMED = "malformed"
    OTHER_VERSION = "other_version"
    OTHER_MESH = "other_mesh"


class Envelope(Struct, frozen=True):
    """A decoded packet. `unknown` and `malformed` count messages that were skipped."""

    sender: str
    boot: int
    messages: list[Message]
    unknown: int
    malformed: int


class _Header(Struct, frozen=True, array_like=True):
    sender: NodeId
    boot: Count
    signature: Annotated[bytes, Meta(max_length=SIGNATURE_MAX_BYTES)]


def pack_message(message: Message) -> bytes:
    """The bytes of one message, to be joined by `pack_packet`."""
    return _packed(msgspec.to_builtins(message, builtin_types=(bytes,)))


def pack_header(mesh: bytes, sender: str, boot: int) -> bytes:
    """The fixed beginning of every packet of one process: five of the envelope's six elements."""
    plain = [VERSION, mesh, sender, boot, b"", []]
    return _packed(plain)[:-1]


def pack_packet(header: bytes, messages: list[bytes]) -> bytes:
    """A packet of packed messages. Its size is `packet_size(...)` of the parts."""
    count = len(messages)
    prefix = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return b"".join((header, prefix, *messages))


def packet_size(header: bytes, messages_bytes: int) -> int:
    """An upper bound of a packet's size, three bytes for the array header included."""
    return len(header) + 3 + messages_bytes


def unpack_packet(raw: bytes, mesh: bytes) -> Envelope | Fault:
    """Decode what arrived. Unknown and malformed messages are skipped, the others of the packet survive."""
    plain = _unpacked(raw)
    if plain is None or not isinstance(plain[0], int):
        return Fault.MALFORMED
    if plain[0] != VERSION:
        return Fault.OTHER_VERSION
    if len(plain) != 6 or not isinstance(plain[1], bytes) or not isinstance(plain[5], list):
        return Fault.MALFORMED
    if plain[1] != mesh:
        return Fault.OTHER_MESH
    try:
        header = msgspec.convert(plain[2:5], _Header, builtin_types=(bytes,))
    except _MALFORMED:
        return Fault.MALFORMED
    return _envelope(header, plain[5])


def _unpacked(raw: bytes) -> list[Any] | None:
    if not 12 <= len(raw) <= PACKET_MAX_BYTES:
        return None
    try:
        plain = msgpack.unpackb(
            raw,
            raw=False,
            strict_map_key=True,
            max_bin_len=BLOB_MAX_BYTES,
            max_str_len=256,
            max_array_len=MESSAGES_MAX,
            max_map_len=0,
            max_ext_len=0,
        )
    except _MALFORMED:
        return None
    return plain if isinstance(plain, list) and plain else None


def _envelope(header: _Header, plain_messages: list[Any]) -> Envelope:
    messages: list[Message] = []
    unknown = malformed = 0
    for plain in plain_messages:
        if not isinstance(plain, list) or not plain or type(plain[0]) is not int:
            malformed += 1
            continue
        kind = _TYPES.get(plain[0])
        if kind is None:
            unknown += 1
            continue
        try:
            messages.append(msgspec.convert(plain, kind, builtin_types=(bytes,)))
        except _MALFORMED:
            malformed += 1
    return Envelope(header.sender, header.boot, messages, unknown, malformed)


@lru_cache(maxsize=8192)
def pack_statement(statement: Statement) -> bytes:
    """The bytes that stand for a statement everywhere (and that its subject will sign)."""
    return _packed(msgspec.to_builtins(statement, builtin_types=(bytes,)))


@lru_cache(maxsize=8192)
def unpack_statement(blob: bytes) -> Claim | None:
    """The claim that a statement's bytes make, or None if they are not one, or not the canonical one."""
    try:
        plain = msgpack.unpackb(blob, raw=False, strict_map_key=True, max_map_len=0, max_ext_len=0)
        statement = msgspec.convert(plain, Statement, builtin_types=(bytes,))
        if pack_statement(statement) != blob:
            return None
    except _MALFORMED:
        return None
    return alive(statement)


def entry_of(claim: Claim) -> Entry:
    """A claim as it travels in a push-pull. It must have a statement."""
    statement, standing = claim.statement, claim.standing
    if statement is None:
        raise ValueError(f"claim about {claim.node} has no statement: only accusations travel without one")
    plain = (
        standing.rank == 0
        and standing.round == 0
        and standing.incarnation == statement.incarnation
        and standing.boot == statement.boot
    )
    return Entry(pack_statement(statement), None if plain else standing)


def claim_of(entry: Entry) -> Claim | None:
    """The inverse of `entry_of`; None if the statement in it is not one."""
    claim = unpack_statement(entry.blob)
    if claim is None or entry.standing is None:
        return claim
    return Claim(claim.node, tidy(entry.standing), claim.statement)


def tidy(standing: Standing) -> Standing:
    """A foreign standing with its evidence sorted and without repetition, as our own always are."""
    accusers, gone = standing.accusers, standing.gone
    if len(accusers) < 2 and len(gone) < 2:
        return standing
    return Standing(
        standing.boot,
        standing.incarnation,
        standing.round,
        standing.rank,
        tuple(sorted(set(accusers))),
        tuple(sorted(set(gone))),
    )


def _packed(plain: Any) -> bytes:
    packed: bytes = msgpack.packb(plain, use_bin_type=True)
    return packed
