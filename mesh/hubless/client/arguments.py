"""What callers hand in, checked before it can spoil a frame that other calls share."""

from __future__ import annotations

from typing import Literal

from hubless.tasks.attempts import LONGEST_DEADLINE_MS
from hubless.wire import Durability

DurabilityName = Literal["replicated", "none"]

_NAME_CHARS = 200
_DURABILITIES = {None: Durability.OF_AGENT, "none": Durability.NONE, "replicated": Durability.REPLICATED}


def check_name(field: str, name: str, *, most: int = _NAME_CHARS) -> None:
    """Accepts what can travel as an agent's name, a key or the argument of a question.

    Raises:
        ValueError: too long, or not encodable (a lone surrogate, such as a byte of a command line that is not UTF-8).
    """
    if len(name) > most:
        raise ValueError(f"{field} has {len(name)} characters; at most {most} are allowed")
    try:
        name.encode()
    except UnicodeEncodeError as problem:
        raise ValueError(
            f"{field} is {name!r}, which cannot be encoded: give text that is UTF-8"
        ) from problem


def check_agent(name: str) -> None:
    """Accepts what can travel as the name of an agent.

    Raises:
        ValueError: empty, or as `check_name`.
    """
    if not name:
        raise ValueError("agent is empty; give the name of an agent")
    check_name("agent", name)


def patience_ms(timeout: float | None) -> int | None:
    """A timeout in seconds as whole milliseconds: at least one, and at most the seven days that a mesh keeps tasks.

    Raises:
        ValueError: zero, negative, or not a number.
    """
    if timeout is None:
        return None
    if not timeout > 0:
        raise ValueError(f"timeout is {timeout} s; it must be positive")
    return max(1, round(min(timeout * 1000, LONGEST_DEADLINE_MS)))


def durability_of(name: DurabilityName | None) -> Durability:
    """What travels for a durability as callers write it; None leaves it to the agent.

    Raises:
        ValueError: there is no such durability.
    """
    if name not in _DURABILITIES:
        raise ValueError(f"durability is {name!r}; choose 'replicated' or 'none', or leave it to the agent")
    return _DURABILITIES[name]


def check_submission(
    agent: str, payload: bytes, *, key: str, idempotency_key: str, timeout_ms: int | None
) -> None:
    """Accepts what can travel as a task.

    Raises:
        ValueError: an argument that no mesh could accept; the text names it.
        TypeError: the payload is not bytes.
    """
    check_agent(agent)
    if key:
        check_name("key", key)
    if idempotency_key:
        check_name("idempotency_key", idempotency_key)
    if not isinstance(payload, bytes):
        raise TypeError(f"payload is a {type(payload).__name__}; give JSON as bytes")
    if timeout_ms is not None and timeout_ms <= 0:
        raise ValueError(f"timeout is {timeout_ms / 1000} s; it must be positive")
