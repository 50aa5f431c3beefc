"""What all parts of one replica share: term, vote, log, role, and what leaves at the end of the tick.

Order is the contract (3.8, 10.2.1): a message that promises something is `promised`, and leaves once everything that
the replica knew when it was made is on disk; the rest is `said`, and leaves at once.
"""

import random
from collections.abc import Sequence
from typing import Protocol

from hubless.shard import configs
from hubless.shard.configs import Configs
from hubless.shard.fork import is_outlived
from hubless.shard.log import Log
from hubless.shard.output import Counters, Output, RaftSettings, Role
from hubless.shard.quorum import is_voter
from hubless.shard.records import Entries, Forget, HardState, Record, Recovered, Snapshot
from hubless.wire.replication import Config, Entry, RaftMessage
from hubless_gossip.marks import sometimes


class Office(Protocol):
    """What an owner has beyond a follower; it ends with the owner's term, or before."""

    def end(self) -> None:
        """Answers what can no longer be answered."""

    def reconfigured(self) -> None:
        """The log holds another configuration: what it says counts from now on (4.1)."""

    def wanted_from(self, first: int) -> int:
        """Where the entries begin that followers had better be sent, if that is before `first`."""


class ReplicaState:
    """One replica's state. Everything that changes it marks it dirty; `output` is what came of it."""

    __slots__ = (
        "_hard_token",
        "_held",
        "_is_hard_new",
        "_now",
        "_records",
        "_restored",
        "_rng",
        "_timeout_ns",
        "_token",
        "commit",
        "configs",
        "counters",
        "damage",
        "due_ns",
        "flushed_token",
        "handed_out",
        "heard_at_ns",
        "is_dirty",
        "is_outlived",
        "is_voter",
        "log",
        "me",
        "office",
        "owner",
        "reads",
        "role",
        "settings",
        "shard",
        "snapshot",
        "state_bytes",
        "term",
        "vote",
        "wants_state",
    )

    def __init__(
        self, me: str, recovered: Recovered, settings: RaftSettings, rng: random.Random, now_ns: int
    ) -> None:
        self.me = me
        self.shard = recovered.shard
        self.settings = settings
        self.counters = Counters()
        self.role = Role.FOLLOWER
        self.owner: str | None = None
        self.office: Office | None = None
        self.heard_at_ns: int | None = None
        """When the owner was heard last, by a message of its own or a node's beat."""
        self.snapshot: Snapshot | None = None
        """Of an owner that has to send it: a state that was asked for with `wants_state`."""
        self.wants_state = False
        """A follower lacks what is not in memory any more: the machine's state is wanted."""
        self.state_bytes = 0 if recovered.snapshot is None else len(recovered.snapshot.state)
        """Size of the last snapshot."""
        self.damage = recovered.damage
        self.log, self.configs = self._recovered_log(recovered)
        self.log.floor_index, self.log.floor_term = recovered.floor_index, recovered.floor_term
        self.term = max(recovered.term, self.log.last_term)
        self.vote = recovered.vote if self.term == recovered.term else ""
        self.is_voter = is_voter(self.configs.latest, me)
        self.commit = self.handed_out = self.log.snapshot_index
        self.flushed_token = 0
        self.is_dirty = False
        self.is_outlived = False
        """The shard has a later lineage than this replica's."""
        self._token = self._hard_token = 0
        self._is_hard_new = False
        self._records: list[Record] = []
        self._now: list[tuple[str, RaftMessage]] = []
        self._held: list[tuple[str, RaftMessage]] = []
        self.reads: list[tuple[int, int | None]] = []
        self._restored: Snapshot | None = None
        self._rng = rng
        self._timeout_ns = 0
        self.due_ns = 0
        """When a replica that does not own the shard stops waiting for whoever does."""
        self.draw_timeout(now_ns)

    def _recovered_log(self, recovered: Recovered) -> tuple[Log, Configs]:
        snapshot = recovered.snapshot
        log = Log(snapshot.index, snapshot.term) if snapshot else Log()
        known = Configs(snapshot.index, snapshot.config) if snapshot else Configs()
        found = configs.found_in(recovered.entries)
        if found is None:
            self.damage = self.damage or "a configuration in the log cannot be read"
        elif not log.recover(recovered.entries):
            self.damage = self.damage or "the entries of the log do not join up"
        else:
            for index, config in found:
                if index > log.snapshot_index:
                    known.appended(index, config)
        return log, known

    # -- terms and timers ---------------------------------------------------------------------------------

    def draw_timeout(self, now_ns: int) -> None:
        """Waits anew, for a time that is drawn anew (3.4)."""
        base = self.settings.election_ns
        self._timeout_ns = base + int(base * self._rng.random())
        self.due_ns = now_ns + self._timeout_ns

    def heard(self, now_ns: int) -> None:
        """The owner is there: waits anew."""
        self.heard_at_ns = now_ns
        self.due_ns = now_ns + self._timeout_ns

    def enter(self, term: int, vote: str) -> None:
        """A term, and the vote given in it ("" for none). Goes to disk with this tick."""
        self.term, self.vote = term, vote
        self._is_hard_new = self.is_dirty = True

    def follow(self, now_ns: int, term: int, owner: str | None) -> None:
        """Becomes or stays a follower, in `term` (3.3): of `owner`, or of nobody yet."""
        if term > self.term:
            self.enter(term, "")
        if self.office is not None:
            self.office.end()
            self.office = None
        if self.role is not Role.FOLLOWER:
            self.role = Role.FOLLOWER
            self.draw_timeout(now_ns)
        self.owner = owner
        if owner is not None:
            self.heard(now_ns)
        self.is_dirty = True

    def knows_less_than(self, term: int) -> bool:
        """Whether the log is of an earlier lineage than a term (see `fork`)."""
        return term > self.term and is_outlived(self.term, term) and self.log.last_index > 0

    def outlive(self, now_ns: int) -> None:
        """The shard has a later lineage: falls silent."""
        sometimes("fell silent, as its shard has a later lineage")
        self.is_outlived = True
        self.follow(now_ns, self.term, None)

    def hard_state(self) -> HardState:
        """What of term and vote has to be on disk."""
        log = self.log
        return HardState(self.shard, self.term, self.vote, log.floor_index, log.floor_term)

    @property
    def can_campaign(self) -> bool:
        """Whether the replica is a voter, and has a log that it may ask votes with.

        One that is only leaving counts too: until the configuration without it is known to be committed, it may be the
        only one that can commit it (4.2.2).
        """
        return (
            (self.is_voter or self.configs.is_needed(self.me, self.commit))
            and not self.damage
            and not self.is_outlived
            and self.log.is_whole
        )

    def forgotten(self) -> list[Record]:
        """What to write when the replica is given up."""
        log = self.log
        log.floor_term, log.floor_index = max(
            (log.last_term, log.last_index), (log.floor_term, log.floor_index)
        )
        return [self.hard_state(), Forget(self.shard)]

    def is_vote_on_disk(self) -> bool:
        """Whether the current term and vote are on disk."""
        return not self._is_hard_new and self.flushed_token >= self._hard_token

    # -- the log ------------------------------------------------------------------------------------------

    def append(self, kind: int, body: bytes) -> int:
        """Adds an entry of the current term, by its owner. Gives its index."""
        index = self.log.last_index + 1
        self.log.append(Entry(index, self.term, kind, body))
        self.is_dirty = True
        return index

    def append_config(self, config: Config) -> None:
        """Adds a configuration, which counts from now on (4.1)."""
        index = self.append(configs.CONFIG, configs.encode(config))
        self.configs.appended(index, config)
        self._reconfigured()

    def accept(self, entries: Sequence[Entry], found: Sequence[tuple[int, Config]]) -> None:
        """Adds an owner's entries, whatever stood in their place is dropped first (3.5)."""
        log = self.log
        first = entries[0].index
        if first <= log.last_index:
            sometimes("dropped entries that an earlier owner had not committed")
            log.truncate(first)
            self.configs.truncated(first)
            self._reconfigured()
        log.extend(entries)
        for index, config in found:
            if index >= first:
                self.configs.appended(index, config)
                self._reconfigured()
        self.is_dirty = True

    def _reconfigured(self) -> None:
        self.is_voter = is_voter(self.configs.latest, self.me)
        if self.office is not None:
            self.office.reconfigured()

    def compact(self, index: int, state: bytes) -> None:
        """The machine's state after `index` takes the place of the entries up to it (5.1)."""
        log = self.log
        is_new = index > log.snapshot_index
        if not max(log.snapshot_index, log.first_index - 1) <= index <= self.handed_out or not (
            is_new or self.wants_state
        ):
            raise ValueError(
                f"index must be after the snapshot at {log.snapshot_index}, not before {log.first_index - 1}, the "
                f"last that left the memory, and at most {self.handed_out}, what was handed out; got {index}"
            )
        snapshot = Snapshot(self.shard, index, log.term(index), self.configs.at(index), state)
        if is_new:
            self._write_entries(self._records)
            self._records.append(snapshot)
            log.compact(index)
            self.configs.compacted(index)
            self.state_bytes = len(state)
        if self.wants_state:
            self.snapshot, self.wants_state = snapshot, False
        self.is_dirty = True

    def restore(self, snapshot: Snapshot) -> None:
        """An owner's snapshot takes the place of everything (5.3)."""
        sometimes("a snapshot took the place of a log")
        self._restored = snapshot
        self.state_bytes = len(snapshot.state)
        self._records.append(snapshot)
        self.log.reset(snapshot.index, snapshot.term)
        self.configs = Configs(snapshot.index, snapshot.config)
        self.commit = self.handed_out = snapshot.index
        self._reconfigured()
        self.is_dirty = True

    # -- what leaves --------------------------------------------------------------------------------------

    def say(self, to: str, message: RaftMessage) -> None:
        """A message that promises nothing."""
        self._now.append((to, message))
        self.is_dirty = True

    def promise(self, to: str, message: RaftMessage) -> None:
        """A message that leaves when all that is known now is on disk."""
        self._held.append((to, message))
        self.is_dirty = True

    def _write_entries(self, records: list[Record]) -> None:
        entries = self.log.take_unsaved()
        if entries:
            records.append(Entries(self.shard, entries))

    def _spare_memory(self) -> None:
        """What was handed out leaves the memory, but for a margin, and for what followers lack."""
        log, settings = self.log, self.settings
        keep_entries, keep_bytes = settings.keep_entries, settings.keep_bytes
        # a little more than the margin, so that most ticks have nothing to do here
        most_entries, most_bytes = keep_entries + keep_entries // 4, keep_bytes + keep_bytes // 4
        if log.margin(self.handed_out, most_entries, most_bytes) == log.first_index:
            return
        first = log.margin(self.handed_out, keep_entries, keep_bytes)
        log.forget(first if self.office is None else self.office.wanted_from(first))

    def output(self) -> Output:
        """All that came of the events since the last one."""
        records, self._records = self._records, []
        self._write_entries(records)
        if self._is_hard_new:
            records.insert(0, self.hard_state())
        if records:
            self._token += 1
            self.log.mark(self._token)
            if self._is_hard_new:
                self._is_hard_new = False
                self._hard_token = self._token
        now, self._now = self._now, []
        held, self._held = self._held, []
        if held and self.flushed_token == self._token:
            now.extend(held)
            held = []
        committed: tuple[Entry, ...] = ()
        if self.commit > self.handed_out:
            committed = self.log.slice(self.handed_out + 1, self.commit)
            self.handed_out = self.commit
            self._spare_memory()
        reads, self.reads = self.reads, []
        restored, self._restored = self._restored, None
        self.is_dirty = False
        return Output(records, now, held, restored, committed, reads, self._token)
