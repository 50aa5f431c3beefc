"""Verdicts and violations as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from hubless_sim.verdict import Verdict, Violation

_STYLES: dict[Verdict, str] = {"held": "bold green", "violated": "bold red", "broken": "bold red"}


def verdict_text(verdict: Verdict) -> Text:
    """The verdict in its colour."""
    return Text(verdict, style=_STYLES[verdict])


def violation_text(violation: Violation) -> Text:
    """ "election safety at 3.210 s on n1, n2: two owners in term 4"."""
    where = "" if violation.at_ns is None else f" at {violation.at_ns / 1e9:.3f} s"
    if violation.nodes:
        where += f" on {', '.join(violation.nodes)}"
    return Text.assemble((violation.checker, "bold red"), where, f": {violation.text}")


def print_violations(
    screen: Console, violations: Sequence[Violation], *, indent: str = "", most: int = 20
) -> None:
    """The violations, each on a line, the first of many."""
    for violation in violations[:most]:
        screen.print(Text(indent) + violation_text(violation))
    if len(violations) > most:
        screen.print(f"{indent}and {len(violations) - most} more; see --json", style="dim")
