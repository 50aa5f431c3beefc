"""What is only ever added to: broadcasts, sets that grow, counters. Every node takes additions at any time.

Each node keeps, for every node, the list of what was added there, in order. New additions go to all others at once;
what is lost on the way comes later, since every node tells another one now and then how long its lists are, and is
sent what it lacks (digests first, then differences).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from hubless_sim.maelstrom.protocol import Body, Envelope

_MS = 1_000_000
PUSH_PULL_NS = 200 * _MS
_MOST_SENT = 2_000
"""Values in one message; the rest comes with the next digest."""


class Additions:
    """One node's copy of all lists."""

    def __init__(self, me: str, nodes: Sequence[str], *, rng: random.Random, now_ns: int) -> None:
        self._me = me
        self._others = tuple(node for node in nodes if node != me)
        self._rng = rng
        self._lists: dict[str, list[Any]] = {node: [] for node in nodes}
        self._due_ns = now_ns + PUSH_PULL_NS

    def add(self, value: Any) -> list[Envelope]:
        """Adds a value, and tells the others."""
        mine = self._lists[self._me]
        mine.append(value)
        return [self._additions(to, self._me, len(mine) - 1) for to in self._others]

    def values(self) -> list[Any]:
        """Everything that was added and has come here."""
        return [value for values in self._lists.values() for value in values]

    def tick(self, now_ns: int, present: Iterable[str]) -> list[Envelope]:
        """Compares with one of the nodes that are there, when it is time for that."""
        if now_ns < self._due_ns:
            return []
        self._due_ns = now_ns + PUSH_PULL_NS
        peers = sorted(set(present) - {self._me}) or list(self._others)
        return [self._digest(self._rng.choice(peers), wants_answer=True)] if peers else []

    def next_deadline_ns(self) -> int | None:
        return self._due_ns if self._others else None

    def receive(self, sender: str, body: Body) -> list[Envelope]:
        """Additions, or the digest of another node; what makes no sense is dropped."""
        match body:
            case {"type": "additions", "of": str(of), "start": int(start), "values": list(values)}:
                known = self._lists.get(of)
                if known is not None and 0 <= start <= len(known):
                    known.extend(values[len(known) - start :])
            case {"type": "digest", "lengths": dict(lengths), "wants_answer": bool(wants_answer)}:
                return self._compared(sender, lengths, wants_answer=wants_answer)
            case _:
                pass
        return []

    def _compared(self, sender: str, lengths: dict[str, Any], *, wants_answer: bool) -> list[Envelope]:
        out: list[Envelope] = []
        lacks = False
        for node, values in self._lists.items():
            length = lengths.get(node, 0)
            if not isinstance(length, int) or length < 0:
                continue
            if length < len(values):
                out.append(self._additions(sender, node, length))
            lacks = lacks or length > len(values)
        if lacks and wants_answer:
            out.append(self._digest(sender, wants_answer=False))
        return out

    def _additions(self, to: str, of: str, start: int) -> Envelope:
        values = self._lists[of][start : start + _MOST_SENT]
        return Envelope(self._me, to, {"type": "additions", "of": of, "start": start, "values": values})

    def _digest(self, to: str, *, wants_answer: bool) -> Envelope:
        lengths = {node: len(values) for node, values in self._lists.items()}
        return Envelope(self._me, to, {"type": "digest", "lengths": lengths, "wants_answer": wants_answer})
