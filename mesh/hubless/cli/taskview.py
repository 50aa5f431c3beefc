"""Tasks on a terminal: many as a table, one with all that is known of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hubless.cli.names import Names
from hubless.cli.screen import ago, styled, table
from hubless.consulted import known_since

_PREVIEW_CHARS = 400
_LINES_OF_DETAIL = 12
_MARK_CHARS = 30


def tasks_table(rows: list[dict[str, Any]], names: Names, now_s: float) -> Table:
    """Tasks, one a line; what is special about one is on a line below its id."""
    columns = ("task", "agent", "state", "try", "age", "node")
    lines = [
        (
            _head(row, names),
            row["agent"],
            row["state"],
            row["attempt"] or "-",
            ago(max(0.0, now_s - known_since(row))),
            names[row["executor"] or row["owner"]],
        )
        for row in rows
    ]
    return table(columns, lines, right=("try", "age"), whole=("task", "state", "try", "age"))


def task_view(row: dict[str, Any], names: Names, now_s: float) -> Group:
    """One task: a line for each thing that is known, then its failures, and the beginning of its result."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column()
    for name, told in _facts(row, names, now_s):
        grid.add_row(name, told)
    parts: list[RenderableType] = [grid]
    failures = row.get("failures") or []
    if failures:
        parts += [Text("\nfailures, the oldest first" if len(failures) > 1 else "\nfailure", style="bold")]
        detailed = [failure for failure in failures if failure.get("detail")][-1:]
        parts += [failure_view(failure, names, with_detail=failure in detailed) for failure in failures]
    parts += _superseded(row, names)
    if row.get("result") is not None:
        parts += [Text("\nresult", style="bold"), Text(_preview(row["result"]))]
    return Group(*parts)


def failure_view(failure: dict[str, Any], names: Names, *, with_detail: bool = False) -> Group:
    """What a failure says, where it was, and the end of its traceback."""
    head = Text(f"{failure['code']}: ", style="red") + Text(failure["message"])
    told = [
        part
        for part in (names.place(failure.get("where") or ""), f"effect {failure.get('effect', 'none')}")
        if part
    ]
    parts: list[RenderableType] = [
        Padding(head, (0, 0, 0, 2), expand=False),
        Padding(Text(", ".join(told), "dim"), (0, 0, 0, 4), expand=False),
    ]
    if with_detail and failure.get("detail"):
        lines = failure["detail"].rstrip().splitlines()[-_LINES_OF_DETAIL:]
        parts.append(Padding(Text("\n".join(lines), style="dim"), (0, 0, 0, 4), expand=False))
    return Group(*parts)


def _facts(row: dict[str, Any], names: Names, now_s: float) -> Iterator[tuple[str, RenderableType]]:
    yield "task", row["task"]
    yield "agent", row["agent"] + (f", key {row['key']!r}" if row["key"] else "")
    yield "state", styled(row["state"])
    for mark in _remarks(row, names):
        yield "", Text(mark, style="yellow")
    yield "shard", f"{row['shard']}, owned by {names[row['owner']]}"
    yield "attempts", _attempts(row, names)
    if row["submitted"] is None:
        yield "entered", _since(row["entered"], now_s)
        return
    yield "submitted", _since(row["submitted"], now_s)
    if row["ended"] is not None:
        yield "ended", f"{_clock(row['ended'])}, after {_span(row['ended'] - row['submitted'])}"
    else:
        left = row["deadline"] - now_s
        yield "deadline", _clock(row["deadline"]) + (f", in {ago(left)}" if left > 0 else ", passed")


def _attempts(row: dict[str, Any], names: Names) -> str:
    """How often the task was tried. What a node does apart from the task's shard, it does not count there."""
    attempt: int | None = row["attempt"]
    if row["provisional"]:
        by_shard = f"{attempt} by its shard, then " if attempt else ""
        return f"{by_shard}apart from it on {names[row['provisional']]}, it is not known how many"
    if not attempt:
        return "none"
    return f"{attempt}, the last on {names[row['executor']]}" if row["executor"] else str(attempt)


def _remarks(row: dict[str, Any], names: Names) -> Iterator[str]:
    if row["forked"]:
        yield "forked: its shard was given a new lineage while it was under way; it may have run before"
    if row["provisional"]:
        node = names[row["provisional"]]
        yield f"provisional: {node} ran it while it reached no majority of its shard, and told the outcome afterwards"
    if row.get("in_doubt"):
        yield "in doubt: its shard may have had another outcome before, and keeps none for that long"
    if row.get("merged"):
        yield f"merged: the result has taken in {row['merged']} of the superseded ones"


def _head(row: dict[str, Any], names: Names) -> Text:
    marks = ["forked"] if row["forked"] else []
    marks += [f"provisional ({names[row['provisional']]})"] if row["provisional"] else []
    marks += [f"key {row['key']!r}"] if row["key"] else []
    told = ", ".join(marks)
    shown = told if len(told) <= _MARK_CHARS else told[: _MARK_CHARS - 1] + "…"
    return Text(row["task"]) + Text(f"\n  {shown}", style="dim") if marks else Text(row["task"])


def _superseded(row: dict[str, Any], names: Names) -> list[RenderableType]:
    others = row.get("superseded") or []
    if not others:
        return []
    parts: list[RenderableType] = [Text("\nsuperseded: outcomes that were not the first", style="bold")]
    for other in others:
        failure = other.get("failure")
        told = f"{failure['code']}: {failure['message']}" if failure else _preview(str(other.get("result")))
        parts.append(Padding(Text(f"{names[other.get('node') or '']}: {told}"), (0, 0, 0, 2), expand=False))
    return parts


def _preview(text: str) -> str:
    return text if len(text) <= _PREVIEW_CHARS else text[: _PREVIEW_CHARS - 1] + "…"


def _since(moment: float, now_s: float) -> str:
    return f"{_clock(moment)}, {ago(max(0.0, now_s - moment))} ago"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _span(seconds: float) -> str:
    return f"{max(0.0, seconds) * 1000:.0f} ms" if seconds < 10 else ago(seconds)
