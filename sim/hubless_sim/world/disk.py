"""The disk of one node: what its journal has there, and the commits that are on their way.

Commits are made one after the other, in the order they were asked for, and each is atomic, as a transaction of
SQLite is.  A crash loses what was not acknowledged, except that any prefix of it may have reached the disk.
How long the n-th write of a node takes is a hash of (seed, node, n); how much of what was under way survives
the end of its b-th process is one of (seed, node, b).
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from hubless.shard.records import Entries, Forget, HardState, Record, Recovered, Snapshot
from hubless.wire.replication import Entry
from hubless_sim.world.chance import draw, stream, tail_ns
from hubless_sim.world.hosts import HostEvent, Write, WriteRefused, Written

_WRITES, _ENDS, _ROT = 6, 7, 8


class DiskProfile(msgspec.Struct, frozen=True):
    """How long a commit takes, in ns: ``base_ns`` plus an exponential share with mean ``jitter_ns``."""

    base_ns: int = 300_000
    jitter_ns: int = 300_000


class DiskUse(msgspec.Struct):
    """What was asked of a disk, and what became of it."""

    writes: int = 0
    records: int = 0
    bytes: int = 0
    written: int = 0
    """Writes that were acknowledged."""
    refused: int = 0
    """Writes that found the disk full, or came after a failed flush."""
    lost: int = 0
    """Writes that were under way when their process ended and did not reach the disk."""
    survived: int = 0
    """Writes that reached the disk although their process ended before it was told."""
    torn: int = 0
    """Writes that were left half on the disk."""


class Scheduler(Protocol):
    """Runs ``act(a, b, None)`` after ``delay_ns``."""

    def __call__(self, delay_ns: int, act: Callable[[Any, Any, Any], None], a: Any, b: Any) -> None: ...


class _Shard:
    """What the records of one shard add up to."""

    __slots__ = ("damage", "entries", "hard", "snapshot")

    def __init__(self, shard: int) -> None:
        self.hard = HardState(shard, 0, "")
        self.snapshot: Snapshot | None = None
        self.entries: list[Entry] = []
        self.damage = ""

    def apply(self, record: Record) -> None:
        match record:
            case HardState():
                self.hard = record
            case Entries(entries=entries):
                self._replace(entries)
            case Snapshot(index=index, keeps_log=keeps_log):
                self.snapshot = record
                self.entries = [entry for entry in self.entries if keeps_log and entry.index > index]
            case Forget():
                self.snapshot, self.entries, self.damage = None, [], ""

    def _replace(self, entries: Sequence[Entry]) -> None:
        """Everything from the first one's index on is replaced; a hole would be the host's bug."""
        if not entries:
            return
        start = self.entries[0].index if self.entries else self._floor() + 1
        first = entries[0].index
        if not (self._floor() < first and start <= first <= start + len(self.entries)):
            raise AssertionError(
                f"entry {first} does not follow a log of {start} to {start + len(self.entries) - 1}"
            )
        if len(entries) > 1 and [entry.index for entry in entries] != list(
            range(first, first + len(entries))
        ):
            raise AssertionError(f"the entries from {first} on are not in the order of their index")
        self.entries[first - start :] = entries

    def _floor(self) -> int:
        return 0 if self.snapshot is None else self.snapshot.index


class Extent(NamedTuple):
    """How far the records of one shard go: up to ``snapshot_index`` as a state, up to ``last_index`` as entries."""

    term: int
    vote: str
    snapshot_index: int
    last_index: int
    damage: str


class Contents:
    """What a journal holds: the plain meaning of its records, and nothing else."""

    def __init__(self) -> None:
        self._shards: dict[int, _Shard] = {}

    def apply(self, records: Sequence[Record]) -> None:
        """Put records in, in order."""
        for record in records:
            self._shard(record.shard).apply(record)

    def damage(self, shard: int, problem: str) -> None:
        """From now on nobody may rely on what is here of the shard."""
        self._shard(shard).damage = problem

    def shards(self) -> list[int]:
        """The shards of which something is here, in order."""
        return sorted(self._shards)

    def recovered(self) -> tuple[Recovered, ...]:
        """What a process finds at its start, in the order of the shards."""
        return tuple(
            Recovered(
                shard=number,
                term=shard.hard.term,
                vote=shard.hard.vote,
                snapshot=shard.snapshot,
                entries=tuple(shard.entries),
                damage=shard.damage,
                floor_index=shard.hard.floor_index,
                floor_term=shard.hard.floor_term,
            )
            for number, shard in sorted(self._shards.items())
        )

    def extent(self, number: int) -> Extent:
        """How far what is here of a shard goes."""
        shard = self._shards.get(number)
        if shard is None:
            return Extent(0, "", 0, 0, "")
        floor = 0 if shard.snapshot is None else shard.snapshot.index
        return Extent(shard.hard.term, shard.hard.vote, floor, floor + len(shard.entries), shard.damage)

    def has(self, number: int, index: int, term: int) -> bool:
        """Whether an entry of a shard is here, by itself or in the snapshot; a damaged shard may have had it."""
        shard = self._shards.get(number)
        if shard is None:
            return False
        if shard.damage or (shard.snapshot is not None and shard.snapshot.index >= index):
            return True
        entries = shard.entries
        place = index - entries[0].index if entries else 0
        return 0 <= place < len(entries) and entries[place].term == term

    def _shard(self, number: int) -> _Shard:
        shard = self._shards.get(number)
        if shard is None:
            shard = self._shards[number] = _Shard(number)
        return shard


class _Pending:
    """One commit on its way."""

    __slots__ = ("number", "size_bytes", "write")

    def __init__(self, write: Write, number: int, size_bytes: int) -> None:
        self.write = write
        self.number = number
        self.size_bytes = size_bytes


class Disk:
    """The disk of one node.  It outlives the processes; faults hold it up, fill it, tear and rot it."""

    def __init__(
        self,
        *,
        seed: int,
        node: int,
        profile: DiskProfile,
        schedule: Scheduler,
        deliver: Callable[[HostEvent], None],
    ) -> None:
        self.use = DiskUse()
        self.formats = 0
        """How many times the disk was wiped; a process on a wiped disk is another node."""
        self._formatted_ns: int | None = None
        self._slowness = 1
        self._profile = profile
        self._schedule = schedule
        self._deliver = deliver
        self._writes = stream(seed, _WRITES, node)
        self._ends = stream(seed, _ENDS, node)
        self._rot = stream(seed, _ROT, node)
        self._rotted = 0
        self.contents = Contents()
        """What is on the disk now; what is on its way is not."""
        self._damaged: set[int] = set()
        self._pending: deque[_Pending] = deque()
        self._token = 0
        self._is_parked = False
        self._is_broken = False
        self._stalls = 0
        self._fills: list[_Room] = []
        self._slows: list[DiskProfile] = []
        self._tears = 0
        self._failures = 0

    # What the process asks

    def write(self, write: Write, size_bytes: int) -> None:
        """Begin a commit after those under way; Written or WriteRefused follows.

        A shard that was found damaged takes no records before it is forgotten: anything else is the host's bug.
        """
        if self._damaged:
            self._check_damaged(write.records)
        use = self.use
        use.writes += 1
        use.records += len(write.records)
        use.bytes += size_bytes
        if self._is_broken:
            use.refused += 1
            self._schedule(0, self._refuse_late, self._token, write.mark)
            return
        self._pending.append(_Pending(write, use.writes, size_bytes))
        if len(self._pending) == 1:
            self._begin()

    def _check_damaged(self, records: Sequence[Record]) -> None:
        self._damaged.difference_update(record.shard for record in records if type(record) is Forget)
        if refused := sorted(self._damaged.intersection(record.shard for record in records)):
            raise AssertionError(f"records of shard {refused[0]} are written, which was found damaged")

    # What happens to the machine

    def recovered(self) -> tuple[Recovered, ...]:
        """What a process that starts now finds."""
        found = self.contents.recovered()
        self._damaged = {each.shard for each in found if each.damage}
        return found

    def formatted_ns(self, wall_ns: int) -> int:
        """When the first process since the disk was last wiped was started: now, if that is this one."""
        if self._formatted_ns is None:
            self._formatted_ns = wall_ns
        return self._formatted_ns

    def process_gone(self, boot: int) -> None:
        """The process has ended: of the commits under way a drawn prefix is on the disk, the rest is not."""
        self._token += 1
        self._is_parked = self._is_broken = False
        pending, self._pending = self._pending, deque()
        if not pending:
            return
        chance = draw(self._ends, boot)
        survivors = chance % (len(pending) + 1)
        for place, each in enumerate(pending):
            if place < survivors:
                self.contents.apply(each.write.records)
            elif place == survivors and self._tears:
                self._tear(each.write.records, chance >> 32)
        self.use.survived += survivors
        self.use.lost += len(pending) - survivors

    def wipe(self) -> None:
        """Nothing of it stays.  Only while no process runs."""
        self.formats += 1
        self._formatted_ns = None
        self.contents = Contents()

    def rot(self, shard: int | None = None) -> None:
        """Bits of a shard's records flip (None: a drawn one's); the next process finds out."""
        shards = self.contents.shards()
        self._rotted += 1
        if shard is None and shards:
            shard = shards[draw(self._rot, self._rotted) % len(shards)]
        if shard in shards:
            self.contents.damage(shard, "a checksum does not match: bit rot")

    # Faults that last.  Each returns what ends it.

    def set_slowness(self, slowness: int) -> None:
        """Everything takes so many times longer, the commit that is under way included, which begins anew."""
        self._slowness = slowness
        if self._pending and not (self._is_broken or self._is_parked):
            self._begin()

    def stall(self) -> Callable[[], None]:
        """No commit ends."""
        self._stalls += 1

        def end() -> None:
            self._stalls -= 1
            if self._is_parked and not self._stalls:
                self._is_parked = False
                self._end(self._token, None, None)

        return end

    def slow(self, added: DiskProfile) -> Callable[[], None]:
        """Commits that begin from now on take longer."""
        self._slows.append(added)
        return lambda: self._slows.remove(added)

    def fill(self, room_bytes: int) -> Callable[[], None]:
        """There is room for so many bytes more; a commit that does not fit is refused, with all after it."""
        room = _Room(room_bytes)
        self._fills.append(room)
        return lambda: self._fills.remove(room)

    def fail(self) -> Callable[[], None]:
        """Flushes fail: whether the commit is on the disk is unknown, and its process gets nothing written again."""
        self._failures += 1

        def end() -> None:
            self._failures -= 1

        return end

    def tear(self) -> Callable[[], None]:
        """A process that ends leaves the first commit that is lost half on the disk."""
        self._tears += 1

        def end() -> None:
            self._tears -= 1

        return end

    # Inside

    def _begin(self) -> None:
        bits = draw(self._writes, self._pending[0].number) >> 52
        base_ns, jitter_ns = self._profile.base_ns, self._profile.jitter_ns
        for slow in self._slows:
            base_ns += slow.base_ns
            jitter_ns += slow.jitter_ns
        took_ns = base_ns + tail_ns(jitter_ns, bits)
        self._token += 1
        self._schedule(took_ns * self._slowness, self._end, self._token, None)

    def _end(self, token: int, _: Any, __: Any) -> None:
        """The commit at the head of the line ends, one way or another."""
        if token != self._token:
            return
        if self._stalls:
            self._is_parked = True
            return
        head = self._pending[0]
        if self._failures:
            self._is_broken = True  # what was under way stays so: it may be found on the disk, or not
            self.use.refused += len(self._pending)
            self._deliver(WriteRefused(head.write.mark, full=False))
        elif self._fills and any(head.size_bytes > room.left_bytes for room in self._fills):
            self.use.refused += len(self._pending)
            self._pending.clear()
            self._deliver(WriteRefused(head.write.mark, full=True))
        else:
            for room in self._fills:
                room.left_bytes -= head.size_bytes
            self._pending.popleft()
            self.contents.apply(head.write.records)
            self.use.written += 1
            if self._pending:
                self._begin()
            self._deliver(Written(head.write.mark))

    def _refuse_late(self, token: int, mark: int, _: Any) -> None:
        if token == self._token:
            self._deliver(WriteRefused(mark, full=False))

    def _tear(self, records: Sequence[Record], chance: int) -> None:
        self.use.torn += 1
        self.contents.apply(records[: chance % (len(records) + 1)])
        for shard in sorted({record.shard for record in records}):
            self.contents.damage(shard, "a commit is on the disk in part: torn write")


class _Room:
    """What is left on a disk that is filling up."""

    __slots__ = ("left_bytes",)

    def __init__(self, left_bytes: int) -> None:
        self.left_bytes = left_bytes
