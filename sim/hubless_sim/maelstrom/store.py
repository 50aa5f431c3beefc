"""Keys and values: the state machine of the one shard that a cluster has for them."""

from __future__ import annotations

from typing import Any

import msgspec

from hubless_sim.maelstrom.protocol import Error

ABSENT = object()


class Change(msgspec.Struct, frozen=True, tag_field="kind", tag="write"):
    """An entry of the log: ``ticket`` of ``node`` writes a value."""

    node: str
    ticket: int
    key: Any
    value: Any


class Swap(msgspec.Struct, frozen=True, tag_field="kind", tag="cas"):
    """An entry of the log: writes a value if the key has another one, compare and set."""

    node: str
    ticket: int
    key: Any
    expected: Any
    value: Any


Order = Change | Swap

_encoder = msgspec.json.Encoder()
_entries = msgspec.json.Decoder(Order)
_states = msgspec.json.Decoder(list[tuple[Any, Any]])


class Store:
    """All keys.  A key is any JSON value, and is kept by its text."""

    def __init__(self, state: bytes = b"[]") -> None:
        self._values: dict[bytes, tuple[Any, Any]] = {
            _encoder.encode(key): (key, value) for key, value in _states.decode(state)
        }

    def to_bytes(self) -> bytes:
        """The whole state."""
        return _encoder.encode(list(self._values.values()))

    def read(self, key: Any) -> Any:
        """The value of a key; ABSENT if it has none."""
        return self._values.get(_encoder.encode(key), (key, ABSENT))[1]

    def apply(self, entry: Order) -> Error | None:
        """Carries an entry out; returns why it changed nothing."""
        if isinstance(entry, Swap):
            value = self.read(entry.key)
            if value is ABSENT:
                return Error.KEY_DOES_NOT_EXIST
            if value != entry.expected:
                return Error.PRECONDITION_FAILED
        self._values[_encoder.encode(entry.key)] = (entry.key, entry.value)
        return None


def to_body(entry: Order) -> bytes:
    """An entry as the log holds it."""
    return _encoder.encode(entry)


def to_entry(body: bytes) -> Order:
    """What `to_body` wrote."""
    entry: Order = _entries.decode(body)
    return entry
