"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

CONDITION_STYLES = {
    "alive": "green",
    "busy": "yellow",
    "suspect": "magenta",
    "dead": "red",
    "left": "dim",
    "closed": "green",
    "half_open": "yellow",
    "open": "red",
}


def console() -> Console:
    """The console of stdout. Without a terminal, lines are not wrapped."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout, indented if a person reads it."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = ()) -> Table:
    """A plain table; the columns named in `right` are aligned to the right. Conditions get their colour."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    to_the_right = set(right)
    for column in columns:
        made.add_column(column, justify="right" if column in to_the_right else "left", header_style="dim")
    for row in rows:
        made.add_row(*(_cell(cell) for cell in row))
    return made


def ago(seconds: float) -> str:
    """A duration as people say it: "12 s", "3 min", "2 h", "5 d"."""
    for limit, unit, factor in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if seconds < limit:
            return f"{seconds / factor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _cell(value: Any) -> Text:
    if isinstance(value, Text):
        return value
    text = str(value)
    return Text(text, style=CONDITION_STYLES.get(text, ""))
