"""Raft's promises, checked after every event of a cluster, by means as plain as possible.

Election safety, log matching, leader completeness, state machine safety (dissertation, figure 3.2), commits that are on
the disks of a majority, and reads that see all that was committed before they were asked for.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from cluster_disk import Disk

from hubless.shard.raft import Raft, Role
from hubless.shard.records import Entries, Record
from hubless.wire.replication import Config, Entry


class Violation(AssertionError):
    """A promise of Raft was broken."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


def chain(digest: bytes, entry: Entry) -> bytes:
    """A state machine: the digest of everything applied so far."""
    body = b"%d %d " % (entry.index, entry.kind) + entry.body
    return blake2b(digest + body, digest_size=8).digest()


def is_majority(voters: Iterable[str], having: Iterable[str]) -> bool:
    wanted = list(voters)
    return 2 * len([node for node in wanted if node in set(having)]) > len(wanted)


class Checks:
    """What has been seen of all replicas so far, and whether it fits together."""

    def __init__(self) -> None:
        self.owners: dict[int, str] = {}
        self.entries: dict[tuple[int, int], tuple[Entry, int | None]] = {}
        self.committed: dict[int, int] = {}
        """Term of each committed index."""
        self.committed_in: dict[int, int] = {}
        """Term in which it was committed: owners of later terms must have it."""
        self.last_committed = 0
        self.states: dict[int, bytes] = {0: b""}
        self.seen_commit: dict[str, int] = {}

    def started(self, node: str, raft: Raft) -> None:
        self.seen_commit[node] = raft.snapshot_index

    def written(self, node: str, raft: Raft, records: Iterable[Record]) -> None:
        """Log matching: an index and a term name one entry, and one predecessor."""
        for record in records:
            if not isinstance(record, Entries):
                continue
            previous = raft.term_at(record.entries[0].index - 1)
            for entry in record.entries:
                key = (entry.index, entry.term)
                known = self.entries.get(key)
                if known is None or known[1] is None:
                    demand(known is None or known[0] == entry, f"{node}: two entries at {key}")
                    self.entries[key] = (entry, previous)
                else:
                    demand(known[0] == entry, f"{node}: two entries at index and term {key}")
                    demand(previous in {None, known[1]}, f"{node}: logs differ before index and term {key}")
                previous = entry.term

    def handled(
        self, node: str, raft: Raft, was_owner: bool, config: Config, disks: Mapping[str, Disk]
    ) -> None:
        """After an event at `node`, which owned the shard before it or not, with `config` in its log."""
        if raft.role is Role.OWNER and self.owners.get(raft.term) != node:
            self._elected(node, raft)
        seen = self.seen_commit[node]
        if raft.commit > seen:
            for index in range(max(seen, raft.snapshot_index) + 1, raft.commit + 1):
                self._committed(node, raft, index, was_owner, config, disks)
            self.seen_commit[node] = raft.commit

    def _elected(self, node: str, raft: Raft) -> None:
        demand(raft.term not in self.owners, f"{node} and {self.owners.get(raft.term)} own term {raft.term}")
        self.owners[raft.term] = node
        for index in range(raft.first_index, self.last_committed + 1):
            demand(
                raft.term_at(index) == self.committed[index] or self.committed_in[index] > raft.term,
                f"{node} was elected in term {raft.term} without committed index {index}",
            )

    def _committed(
        self, node: str, raft: Raft, index: int, was_owner: bool, config: Config, disks: Mapping[str, Disk]
    ) -> None:
        term = raft.term_at(index)
        known = self.committed.get(index)
        demand(known in {None, term}, f"{node} commits term {term} at index {index}, others term {known}")
        if known is not None:
            return
        demand(was_owner, f"{node} commits index {index}, which no owner has committed")
        demand(term is not None, f"{node} commits index {index}, which it does not have")
        holding = [name for name, disk in disks.items() if disk.holds(index, term or 0)]
        demand(
            is_majority(config.voters, holding)
            and (not config.outgoing or is_majority(config.outgoing, holding)),
            f"{node} commits index {index} of term {term}, on the disks of {holding} only, under {config}",
        )
        self.committed[index] = term or 0
        self.committed_in[index] = raft.term
        self.last_committed = max(self.last_committed, index)

    def applied(self, node: str, index: int, state: bytes) -> None:
        """State machine safety: after an index, one state."""
        known = self.states.setdefault(index, state)
        demand(known == state, f"{node} has another state after index {index}")

    def read(self, node: str, index: int, committed_then: int) -> None:
        demand(index >= committed_then, f"{node} reads at {index}; {committed_then} was committed before")
