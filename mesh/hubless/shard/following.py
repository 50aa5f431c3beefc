"""A follower's side of replication: entries of the owner (dissertation, 3.5), its snapshots (5.3), its beats.

However many messages an owner sends in a tick, one answer tells it how far this log matches its own on disk.
"""

from hubless.shard import configs
from hubless.shard.arrivals import Arrivals
from hubless.shard.output import Role
from hubless.shard.records import Snapshot
from hubless.shard.state import ReplicaState
from hubless.wire.replication import Append, Appended, Config, Entry, Install, Installed
from hubless_gossip.marks import sometimes


class Following:
    """What a replica knows of the owner's log in the current term."""

    __slots__ = (
        "_answer_to",
        "_arrivals",
        "_chunks",
        "_matched",
        "_refused",
        "_round",
        "_source",
        "_state",
        "_term",
    )

    def __init__(self, state: ReplicaState, arrivals: Arrivals) -> None:
        self._state = state
        self._arrivals = arrivals
        self._term = 0
        """The term that `_matched` and the answer belong to."""
        self._matched = 0
        self._answer_to: str | None = None
        self._round = 0
        self._refused: tuple[int, int] | None = None
        self._source: tuple[str, int, int, int] | None = None
        self._chunks = bytearray()

    # -- entries ------------------------------------------------------------------------------------------

    def append(self, now_ns: int, owner: str, message: Append) -> None:
        """Takes over the owner's entries if they join up with the log (3.5)."""
        state = self._state
        if not self._heard(now_ns, owner, message.term, message.round):
            return
        entries = message.entries
        previous = message.previous_index
        found: list[tuple[int, Config]] = []
        if entries:
            if not _are_in_order(message):
                state.counters.malformed += 1
                return
            read = configs.found_in(entries)
            if read is None:
                state.counters.malformed += 1
                return
            found = read
        if previous >= state.commit:
            is_match = state.log.matches(previous, message.previous_term)
        else:  # what is committed is the same everywhere: only what comes after it need be looked at
            entries = entries[state.commit - previous :]
            previous = state.commit
            is_match = True
        if self._answer_to is None:
            self._answer_to = owner
        state.is_dirty = True
        if not is_match:
            sometimes("an owner's entries did not join up with the log")
            self._refused = (message.previous_index, message.previous_term)
            return
        if entries:
            self._extend(entries, found)
            previous = entries[-1].index
        self._matched = max(self._matched, previous)
        self._advance(message.commit)

    def _extend(self, entries: tuple[Entry, ...], found: list[tuple[int, Config]]) -> None:
        state = self._state
        log = state.log
        first = entries[0].index
        if first <= log.last_index:
            at = 0
            while at < len(entries) and log.matches(first + at, entries[at].term):
                at += 1
            if at == len(entries):
                return
            entries = entries[at:]
        state.accept(entries, found)

    def _advance(self, commit: int) -> None:
        state = self._state
        commit = min(commit, self._matched)
        if commit > state.commit:
            state.commit = commit
            state.is_dirty = True

    def _heard(self, now_ns: int, owner: str, term: int, asked_round: int) -> bool:
        state = self._state
        if term < state.term:
            state.promise(
                owner, Appended(state.shard, state.term, state.log.last_index, True, state.log.last_term)
            )
            return False
        if state.role is Role.OWNER and term == state.term:
            state.counters.malformed += 1  # two owners of one term cannot be
            return False
        if term > state.term or state.owner != owner or state.role is not Role.FOLLOWER:
            state.follow(now_ns, term, owner)
        else:
            state.heard(now_ns)
        self._enter(term)
        self._round = max(self._round, asked_round)
        return True

    def _enter(self, term: int) -> None:
        if self._term != term:
            self._term = term
            self._matched = self._round = 0
            self._answer_to = self._refused = None
            self.stop_collecting()

    def beat(self, now_ns: int, owner: str, term: int, commit: int) -> bool:
        """A beat stands for an empty Append, without the look at the log. False if this replica's term is higher."""
        state = self._state
        if term < state.term or (state.role is Role.OWNER and term == state.term):
            return False
        if term > state.term or state.owner != owner or state.role is not Role.FOLLOWER:
            state.follow(now_ns, term, owner)
        else:
            state.heard(now_ns)
        self._enter(term)
        if commit > state.commit:
            self._advance(commit)
            if not self._matched:
                sometimes("a beat told of commits before the owner had looked at the log")
                # nothing came from this owner since the start here: it has to look at the log once
                state.promise(
                    owner, Appended(state.shard, term, state.log.last_index, True, state.log.last_term)
                )
        return True

    # -- snapshots ----------------------------------------------------------------------------------------

    def install(self, now_ns: int, owner: str, message: Install) -> None:
        """Takes a piece of the owner's snapshot; with the last one it replaces log and state (5.3)."""
        state = self._state
        if not self._heard(now_ns, owner, message.term, 0):
            return
        if not message.config.voters:
            state.counters.malformed += 1
            return
        if message.size > state.settings.most_state_bytes:
            state.counters.installs_refused += 1
            return
        have = message.size if self.is_stale(message) else self._collect(owner, message)
        if have == message.size:
            self._matched = max(self._matched, message.index)
        state.promise(owner, Installed(state.shard, state.term, message.index, have, message.round))

    def is_stale(self, message: Install) -> bool:
        """Whether the log holds all that the snapshot does; then nothing is replaced."""
        state = self._state
        if message.index <= state.commit:
            return True
        if state.log.matches(message.index, message.index_term):
            sometimes("a snapshot said that what the log holds is committed")
            state.commit = message.index
            return True
        return False

    def _collect(self, owner: str, message: Install) -> int:
        """Adds a piece. Gives how many bytes are here; at the snapshot's size it is installed."""
        source = (owner, message.term, message.index, message.size)
        if self._source != source:
            # pieces of two owners do not make one state: they need not have written it down alike
            if self._chunks:
                sometimes("another snapshot was offered before all of the first one was here")
            self.stop_collecting()
            if not self._arrivals.expect(self._state.shard, message.size):
                sometimes("a snapshot waited until there was room for it")
                self._state.counters.installs_refused += 1
                return 0
            self._source = source
        if message.offset == len(self._chunks):
            self._chunks += message.chunk
        have = len(self._chunks)
        if have < message.size:
            return have
        if have > message.size:
            self._state.counters.malformed += 1
            self.stop_collecting()
            return 0
        self._state.restore(
            Snapshot(
                self._state.shard,
                message.index,
                message.index_term,
                message.config,
                bytes(self._chunks),
                keeps_log=False,
            )
        )
        self.stop_collecting()
        return have

    def stop_collecting(self) -> None:
        """What has come of a snapshot is not wanted any more."""
        self._source, self._chunks = None, bytearray()
        self._arrivals.ended(self._state.shard)

    # -- the answer ---------------------------------------------------------------------------------------

    def answer(self) -> None:
        """The tick ends: tells the owner how far the logs match, and whether something did not join up."""
        owner = self._answer_to
        if owner is None:
            return
        self._answer_to = None
        state = self._state
        refused, self._refused = self._refused, None
        asked_round, self._round = self._round, 0
        if state.term != self._term:
            return  # it was asked in an earlier term: nobody waits for the answer
        if self._matched or refused is None:
            state.promise(owner, Appended(state.shard, self._term, self._matched, round=asked_round))
        if refused is not None:
            index = max(state.commit, state.log.guess(*refused))
            state.promise(
                owner, Appended(state.shard, self._term, index, True, state.log.term(index), asked_round)
            )


def _are_in_order(message: Append) -> bool:
    entries = message.entries
    return (
        entries[0].index == message.previous_index + 1
        and entries[-1].index == message.previous_index + len(entries)
        and entries[-1].term <= message.term
    )
