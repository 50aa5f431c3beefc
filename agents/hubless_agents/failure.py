"""Failures are values: what failed, where, and whether the effect may have happened.

A `Failure` travels to the caller instead of an answer. `effect` is the part that a caller needs to decide
about a repetition: "none" means that the agent's code certainly did not run, "done" that it ran to its end
(only its answer was refused), "maybe" that nobody knows.
"""

import enum
from typing import Final, Literal

import msgspec

MESSAGE_LIMIT_CHARS: Final = 500
DETAIL_LIMIT_CHARS: Final = 4_000

Code = Literal[
    "unknown_agent",
    "bad_input",
    "payload_too_large",
    "overloaded",
    "no_executor",
    "quarantined",
    "expired",
    "cancelled",
    "raised",
    "bad_output",
    "deadline",
    "out_of_memory",
    "worker_died",
    "unreachable",
    "refused",
]
"""The closed set of failure codes; README.md has the table with what each says about the effect."""


class Effect(enum.StrEnum):
    """May what the agent does to the world have happened?"""

    NONE = "none"
    MAYBE = "maybe"
    DONE = "done"


class Failure(msgspec.Struct, frozen=True):
    """One failed attempt. `where` is "node/agent" or "node/agent/worker"; `detail` is a traceback's tail."""

    code: Code
    message: str
    where: str = ""
    effect: Effect = Effect.NONE
    retry_after_ms: int | None = None
    detail: str = ""


def failure(
    code: Code,
    message: str,
    *,
    where: str = "",
    effect: Effect = Effect.NONE,
    retry_after_ms: int | None = None,
    detail: str = "",
) -> Failure:
    """A `Failure` within the size limits: the head of the message, the tail of the detail."""
    if len(message) > MESSAGE_LIMIT_CHARS:
        message = message[: MESSAGE_LIMIT_CHARS - 1] + "…"
    if len(detail) > DETAIL_LIMIT_CHARS:
        detail = "…" + detail[-(DETAIL_LIMIT_CHARS - 1) :]
    return Failure(
        code=code,
        message=message,
        where=where,
        effect=effect,
        retry_after_ms=retry_after_ms,
        detail=detail,
    )
