"""From records to one row of the journal and the chunks of its snapshots. Pure: nothing is changed by it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hubless.journal.ledger import Ledger, Run
from hubless.journal.rows import Kind, Part, ShardState, SnapshotMark, checksum, chunks_of, pack_entries
from hubless.shard.records import Entries, Forget, HardState, Record, Snapshot


class Batch:
    """The parts of a row, in order, the bytes of its body, and what goes to the table of chunks.

    Args:
        chunk: number of the first chunk that is free.
        refused: shards that nothing may be written of, with the reason.
    """

    def __init__(self, ledger: Ledger, *, chunk: int, refused: dict[int, str]) -> None:
        self.parts: list[Part] = []
        self.bodies: list[bytes] = []
        self.chunks: list[tuple[int, bytes]] = []
        self.next_chunk = chunk
        self._ledger = ledger
        self._refused = refused
        self._states: dict[int, ShardState] = {}
        self._lasts: dict[int, int] = {}

    def move(self, runs: Sequence[Run], bodies: Sequence[bytes], shards: Sequence[int]) -> None:
        """What is wanted of rows that go. Comes before all records, so that they may replace it."""
        self.bodies += bodies
        for run in runs:
            self.parts.append(Part(Kind.KEPT, run.shard, run.first, run.last, run.size, run.checksum))
        for shard in shards:
            state = msgspec.structs.replace(self._ledger.held[shard].state, clears=False)
            self.parts.append(Part(Kind.STATE, shard, state=state))

    def add(self, records: Sequence[Record]) -> None:
        """Raises ValueError for what would leave a hole in a shard's log, and for shards that are refused."""
        refused = self._refused
        for record in records:
            shard = record.shard
            if refused and shard in refused:
                raise ValueError(f"shard {shard} is damaged, nothing is written of it: {refused[shard]}")
            if type(record) is Entries:
                if record.entries:
                    self._add_entries(record)
            else:
                self._add_state(record)

    def _add_entries(self, record: Entries) -> None:
        shard, entries = record.shard, record.entries
        first, last = entries[0].index, entries[-1].index
        before = self._lasts.get(shard)
        if before is None:
            held = self._ledger.held.get(shard)
            before = 0 if held is None else held.last
        if first > before + 1 or last - first != len(entries) - 1:
            raise ValueError(
                f"entries {first} to {last} ({len(entries)}) of shard {shard} do not follow its last one, {before}"
            )
        raw = pack_entries(entries)
        self.bodies.append(raw)
        self.parts.append(Part(Kind.ENTRIES, shard, first, last, len(raw), checksum(raw, shard)))
        self._lasts[shard] = last

    def _add_state(self, record: Record) -> None:
        shard = record.shard
        held = self._ledger.held.get(shard)
        before = self._states.get(shard) or (ShardState() if held is None else held.state)
        last = self._lasts.get(shard, 0 if held is None else held.last)
        match record:
            case HardState():
                state = ShardState(
                    record.term,
                    record.vote,
                    before.snapshot,
                    floor_index=record.floor_index,
                    floor_term=record.floor_term,
                )
            case Forget():
                state = msgspec.structs.replace(before, snapshot=None, clears=True)
                last = 0
            case Snapshot():
                if record.keeps_log and before.snapshot is not None and record.index < before.snapshot.index:
                    raise ValueError(
                        f"the snapshot of shard {shard} at {record.index} comes after one at {before.snapshot.index}"
                    )
                state = msgspec.structs.replace(
                    before, snapshot=self._marked(record), clears=not record.keeps_log
                )
                last = max(last, record.index) if record.keeps_log else record.index
            case Entries():
                raise AssertionError("entries are no state")
        self.parts.append(Part(Kind.STATE, shard, state=state))
        self._states[shard] = state
        self._lasts[shard] = last

    def _marked(self, record: Snapshot) -> SnapshotMark:
        pieces = chunks_of(record.state)
        mark = SnapshotMark(
            record.index,
            record.term,
            record.config,
            len(record.state),
            checksum(record.state, record.shard),
            self.next_chunk,
            len(pieces),
        )
        self.chunks += enumerate(pieces, self.next_chunk)
        self.next_chunk += max(1, len(pieces))
        return mark
