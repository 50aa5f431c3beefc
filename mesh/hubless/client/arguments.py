"""What callers hand in, checked before it can spoil a frame that other calls share."""

from __future__ import annotations

from hubless.tasks.attempts import LONGEST_DEADLINE_MS

_NAME_CHARS = 200


def check_name(field: str, name: str) -> None:
    """Accepts what can travel as an agent's name, a key or the argument of a question.

    Raises:
        ValueError: too long, or not encodable (a lone surrogate, such as a byte of a command line that is not UTF-8).
    """
    if len(name) > _NAME_CHARS:
        raise ValueError(f"{field} has {len(name)} characters; at most {_NAME_CHARS} are allowed")
    try:
        name.encode()
    except UnicodeEncodeError as problem:
        raise ValueError(
            f"{field} is {name!r}, which cannot be encoded: give text that is UTF-8"
        ) from problem


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
