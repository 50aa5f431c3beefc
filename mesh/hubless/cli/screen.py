"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

STYLES = {
    "alive": "green",
    "busy": "yellow",
    "suspect": "magenta",
    "dead": "red",
    "left": "dim",
    "closed": "green",
    "half_open": "yellow",
    "open": "red",
    "healthy": "green",
    "under-replicated": "yellow",
    "electing": "yellow",
    "moving": "cyan",
    "quorum_lost": "bold red",
    "damaged": "red",
    "journal failed": "red",
    "disk full": "red",
    "queued": "cyan",
    "running": "blue",
    "succeeded": "green",
    "failed": "red",
    "expired": "magenta",
    "cancelled": "dim",
}
"""Colours of the conditions of members, breakers, shards and tasks; a dead task looks like a dead node."""


def console() -> Console:
    """The console of stdout. Without a terminal, lines are not wrapped."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout, indented if a person reads it."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> Table:
    """A plain table; conditions get their colour.

    The columns named in `right` are aligned to the right; those in `whole` are never wrapped, however narrow the
    terminal is.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    to_the_right, unbroken = set(right), set(whole)
    for column in columns:
        justify: JustifyMethod = "right" if column in to_the_right else "left"
        made.add_column(column, justify=justify, no_wrap=column in unbroken, header_style="dim")
    for row in rows:
        made.add_row(*(_cell(cell) for cell in row))
    return made


def ago(seconds: float) -> str:
    """A duration as people say it: "12 s", "3 min", "2 h", "5 d"."""
    for limit, unit, factor in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if seconds < limit:
            return f"{seconds / factor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def styled(condition: str) -> Text:
    """A condition in its colour."""
    return Text(condition, style=STYLES.get(condition, ""))


def counted(counts: Mapping[str, int], *, is_certain: bool = True) -> Text:
    """ "3 running, 12 succeeded": conditions that occur, in their order, each in its colour.

    Unless it `is_certain` that all were asked, there may be others.
    """
    parts = [Text(f"{count:,} ") + styled(condition) for condition, count in counts.items() if count]
    return Text(", ").join(parts) if parts else Text("none" if is_certain else "none known")


def print_silence(screen: Console, nodes: Sequence[str], named: Callable[[Sequence[str]], str]) -> None:
    """Says which nodes did not answer in time; what only they know is missing from what was shown."""
    if nodes:
        text = (
            f"no answer in time from {named(nodes)}: what only they know is missing here; see `mesh members`"
        )
        screen.print(text, style="yellow")


def print_unowned(screen: Console, shards: list[int]) -> None:
    """Says of which shards nobody could tell the tasks: there may be an owner that did not answer."""
    if shards:
        which = f"shard {shards[0]}" if len(shards) == 1 else f"shards {ranges(shards)}"
        whose = "its" if len(shards) == 1 else "their"
        text = f"no owner of {which} has answered: {whose} tasks are missing here; see `mesh shards`"
        screen.print(text, style="yellow")


def ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 7] as "1-3 7"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def _cell(value: Any) -> Text:
    return value if isinstance(value, Text) else styled(str(value))
