"""A disk that keeps records in order, and what a torn write leaves of those that were on their way."""

import random
from collections.abc import Iterable

from hubless.shard.records import Entries, Forget, HardState, Record, Recovered, Snapshot
from hubless.wire.replication import Entry


class Disk:
    """What one replica has on disk. Survives the crash of its node."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.term = 0
        self.vote = ""
        self.floor = (0, 0)
        self.snapshot: Snapshot | None = None
        self.entries: dict[int, Entry] = {}

    def write(self, records: Iterable[Record]) -> None:
        for record in records:
            match record:
                case HardState(term=term, vote=vote):
                    self.term, self.vote = term, vote
                    self.floor = (record.floor_index, record.floor_term)
                case Entries(entries=entries):
                    first = entries[0].index
                    self.entries = {at: kept for at, kept in self.entries.items() if at < first}
                    self.entries.update((entry.index, entry) for entry in entries)
                case Snapshot(index=index, keeps_log=keeps_log):
                    self.snapshot = record
                    self.entries = {at: kept for at, kept in self.entries.items() if keeps_log and at > index}
                case Forget():
                    self.snapshot, self.entries = None, {}

    def holds(self, index: int, term: int) -> bool:
        if self.snapshot is not None and index <= self.snapshot.index:
            return True
        entry = self.entries.get(index)
        return entry is not None and entry.term == term

    def recovered(self) -> Recovered:
        return Recovered(
            shard=self.shard,
            term=self.term,
            vote=self.vote,
            snapshot=self.snapshot,
            entries=tuple(self.entries[index] for index in sorted(self.entries)),
            floor_index=self.floor[0],
            floor_term=self.floor[1],
        )


def torn(records: list[Record], rng: random.Random) -> list[Record]:
    """Some prefix of the records; the last of them may be cut within."""
    kept = records[: rng.randint(0, len(records))]
    if kept and isinstance(kept[-1], Entries) and rng.random() < 0.5:
        entries = kept[-1].entries
        kept[-1] = Entries(kept[-1].shard, entries[: rng.randint(1, len(entries))])
    return kept
