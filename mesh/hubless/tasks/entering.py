"""Which outcomes are offered to their shards, and when: a few at a time, each again until it is known to be there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubless.placement import shard_of_task
from hubless_gossip.marks import sometimes

_MS = 1_000_000
MOST_OFFERED = 64
_LOOK_NS = 250 * _MS
_FIRST_RESEND_NS = 500 * _MS
_LONGEST_RESEND_NS = 8_000 * _MS


@dataclass(slots=True)
class _Offered:
    """An outcome that its shard's owner has been told of, and when it is told again."""

    due_ns: int
    resend_after_ns: int


class Entering:
    """Outcomes that their shards do not have yet, as far as this node knows."""

    def __init__(self) -> None:
        self._waiting: dict[int, dict[bytes, None]] = {}
        self._offered: dict[bytes, _Offered] = {}
        self._look_ns = 0

    def __contains__(self, task: bytes) -> bool:
        return task in self._offered or task in self._waiting.get(shard_of_task(task), ())

    def add(self, now_ns: int, task: bytes) -> None:
        """The task has ended."""
        if task in self._offered:
            return
        if not self._waiting:
            self._look_ns = now_ns
        self._waiting.setdefault(shard_of_task(task), {})[task] = None

    def drop(self, now_ns: int, task: bytes) -> None:
        """Its shard has the outcome, or nobody wants it."""
        if self._offered.pop(task, None) is not None:
            self._look_ns = now_ns  # there is room for another one
            return
        shard = shard_of_task(task)
        waiting = self._waiting.get(shard, {})
        waiting.pop(task, None)
        if not waiting:
            self._waiting.pop(shard, None)

    def clear(self) -> None:
        """There is nothing to be offered for now."""
        self._waiting.clear()
        self._offered.clear()

    def due(self, now_ns: int, owner_of: Callable[[int], str | None]) -> list[tuple[str, bytes]]:
        """Whom to tell of which task now. What has lost its owner waits for the next one."""
        offers: list[tuple[str, bytes]] = []
        for task, offered in list(self._offered.items()):
            if now_ns < offered.due_ns:
                continue
            owner = owner_of(shard_of_task(task))
            if owner is None:
                sometimes("a shard lost its owner again before it took an outcome in")
                del self._offered[task]
                self._waiting.setdefault(shard_of_task(task), {})[task] = None
                continue
            offered.resend_after_ns = min(2 * offered.resend_after_ns, _LONGEST_RESEND_NS)
            offered.due_ns = now_ns + offered.resend_after_ns
            offers.append((owner, task))
        if self._waiting and now_ns >= self._look_ns:
            self._look_ns = now_ns + _LOOK_NS
            self._begin(now_ns, owner_of, offers)
        return offers

    def next_deadline_ns(self) -> int | None:
        """When `due` may have something."""
        if not (self._offered or self._waiting):
            return None
        due_ns = min((offered.due_ns for offered in self._offered.values()), default=None)
        if not self._waiting or len(self._offered) >= MOST_OFFERED:
            return due_ns
        return self._look_ns if due_ns is None else min(due_ns, self._look_ns)

    def _begin(
        self, now_ns: int, owner_of: Callable[[int], str | None], offers: list[tuple[str, bytes]]
    ) -> None:
        for shard in sorted(self._waiting):
            owner = owner_of(shard)
            if owner is None:
                continue
            tasks = self._waiting[shard]
            while tasks and len(self._offered) < MOST_OFFERED:
                task = next(iter(tasks))
                del tasks[task]
                self._offered[task] = _Offered(now_ns + _FIRST_RESEND_NS, _FIRST_RESEND_NS)
                offers.append((owner, task))
            if not tasks:
                del self._waiting[shard]
