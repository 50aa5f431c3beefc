"""The smallest state machine of a shard: registers, written once per request however often that is repeated."""

from typing import NamedTuple

import msgspec


class Put(NamedTuple):
    """One write as the log holds it: the request ``number`` of ``client``."""

    client: int
    number: int
    key: int
    value: int


_encoder = msgspec.msgpack.Encoder()
_puts = msgspec.msgpack.Decoder(Put)
_states = msgspec.msgpack.Decoder(tuple[dict[int, int], dict[int, int]])


class Registers:
    """What a shard holds."""

    def __init__(self) -> None:
        self._values: dict[int, int] = {}
        self._done: dict[int, int] = {}

    def apply(self, body: bytes) -> Put:
        """Apply an entry of the log; a repetition, and what its client gave up before, change nothing."""
        put = _puts.decode(body)
        if put.number > self._done.get(put.client, -1):
            self._done[put.client] = put.number
            self._values[put.key] = put.value
        return put

    def read(self, key: int) -> int | None:
        """The value of a register; None before its first write."""
        return self._values.get(key)

    def to_bytes(self) -> bytes:
        """The whole state."""
        return _encoder.encode((dict(sorted(self._values.items())), dict(sorted(self._done.items()))))

    @classmethod
    def from_bytes(cls, state: bytes) -> "Registers":
        """The state that ``to_bytes`` gave."""
        registers = cls()
        registers._values, registers._done = _states.decode(state)
        return registers


def to_body(put: Put) -> bytes:
    """A write as an entry of the log."""
    return _encoder.encode(put)
