"""What operators are told of tasks and shards, as JSON-like values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hubless.shard.fork import forks_of
from hubless.tasks.process import node_of
from hubless.tasks.row import Row
from hubless_agents import Failure

DEFAULT_LIMIT = 100
MOST_ROWS = 1_000
_SHOWN_BYTES = 4_096


class _ShardShape(msgspec.Struct):
    shard: int
    is_owner: bool
    term: int
    owner: str


class _ShardsShape(msgspec.Struct):
    shards: list[_ShardShape]


class _TaskShape(msgspec.Struct):
    submitted: float | None
    entered: float | None = None


class _TasksShape(msgspec.Struct):
    tasks: list[_TaskShape]
    counts: dict[str, int]
    owned: list[int] = []


def body_of(what: str, raw: bytes) -> dict[str, Any] | None:
    """What another node says about "shards", "tasks" or "dead_letters", if `merged` can use it."""
    try:
        msgspec.json.decode(raw, type=_ShardsShape if what == "shards" else _TasksShape)
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def task_row(row: Row, owner: str, *, with_failures: bool = False) -> dict[str, Any]:
    """A task in a list. Times are unix seconds.

    `provisional` ran the task apart, beside the shard's own attempts, which `attempt` counts. Of a task that the shard
    had not known it told the outcome only: `entered` is then when that came, and what was before is None.
    """
    is_entered = _is_entered(row)
    told: dict[str, Any] = {
        "task": row.task.hex(),
        "agent": row.agent,
        "key": row.key,
        "state": row.state.value,
        "attempt": None if is_entered else row.attempt,
        "executor": row.provisional_from or node_of(row.executor),
        "owner": owner,
        "shard": int.from_bytes(row.task[:2], "big"),
        "submitted": None if is_entered else row.submitted_ms / 1000,
        "entered": row.submitted_ms / 1000 if is_entered else None,
        "ended": row.ended_ms / 1000 if row.ended_ms and not is_entered else None,
        "deadline": None if is_entered else row.deadline_ms / 1000,
        "forked": row.forked,
        "provisional": row.provisional_from,
        "merged": row.merged,
        "in_doubt": row.in_doubt,
    }
    if with_failures:
        told["failures"] = [_failure(failure) for failure in row.failures]
    return told


def task_details(row: Row, owner: str, *, is_cut: bool = True) -> dict[str, Any]:
    """All that is known of a task. Results are cut to 4 KiB if `is_cut`; superseded ones always are."""
    return {
        **task_row(row, owner, with_failures=True),
        "result": None
        if row.result is None
        else _text(row.result if not is_cut else row.result[:_SHOWN_BYTES]),
        "superseded": [
            {
                "node": other.node,
                "at": other.at_ms / 1000,
                "result": None if other.result is None else _text(other.result[:_SHOWN_BYTES]),
                "failure": None if other.failure is None else _failure(other.failure),
            }
            for other in row.superseded
        ],
    }


def known_since(row: dict[str, Any]) -> float:
    """When the shard of a told task first heard of it."""
    return next((row[when] for when in ("submitted", "entered") if row.get(when) is not None), 0.0)


def merged(
    what: str, bodies: Sequence[dict[str, Any]], limit: int, label: Callable[[str], str], shards: int
) -> dict[str, Any]:
    """One answer of those of several nodes. Of the `unowned` shards nobody told the tasks."""
    if what == "shards":
        return {"shards": _shards(bodies, label)}
    counts: dict[str, int] = {}
    for body in bodies:
        for state, count in body["counts"].items():
            counts[state] = counts.get(state, 0) + count
    tasks = sorted((row for body in bodies for row in body["tasks"]), key=known_since)
    owned = {shard for body in bodies for shard in body.get("owned", ())}
    return {
        "tasks": tasks[-limit:],
        "counts": counts,
        "unowned": [shard for shard in range(shards) if shard not in owned],
    }


def _shards(bodies: Sequence[dict[str, Any]], label: Callable[[str], str]) -> list[dict[str, Any]]:
    """For each shard what its owner says, and while it has none what the replica says that knows the newest term."""
    best: dict[int, dict[str, Any]] = {}
    for body in bodies:
        for row in body["shards"]:
            known = best.get(row["shard"])
            if known is None or (row["is_owner"], row["term"]) > (known["is_owner"], known["term"]):
                best[row["shard"]] = row
    rows = [best[shard] for shard in sorted(best)]
    for row in rows:
        row["owner_name"] = label(row["owner"]) if row["owner"] else ""
    return rows


def with_lost(rows: list[dict[str, Any]], terms: Sequence[int]) -> list[dict[str, Any]]:
    """All shards of the mesh, given the latest known term of each: a shard of which nobody has a replica is lost."""
    known = {row["shard"]: row for row in rows}
    return [known.get(shard) or _lost(shard, term) for shard, term in enumerate(terms)]


def _lost(shard: int, term: int) -> dict[str, Any]:
    return {
        "shard": shard,
        "owner": "",
        "owner_name": "",
        "is_owner": False,
        "term": term,
        "index": 0,
        "commit": 0,
        "voters": [],
        "outgoing": [],
        "learners": [],
        "lag": {},
        "condition": "quorum_lost",
        "last_term": 0,
        "forks": forks_of(term),
        "live": 0,
        "kept": 0,
    }


def _is_entered(row: Row) -> bool:
    """Whether the shard first heard of the task with its provisional outcome: such a row begins at its deadline."""
    return bool(row.provisional_from) and row.deadline_ms == row.submitted_ms


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "code": failure.code,
        "message": failure.message,
        "where": failure.where,
        "effect": failure.effect.value,
        "detail": failure.detail,
    }


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
