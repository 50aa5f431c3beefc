"""What the demo counts: tasks out and answered, whose they were, and what a kill did to them. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hubless.placement import shard_of_key

STAGES = ("read", "extract", "summarise")


@dataclass(slots=True)
class Kill:
    """A node killed with SIGKILL, and what followed. Times are in ms after the kill, None until it happened.

    `held` are the tasks that the node owned, unanswered, at that moment: (stage, key). `all_ms` is
    when the last of them was answered; `known_ms` when every other node held it for dead;
    `back_ms` when, started again, it was alive in the eyes of all.
    """

    node: str
    name: str
    at_ns: int
    held: frozenset[tuple[str, str]]
    known_ms: float | None = None
    all_ms: float | None = None
    back_ms: float | None = None

    @property
    def recovery_ms(self) -> float | None:
        """Until everything that the node held was answered; if it held nothing, until its death was known."""
        return self.all_ms if self.held else self.known_ms


@dataclass(slots=True)
class Board:
    """The state of one run. `entries` is the index so far; `names` gives the names of node ids."""

    documents: int
    shards: int = 0
    names: dict[str, str] = field(default_factory=dict)
    out: dict[str, set[str]] = field(default_factory=lambda: {stage: set() for stage in STAGES})
    submitted: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    per_node: Counter[str] = field(default_factory=Counter)
    again: int = 0
    failures: list[str] = field(default_factory=list)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    kill: Kill | None = None
    waiting_for: set[tuple[str, str]] = field(default_factory=set)

    @property
    def tasks(self) -> int:
        """How many tasks the whole run has."""
        return len(STAGES) * self.documents

    @property
    def done(self) -> int:
        """How many were answered."""
        return sum(self.answered.values())

    def sent(self, stage: str, path: str) -> str:
        """Notes a task on its way; returns its key."""
        self.out[stage].add(path)
        self.submitted[stage] += 1
        return path

    def came(self, now_ns: int, stage: str, path: str, node: str, attempt: int) -> None:
        """Notes an answer."""
        self.out[stage].discard(path)
        self.answered[stage] += 1
        self.per_node[node] += 1
        self.again += attempt > 1
        if (stage, path) in self.waiting_for and self.kill is not None:
            self.waiting_for.discard((stage, path))
            passed_ms = (now_ns - self.kill.at_ns) / 1e6
            self.kill.all_ms = None if self.waiting_for else passed_ms

    def failed(self, stage: str, text: str) -> None:
        """Notes a task whose outcome was a failure: the demo counts it as lost."""
        self.failures.append(f"{stage}: {text}")

    def held_by(self, owners: dict[str, list[str]]) -> dict[str, set[tuple[str, str]]]:
        """The unanswered tasks of each node, by the owners of their shards ("0" -> preference list)."""
        held: dict[str, set[tuple[str, str]]] = {}
        for stage, paths in self.out.items():
            for path in paths:
                preference = owners.get(str(shard_of_key(path, self.shards)), [])
                if preference:
                    held.setdefault(preference[0], set()).add((stage, path))
        return held

    def killed(self, now_ns: int, node: str, held: set[tuple[str, str]]) -> Kill:
        """Notes the kill of a node that held these tasks."""
        self.waiting_for = set(held)
        self.kill = Kill(node, self.names.get(node, node), now_ns, frozenset(held))
        return self.kill


def wrong_entries(entries: dict[str, Any], expected: dict[str, Any]) -> int:
    """How many index entries differ from those of the plain run. Missing ones are not wrong, but lost."""
    return sum(entries[path] != expected[path] for path in entries)
