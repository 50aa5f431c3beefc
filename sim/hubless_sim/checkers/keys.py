"""What is promised of keys: all tasks with the same key are in one shard, and every task is in one shard only.

In which order tasks with the same key run is not promised.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from hubless_sim.verdict import Violation


class Kept(NamedTuple):
    """A task that a shard keeps; ``key`` is "" if it has none."""

    task: bytes
    key: str
    shard: int


def scattered(tasks: Iterable[Kept]) -> Iterator[Violation]:
    """Keys and tasks that are found in two shards."""
    shards: dict[Hashable, int] = {}
    for kept in tasks:
        names = [(f"task {kept.task.hex()}", kept.task), (f"key {kept.key!r}", kept.key)]
        for name, subject in names if kept.key else names[:1]:
            first = shards.setdefault(subject, kept.shard)
            if first != kept.shard:
                yield Violation("one shard a key", f"{name} is in shard {first} and in shard {kept.shard}")
