"""What is wrong with a mesh, and what to do about it: one sentence for each kind of trouble, the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hubless.cli.names import Names
from hubless.cli.screen import ranges
from hubless.cli.shardview import CONDITIONS
from hubless.shard.quorum import has_quorum
from hubless.wire.replication import Config


@dataclass(frozen=True, slots=True)
class Problem:
    """`is_grave`: it does not pass by itself."""

    what: str
    remedy: str
    is_grave: bool = True


_SHARDS = {
    "quorum_lost": (
        "no majority of their replicas can be reached, and their tasks are not among those shown",
        "start the missing nodes again with their data; if that is gone for ever, see `mesh fork SHARD`",
    ),
    "damaged": (
        "a replica cannot read what it wrote, and does not vote",
        "look at its node's log; `mesh drain NODE` replaces it by another node",
    ),
    "outlived": (
        "they were forked, and what is seen here is of before",
        "this passes as soon as the nodes of the new lineage are within reach",
    ),
    "journal failed": (
        "a node cannot write its journal any more, and does not vote",
        "look at its log and its disk, then start it again",
    ),
    "disk full": ("{owners} no room for new tasks", "make room there; what is kept already goes on"),
    "under-replicated": (
        "fewer replicas than there should be",
        "start a node if there are fewer than three; otherwise the mesh adds replicas by itself",
    ),
    "electing": ("they have no owner for the moment", "this passes; if it does not, see `mesh members`"),
    "moving": ("their replicas change", "nothing: this ends by itself"),
}
_PASSING = ("moving", "electing")
_UNHEARD = (
    "no majority of their replicas is within reach, since nothing is heard of {unheard}",
    "start what is missing again with its data; if it runs, have it join one of the nodes that are here",
)
_REPLICAS = 3
_DEAD = "start {it} again with {its} data; or do nothing: others take {its} shards over"
_DEAD_AND_FEW = (
    "start {it} again with {its} data, or others: each shard has only as many copies as there are nodes"
)
_DEAD_AND_NEEDED = "start {it} again with {its} data: there are shards that cannot go on without {it}"
_IN_DOUBT = {
    "suspect": "see whether {its} host and {its} network are well",
    "busy": "{its} loop is blocked, or {its} journal has failed: see {its} log, and what {its} host is doing",
}


def problems(
    members: list[dict[str, Any]], shards: dict[str, Any], tasks: dict[str, Any], names: Names
) -> list[Problem]:
    """All that is wrong, from the answers to "members", "shards" and "tasks"."""
    gone = {member["node"] for member in members if member["condition"] in ("dead", "left")}
    known = {member["node"] for member in members}
    stuck = [row for row in shards["shards"] if _is_stuck(row, known)]
    is_lost = any(row["condition"] == "quorum_lost" for row in shards["shards"])
    are_few = len(members) - len(gone) < _REPLICAS
    of_dead = _DEAD_AND_NEEDED if is_lost else _DEAD_AND_FEW if are_few else _DEAD
    return [
        *_of_unheard(stuck, known, names),
        *_of_shards([row for row in shards["shards"] if row not in stuck], names),
        *_of_members(members, {"dead": of_dead, **_IN_DOUBT}, names),
        *_of_silence({*shards["silent"], *tasks["silent"]} - gone, names),
        *_of_tasks(tasks["counts"]),
    ]


def _is_stuck(row: dict[str, Any], known: set[str]) -> bool:
    """Whether an election waits for nodes that are not even known: the asked node came back, and has not met them."""
    return row["condition"] == "electing" and not has_quorum(
        Config(tuple(row["voters"]), tuple(row["outgoing"])), known
    )


def _of_unheard(stuck: list[dict[str, Any]], known: set[str], names: Names) -> Iterator[Problem]:
    if stuck:
        what, remedy = _UNHEARD
        unheard = sorted({node for row in stuck for node in (*row["voters"], *row["outgoing"])} - known)
        numbers = ranges([row["shard"] for row in stuck])
        yield Problem(f"shards {numbers}: {what.format(unheard=names.of(unheard))}", remedy)


def _of_shards(shards: list[dict[str, Any]], names: Names) -> Iterator[Problem]:
    for condition in reversed(CONDITIONS[1:]):
        rows = [row for row in shards if row["condition"] == condition]
        numbers = [row["shard"] for row in rows]
        if numbers:
            what, remedy = _SHARDS[condition]
            what = what.format(owners=_owners_have(rows, names))
            noun = "shard" if len(numbers) == 1 else "shards"
            shown = condition.replace("_", " ")
            yield Problem(f"{noun} {ranges(numbers)}: {shown}, {what}", remedy, condition not in _PASSING)


def _owners_have(rows: list[dict[str, Any]], names: Names) -> str:
    owners = sorted({row["owner"] for row in rows if row["owner"]})
    return f"{names.of(owners)} {'has' if len(owners) == 1 else 'have'}" if owners else "their owners have"


def _of_members(members: list[dict[str, Any]], remedies: dict[str, str], names: Names) -> Iterator[Problem]:
    for condition, remedy in remedies.items():
        nodes = sorted(member["node"] for member in members if member["condition"] == condition)
        if nodes:
            it, its = ("it", "its") if len(nodes) == 1 else ("them", "their")
            yield Problem(
                f"{names.of(nodes)}: {condition}", remedy.format(it=it, its=its), condition == "dead"
            )


def _of_silence(nodes: set[str], names: Names) -> Iterator[Problem]:
    if nodes:
        what = f"{names.of(sorted(nodes))}: no answer in time, what only they know is missing here"
        yield Problem(what, "ask again; see `mesh members`", is_grave=False)


def _of_tasks(counts: dict[str, int]) -> Iterator[Problem]:
    dead = counts.get("dead", 0)
    if dead:
        noun = "task is" if dead == 1 else "tasks are"
        remedy = "see `mesh dead-letters` for why, and `mesh retry ID` to run one again"
        yield Problem(f"{dead:,} {noun} dead: tried too often", remedy)
