"""Replicas whose messages and flushes move only when a test says so. Time is what the test says, too."""

import random
from collections.abc import Callable

from cluster_disk import Disk

from hubless.shard.arrivals import Arrivals
from hubless.shard.raft import Output, Raft, RaftSettings, Role
from hubless.shard.records import Recovered
from hubless.wire.replication import Append, Appended, AskVote, Config, RaftMessage

MS = 1_000_000
ELECTION_NS = 100 * MS
RESEND_NS = 20 * MS
SHARD = 3


def settings(**limits: int) -> RaftSettings:
    return RaftSettings(**{"election_ns": ELECTION_NS, "resend_ns": RESEND_NS, **limits})


def replica(
    me: str,
    *,
    founders: tuple[str, ...] | None = ("a", "b", "c"),
    recovered: Recovered | None = None,
    now_ns: int = 0,
    arrivals: Arrivals | None = None,
    **limits: int,
) -> Raft:
    return Raft(
        me=me,
        recovered=recovered or Recovered(shard=SHARD),
        config=None if founders is None else Config(founders),
        settings=settings(**limits),
        rng=random.Random(me),
        now_ns=now_ns,
        arrivals=arrivals,
    )


def flushed(raft: Raft, now_ns: int = 0) -> list[tuple[str, RaftMessage]]:
    """Ends a tick with a disk that is done at once, and the one after it. Gives all that leaves."""
    output = raft.take(now_ns)
    raft.flushed(now_ns, output.flush)
    later = raft.take(now_ns)
    raft.flushed(now_ns, later.flush)
    return [*output.now, *output.held, *later.now, *later.held]


class Bench:
    """Several replicas with disks; `lost` are directed links that lose everything."""

    def __init__(self, names: str = "abc", founders: str = "abc", **limits: int) -> None:
        self.limits = limits
        self.now_ns = 0
        self.disks = {name: Disk(SHARD) for name in names}
        self.rafts = {
            name: replica(name, founders=tuple(founders) if name in founders else None, **limits)
            for name in names
        }
        self.lost: set[tuple[str, str]] = set()
        self.sent: list[tuple[str, str, RaftMessage]] = []
        self.outputs: list[tuple[str, Output]] = []
        self.drops: Callable[[RaftMessage], bool] = lambda message: False
        self.state = b"the state of it"
        """Of every machine, whenever a replica asks for it."""

    def __getitem__(self, name: str) -> Raft:
        return self.rafts[name]

    def cut(self, name: str) -> None:
        """One replica hears nobody and is heard by nobody."""
        self.lost |= {pair for other in self.rafts for pair in ((name, other), (other, name))}

    def settle(self) -> None:
        """Ticks, flushes and messages until nothing moves."""
        for _ in range(200):
            moved: list[tuple[str, str, RaftMessage]] = []
            for name, raft in self.rafts.items():
                if raft.is_dirty:
                    output = raft.take(self.now_ns)
                    self.outputs.append((name, output))
                    self.disks[name].write(output.records)
                    raft.flushed(self.now_ns, output.flush)
                    if raft.wants_state:
                        raft.compact(raft.commit, self.state)
                    moved += [(name, to, message) for to, message in [*output.now, *output.held]]
            if not moved and not any(raft.is_dirty for raft in self.rafts.values()):
                return
            for sender, to, message in moved:
                self.sent.append((sender, to, message))
                if (sender, to) not in self.lost and not self.drops(message) and to in self.rafts:
                    self.rafts[to].receive(self.now_ns, sender, message)
        raise AssertionError("messages go round for ever")

    def elect(self, name: str) -> Raft:
        """Lets a replica win at once."""
        for raft in self.rafts.values():
            raft.doubt_owner(self.now_ns, True)
        self[name].campaign(self.now_ns)
        self.settle()
        assert self[name].role is Role.OWNER
        for raft in self.rafts.values():
            raft.doubt_owner(self.now_ns, False)
        self.sent.clear()
        self.outputs.clear()
        return self[name]

    def propose(self, name: str, *bodies: bytes) -> None:
        for body in bodies:
            assert self[name].propose(self.now_ns, body) is not None
        self.settle()

    def pass_time(self, duration_ns: int) -> None:
        """Time passes for all at once, then everything settles."""
        self.now_ns += duration_ns
        for raft in self.rafts.values():
            raft.tick(self.now_ns)
        self.settle()

    def restart(self, name: str) -> Raft:
        self.rafts[name] = replica(
            name, founders=None, recovered=self.disks[name].recovered(), now_ns=self.now_ns, **self.limits
        )
        return self.rafts[name]

    def committed(self, name: str) -> list[bytes]:
        """Bodies of proposals that a replica was handed, in order."""
        return [
            entry.body
            for at, output in self.outputs
            if at == name
            for entry in output.committed
            if entry.kind == 1
        ]


def of_kind(messages: list[tuple[str, RaftMessage]], kind: type) -> list[tuple[str, RaftMessage]]:
    return [(to, message) for to, message in messages if isinstance(message, kind)]


def ask(
    term: int, last_index: int = 1, last_term: int = 1, *, trial: bool = False, transfer: bool = False
) -> AskVote:
    return AskVote(SHARD, term, last_index, last_term, trial, transfer)


def empty(term: int, previous: tuple[int, int] = (1, 1), commit: int = 0) -> Append:
    return Append(SHARD, term, *previous, commit)


def appended(term: int, index: int, asked_round: int = 1) -> Appended:
    return Appended(SHARD, term, index, round=asked_round)
