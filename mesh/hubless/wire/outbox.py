"""Coalescing: all messages of a tick to one receiver leave in one frame, or few if they are large."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from hubless.wire.codec import Limits, encode
from hubless.wire.messages import Message
from hubless.wire.replication import Append, Install

Receiver = TypeVar("Receiver", bound=Hashable)

_OVERHEAD_BYTES = 512
_ENTRY_BYTES = 32


class Outbox(Generic[Receiver]):
    """Messages that wait for the end of the tick, by receiver, in the order of their first message.

    `unencodable` counts messages that were dropped because they cannot be written to a frame; whoever makes
    messages checks them before, so it stays 0.
    """

    def __init__(self, *, mesh: bytes, sender: str, boot: int, limits: Limits) -> None:
        self._mesh = mesh
        self._sender = sender
        self._boot = boot
        self._limits = limits
        self._waiting: dict[Receiver, list[Message]] = {}
        self.unencodable = 0

    def add(self, receiver: Receiver, message: Message) -> None:
        """Keeps a message until `frames`."""
        waiting = self._waiting.get(receiver)
        if waiting is None:
            self._waiting[receiver] = [message]
        else:
            waiting.append(message)

    def forget(self, receiver: Receiver) -> None:
        """Drops what waits for a receiver that is gone."""
        self._waiting.pop(receiver, None)

    def frames(self) -> Iterator[tuple[Receiver, list[bytes]]]:
        """Encodes and forgets what waits: (receiver, frame) pairs, each frame within the limits of a receiver."""
        if not self._waiting:
            return iter(())
        waiting, self._waiting = self._waiting, {}
        return self._frames(waiting)

    def _frames(self, waiting: dict[Receiver, list[Message]]) -> Iterator[tuple[Receiver, list[bytes]]]:
        for receiver, messages in waiting.items():
            for batch in self._batches(messages):
                for frame in self._encoded(batch):
                    yield receiver, frame

    def _encoded(self, batch: list[Message]) -> list[list[bytes]]:
        """One frame; if some message cannot be encoded, one for each of the others."""
        try:
            return [encode(self._mesh, self._sender, self._boot, batch)]
        except (ValueError, OverflowError, TypeError):  # a lone surrogate, a number over 64 bits
            if len(batch) > 1:
                return [frame for message in batch for frame in self._encoded([message])]
            self.unencodable += 1
            return []

    def _batches(self, messages: list[Message]) -> Iterator[list[Message]]:
        if len(messages) == 1:
            yield messages
            return
        batch: list[Message] = []
        size = 0
        for message in messages:
            weight = _weight(message)
            if batch and (
                size + weight > self._limits.frame_bytes // 2 or len(batch) >= self._limits.messages
            ):
                yield batch
                batch, size = [], 0
            batch.append(message)
            size += weight
        yield batch


def _weight(message: Message) -> int:
    """About how many bytes a message takes."""
    match message:
        case Append(entries=entries):
            return _OVERHEAD_BYTES + sum(_ENTRY_BYTES + len(entry.body) for entry in entries)
        case Install(chunk=chunk):
            return _OVERHEAD_BYTES + len(chunk)
        case _:
            return _OVERHEAD_BYTES + len(getattr(message, "payload", b"") or b"")
