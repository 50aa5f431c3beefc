"""What a running node says to people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line for people: `source` is "node" or "worker N", `level` "info", "warning" or "error".

    A line about a member's condition names the member and its new condition for programs too.
    """

    source: str
    level: str
    text: str
    member: str = ""
    condition: str = ""
