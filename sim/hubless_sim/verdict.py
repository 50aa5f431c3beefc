"""What a run comes to: whether all held, and what did not."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

Verdict = Literal["held", "violated", "broken"]
"""``broken``: a core raised, so the run could not go on."""


class Violation(msgspec.Struct, frozen=True):
    """Something that must hold and does not.

    ``checker`` names the rule, the same for all breaches of it: two runs that break the same rule fail alike.
    ``at_ns`` is null for what is only seen at the end; ``nodes`` are those that it is seen on.
    """

    checker: str
    text: str
    at_ns: int | None = None
    nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


def breaches(checker: str, texts: Iterable[str]) -> Iterator[Violation]:
    """Violations of one rule, of each text one."""
    return (Violation(checker, text) for text in texts)
