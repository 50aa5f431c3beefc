"""What a tape has the workers of its tasks do, and what comes of a task that is done."""

from typing import Literal

import msgspec

Deed = Literal["answer", "raise", "garble", "crash", "hang", "babble"]
"""What a worker does with a task: answers; raises; answers what the schema forbids; dies; never comes back;
writes something that is not of the protocol."""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of a scripted task: attempt ``k`` does ``does[k - 1]``, later ones answer.

    ``ms`` null draws the service time: the profile's shortest plus an exponential share.
    """

    n: int
    does: tuple[Deed, ...] = ()
    ms: float | None = None

    def to_payload(self) -> bytes:
        """As a task carries it."""
        return msgspec.json.encode(self)


class Reply(msgspec.Struct, frozen=True):
    """What a scripted agent answers: ``out`` follows from ``n``, so that anybody can check it."""

    n: int
    out: int


class Signed(Reply, frozen=True):
    """A reply as it is written, with the attempt that came to it."""

    attempt: int


def answer_of(n: int) -> int:
    """What the scripted agents compute."""
    return n * n + 7
