"""Shards on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.table import Table

from hubless.cli.names import Names
from hubless.cli.screen import table
from hubless.shard.fork import term_within

CONDITIONS = (
    "healthy",
    "moving",
    "electing",
    "under-replicated",
    "disk full",
    "journal failed",
    "damaged",
    "outlived",
    "quorum_lost",
)
"""From what is as it should be to what is lost without a human."""


def count_by_condition(shards: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many shards are in which condition, the worst last."""
    counts = Counter(row["condition"] for row in shards)
    return {name: counts[name] for name in sorted(counts, key=_rank)}


def shards_table(shards: list[dict[str, Any]], names: Names) -> Table:
    """Shards, one a line."""
    columns = ("shard", "condition", "owner", "term", "log", "live", "kept", "replicas")
    lines = [
        (
            row["shard"],
            row["condition"],
            names[row["owner"]],
            _term(row),
            _log(row),
            row["live"],
            row["kept"],
            _replicas(row, names),
        )
        for row in shards
    ]
    right = ("shard", "term", "log", "live", "kept")
    return table(columns, lines, right=right, whole=("shard", "condition", "term", "log", "live", "kept"))


def _term(row: dict[str, Any]) -> str:
    """The term; with how often the shard was forked before it."""
    forks = row.get("forks", 0)
    return f"{term_within(row['term'])} (fork {forks})" if forks else str(row["term"])


def _log(row: dict[str, Any]) -> str:
    """The last index; with what is not committed yet beside it."""
    open_entries = row["index"] - row["commit"]
    return str(row["index"]) if not open_entries else f"{row['commit']}+{open_entries}"


def _replicas(row: dict[str, Any], names: Names) -> str:
    """Voters; "-3": so many entries behind; "(joins)": a learner; "(goes)": of the outgoing configuration only."""
    lag = row["lag"]
    parts = []
    for kind, mark in (("voters", ""), ("outgoing", " (goes)"), ("learners", " (joins)")):
        for node in row[kind]:
            if kind == "outgoing" and node in row["voters"]:
                continue
            behind = f" -{lag[node]}" if lag.get(node) else ""
            parts.append(names[node] + behind + mark)
    return ", ".join(parts) or "-"


def _rank(condition: str) -> tuple[int, str]:
    return (CONDITIONS.index(condition) if condition in CONDITIONS else len(CONDITIONS), condition)
