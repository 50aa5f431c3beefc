"""Messages of Maelstrom's protocol, and its error codes.

As https://github.com/jepsen-io/maelstrom/blob/main/doc/protocol.md has them: `src`, `dest`, and a `body` with a `type`,
mostly a `msg_id`, and in answers `in_reply_to`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

MOST_LINE_BYTES = 4 * 1024 * 1024

Body = dict[str, Any]


class ProtocolError(ValueError):
    """A line is no message; nothing was done."""


class Envelope(msgspec.Struct, frozen=True):
    """One message."""

    src: str
    dest: str
    body: Body

    def reply(self, body: Body) -> Envelope:
        """The answer to this message."""
        answers = {"in_reply_to": self.body["msg_id"]} if "msg_id" in self.body else {}
        return Envelope(self.dest, self.src, body | answers)

    def refusal(self, error: Error, text: str) -> Envelope:
        """An error as the answer."""
        return self.reply({"type": "error", "code": int(error), "text": text})


class Error(IntEnum):
    """What an answer of type "error" may say."""

    TIMEOUT = 0
    NOT_SUPPORTED = 10
    TEMPORARILY_UNAVAILABLE = 11
    MALFORMED_REQUEST = 12
    KEY_DOES_NOT_EXIST = 20
    PRECONDITION_FAILED = 22

    @property
    def is_definite(self) -> bool:
        """Whether the request certainly had no effect."""
        return self is not Error.TIMEOUT


_lines = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()


def read(line: bytes) -> Envelope:
    """A line as a message; raises ProtocolError."""
    if len(line) > MOST_LINE_BYTES:
        raise ProtocolError(f"a line of {len(line)} bytes; the limit is {MOST_LINE_BYTES}")
    try:
        envelope = _lines.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ProtocolError(f"not a message: {problem}") from problem
    if not isinstance(envelope.body.get("type"), str):
        raise ProtocolError("not a message: its body has no `type`")
    return envelope


def write(envelope: Envelope) -> bytes:
    """A message as a line, without the line's end."""
    return _encoder.encode(envelope)
