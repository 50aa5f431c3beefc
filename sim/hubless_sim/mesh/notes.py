"""What clients and workers of whole nodes note: checkers and pictures go by it."""

from typing import Self

import msgspec

from hubless.wire import Answer
from hubless_agents import Effect


class Answered(msgspec.Struct, frozen=True):
    """An answer has reached its client; ``call`` is the call's number, ``code`` is "" for a success."""

    call: int
    task: bytes
    gateway: int
    payload: bytes
    code: str
    effect: Effect
    executor: str
    attempt: int
    provisional: bool = False
    where: str = ""
    """Who says so, of a failure."""

    @property
    def is_decided(self) -> bool:
        """Whether this is the outcome that a log has, and no refusal or impatience on the way there."""
        if self.provisional:
            return False
        if self.code == "" or self.attempt > 0:
            return True
        return self.where.startswith("owner") and self.code in ("cancelled", "expired")

    @classmethod
    def told(cls, call: int, gateway: int, answer: Answer) -> Self:
        """The note of a client that has read this answer to a call of its own."""
        failure = answer.failure
        return cls(
            call,
            answer.task,
            gateway,
            answer.payload or b"",
            "" if failure is None else failure.code,
            Effect.DONE if failure is None else failure.effect,
            answer.node,
            answer.attempt,
            answer.provisional,
            "" if failure is None else failure.where,
        )


class Handed(msgspec.Struct, frozen=True):
    """A call was handed to a gateway for the first time under this id."""

    call: int
    task: bytes


class Receipt(msgspec.Struct, frozen=True):
    """A client was told that its task is kept."""

    call: int
    task: bytes


class Queried(msgspec.Struct, frozen=True):
    """A query of the tape was sent, about this task (b"" if it is about none)."""

    query: int
    task: bytes


class GaveUp(msgspec.Struct, frozen=True):
    """The deadline of the call, and some grace, has passed without any answer."""

    call: int
    task: bytes


class Stray(msgspec.Struct, frozen=True):
    """An answer has reached a client that does not wait for one: a second answer, or one given up."""

    task: bytes
    gateway: int


class Started(msgspec.Struct, frozen=True):
    """A worker has begun to run an attempt: from here on its effect may have happened."""

    task: bytes
    attempt: int
    agent: str


class Misled(msgspec.Struct, frozen=True):
    """An attempt is about to answer what it should not, by a fault: whoever hears it must hear just that."""

    task: bytes
    attempt: int
    payload: bytes
