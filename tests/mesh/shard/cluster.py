"""Replicas of one shard on a virtual clock, a network and disks that are as bad as the seed says.

Every event is applied to one replica at a time, and all promises are checked after each. A tick of a node follows what
arrived a little later, so that events of one tick are handled together, as in a real node.
"""

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cluster_checks import Checks, chain, demand
from cluster_disk import Disk, torn

from hubless.shard.quorum import members
from hubless.shard.raft import Output, Raft, RaftSettings, Role
from hubless.shard.records import Record
from hubless.wire.replication import Config, RaftMessage

MS = 1_000_000
ELECTION_NS = 300 * MS
BEAT_NS = 60 * MS
SHARD = 7
LIVE_WITHIN = 12
"""Election timeouts after which a healed cluster has a ready owner."""


@dataclass(frozen=True)
class Beat:
    term: int
    commit: int
    sent_at_ns: int


@dataclass(frozen=True)
class BeatAnswer:
    is_following: bool
    term: int
    sent_at_ns: int


Message = RaftMessage | Beat | BeatAnswer


class Host:
    """A node: one replica, its disk, what it wrote that is not on disk yet, and the machine it feeds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.disk = Disk(SHARD)
        self.raft: Raft | None = None
        self.life = 0
        """Rises with each crash: what was on its way within the node is lost."""
        self.writing: list[tuple[int, list[Record]]] = []
        self.held: list[tuple[int, list[tuple[str, RaftMessage]]]] = []
        self.applied = 0
        self.state = b""
        self.is_ticking = False
        self.paused_until_ns = 0
        self.flush_ns = (0, 2 * MS)
        self.view: tuple[str, ...] = ()
        """Who its membership says there is; no quorum may come of it."""
        self.reads: dict[int, int] = {}
        self.is_founder = False


class Cluster:
    """Replicas and what is between them. Everything is drawn from `seed`."""

    def __init__(
        self,
        seed: object,
        *,
        nodes: int = 5,
        voters: int = 3,
        raft: Callable[..., Raft] = Raft,
        settings: RaftSettings | None = None,
    ) -> None:
        self.rng = random.Random(f"cluster:{seed}")
        self.raft = raft
        self.settings = settings or RaftSettings(election_ns=ELECTION_NS, resend_ns=40 * MS)
        self.now_ns = 0
        self.names = [f"n{number}" for number in range(nodes)]
        self.founders = Config(tuple(self.names[:voters]))
        self.hosts = {name: Host(name) for name in self.names}
        self.disks = {name: host.disk for name, host in self.hosts.items()}
        self.checks = Checks()
        self.cuts: set[tuple[str, str]] = set()
        self.loss = self.duplication = 0.0
        self.delay_ns = (1 * MS, 3 * MS)
        self.messages = 0
        self.raft_messages = 0
        self.answered_reads = 0
        self.current: Host | None = None
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._tickets = 0
        for host in self.hosts.values():
            host.view = tuple(self.names)
            host.is_founder = host.name in self.founders.voters
            self.start(host.name)
        self._later(BEAT_NS, self._beat)

    # -- time ---------------------------------------------------------------------------------------------

    def _later(self, delay_ns: int, action: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._number, action))

    def run(self, duration_ns: int) -> None:
        """Lets time pass."""
        end_ns = self.now_ns + duration_ns
        while self._heap and self._heap[0][0] <= end_ns:
            self.now_ns, _, action = heapq.heappop(self._heap)
            action()
        self.now_ns = end_ns

    def run_until(self, condition: Callable[[], bool], most_ns: int) -> bool:
        """Lets time pass until a condition holds; False if it did not in time."""
        end_ns = self.now_ns + most_ns
        while not condition():
            if not self._heap or self._heap[0][0] > end_ns:
                self.now_ns = end_ns
                return condition()
            self.now_ns, _, action = heapq.heappop(self._heap)
            action()
        return True

    # -- one replica --------------------------------------------------------------------------------------

    def on(self, name: str, event: Callable[[Raft], None]) -> None:
        """Applies an event to a replica that runs, and checks."""
        host = self.hosts[name]
        raft = host.raft
        if raft is None:
            return
        was_owner, config = raft.role is Role.OWNER, raft.config
        self.current = host
        event(raft)
        self.checks.handled(name, raft, was_owner, config, self.disks)
        self._schedule_tick(host, raft)

    def _schedule_tick(self, host: Host, raft: Raft) -> None:
        if host.is_ticking:
            return
        if raft.is_dirty:
            delay_ns = self.rng.randint(0, MS)
        else:
            due_ns = raft.next_deadline_ns()
            if due_ns is None:
                return
            delay_ns = max(0, due_ns - self.now_ns)
        life = host.life
        is_dirty = raft.is_dirty
        host.is_ticking = is_dirty
        self._later(delay_ns, lambda: self._tick(host, life, is_dirty))

    def _tick(self, host: Host, life: int, is_dirty: bool) -> None:
        raft = host.raft
        if raft is None or host.life != life:
            return
        if host.paused_until_ns > self.now_ns:
            self._later(host.paused_until_ns - self.now_ns, lambda: self._tick(host, life, is_dirty))
            return
        if is_dirty:
            host.is_ticking = False
        elif (due_ns := raft.next_deadline_ns()) is None or due_ns > self.now_ns:
            return  # moved on meanwhile; whoever moved it has asked for another tick
        was_owner, config = raft.role is Role.OWNER, raft.config
        self.current = host
        due_ns = raft.next_deadline_ns()
        if due_ns is not None and due_ns <= self.now_ns:
            raft.tick(self.now_ns)
        output = raft.take(self.now_ns)
        self.checks.handled(host.name, raft, was_owner, config, self.disks)
        self._handle(host, raft, output)
        if raft.wants_state:
            raft.compact(host.applied, self._state_of(host))
        self._schedule_tick(host, raft)

    def _handle(self, host: Host, raft: Raft, output: Output) -> None:
        if output.records:
            self.checks.written(host.name, raft, output.records)
            host.writing.append((output.flush, output.records))
            life = host.life
            self._later(self.rng.randint(*host.flush_ns), lambda: self._flushed(host, life, output.flush))
        if output.restored is not None:
            host.applied, host.state = output.restored.index, output.restored.state[-8:]
            self.checks.applied(host.name, host.applied, host.state)
        for entry in output.committed:
            demand(entry.index == host.applied + 1, f"{host.name} was handed {entry.index} out of order")
            host.applied, host.state = entry.index, chain(host.state, entry)
            self.checks.applied(host.name, host.applied, host.state)
        for ticket, index in output.reads:
            asked = host.reads.pop(ticket)
            if index is not None:
                self.answered_reads += 1
                self.checks.read(host.name, index, asked)
        self._send_all(host.name, output.now)
        if output.held:
            host.held.append((output.flush, output.held))

    def _flushed(self, host: Host, life: int, token: int) -> None:
        if host.life != life or host.raft is None:
            return
        if host.paused_until_ns > self.now_ns:
            self._later(host.paused_until_ns - self.now_ns, lambda: self._flushed(host, life, token))
            return
        while host.writing and host.writing[0][0] <= token:
            host.disk.write(host.writing.pop(0)[1])
        self.on(host.name, lambda raft: raft.flushed(self.now_ns, token))
        while host.held and host.held[0][0] <= token:
            self._send_all(host.name, host.held.pop(0)[1])

    # -- the network --------------------------------------------------------------------------------------

    def _send_all(self, sender: str, messages: Iterable[tuple[str, Message]]) -> None:
        for to, message in messages:
            self.raft_messages += 1
            self._send(sender, to, message)

    def _send(self, sender: str, to: str, message: Message) -> None:
        self.messages += 1
        rng = self.rng
        if to not in self.hosts:
            return
        for _ in range(2 if rng.random() < self.duplication else 1):
            if rng.random() >= self.loss:
                self._later(rng.randint(*self.delay_ns), lambda: self._deliver(sender, to, message))

    def _deliver(self, sender: str, to: str, message: Message) -> None:
        host = self.hosts[to]
        if (sender, to) in self.cuts:
            return
        if host.paused_until_ns > self.now_ns:
            self._later(host.paused_until_ns - self.now_ns, lambda: self._deliver(sender, to, message))
            return
        self.on(to, lambda raft: self._receive(raft, sender, message))

    def _receive(self, raft: Raft, sender: str, message: Message) -> None:
        match message:
            case Beat(term=term, commit=commit, sent_at_ns=sent_at_ns):
                follows = raft.heard_owner(self.now_ns, sender, term, commit)
                self._send(raft.me, sender, BeatAnswer(follows, raft.term, sent_at_ns))
            case BeatAnswer(is_following=True, sent_at_ns=sent_at_ns):
                raft.heard_follower(self.now_ns, sender, sent_at_ns)
            case BeatAnswer(term=term):
                raft.saw_term(self.now_ns, term)
            case _:
                raft.receive(self.now_ns, sender, message)

    def _beat(self) -> None:
        for name, host in self.hosts.items():
            raft = host.raft
            if raft is None or raft.role is not Role.OWNER or host.paused_until_ns > self.now_ns:
                continue
            for peer in members(raft.config):
                if peer != name:
                    self._send(name, peer, Beat(raft.term, raft.commit, self.now_ns))
        self._later(BEAT_NS, self._beat)

    # -- faults and requests ------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """A node starts from its disk."""
        host = self.hosts[name]
        if host.raft is not None:
            return
        recovered = host.disk.recovered()
        host.raft = raft = self.raft(
            me=name,
            recovered=recovered,
            config=self.founders if host.is_founder else None,
            settings=self.settings,
            rng=random.Random(self.rng.getrandbits(64)),
            now_ns=self.now_ns,
        )
        demand(not raft.damage, f"{name} does not trust its disk: {raft.damage}")
        snapshot = recovered.snapshot
        host.applied, host.state = (snapshot.index, snapshot.state[-8:]) if snapshot else (0, b"")
        self.checks.started(name, raft)
        self._schedule_tick(host, raft)

    def crash(self, name: str) -> None:
        """A node is gone; of what it was writing some prefix is on disk."""
        host = self.hosts[name]
        if host.raft is None:
            return
        host.raft = None
        host.life += 1
        host.is_ticking = False
        host.paused_until_ns = 0
        host.disk.write(torn([record for _, records in host.writing for record in records], self.rng))
        host.writing.clear()
        host.held.clear()
        host.reads.clear()

    def forget(self, name: str) -> bool:
        """A node gives up its replica, if an owner that is not behind it has committed a configuration without it."""
        host = self.hosts[name]
        owner = self.ready_owner()
        if owner is None or host.raft is None or owner.is_changing:
            return False
        if name in members(owner.config) or owner.term < host.raft.term:
            return False
        for _, records in host.writing:
            host.disk.write(records)
        host.writing.clear()
        host.disk.write(host.raft.forgotten())
        self.crash(name)
        host.is_founder = False
        self.start(name)
        return True

    def pause(self, name: str, duration_ns: int) -> None:
        """A node stops for a while; what arrives waits."""
        self.hosts[name].paused_until_ns = self.now_ns + duration_ns

    def propose(self, name: str, body: bytes) -> int | None:
        """A request to one replica; None unless it owns the shard."""
        given: list[int | None] = [None]

        def event(raft: Raft) -> None:
            given[0] = raft.propose(self.now_ns, body)

        self.on(name, event)
        return given[0]

    def read(self, name: str) -> None:
        """A linearizable read at one replica."""
        host = self.hosts[name]
        if host.raft is not None:
            self._tickets += 1
            ticket = self._tickets
            host.reads[ticket] = self.checks.last_committed
            self.on(name, lambda raft: raft.read(self.now_ns, ticket))

    def compact(self, name: str) -> None:
        """A replica's log is cut where its machine is now."""
        host = self.hosts[name]
        if host.raft is not None and host.applied > host.raft.snapshot_index:
            self.on(name, lambda raft: raft.compact(host.applied, self._state_of(host)))

    def _state_of(self, host: Host) -> bytes:
        return b"." * (host.applied % 50) + host.state

    def heal(self) -> None:
        """Everything works from now on."""
        self.cuts.clear()
        self.loss = self.duplication = 0.0
        self.delay_ns = (1 * MS, 3 * MS)
        for name, host in self.hosts.items():
            host.flush_ns = (0, 2 * MS)
            host.paused_until_ns = 0
            self.start(name)
            self.on(name, lambda raft: raft.doubt_owner(self.now_ns, False))

    # -- what there is ------------------------------------------------------------------------------------

    def owners(self) -> list[Raft]:
        """Replicas that think they own the shard, latest term first."""
        found = [
            host.raft
            for host in self.hosts.values()
            if host.raft is not None and host.raft.role is Role.OWNER
        ]
        return sorted(found, key=lambda raft: -raft.term)

    def ready_owner(self) -> Raft | None:
        """The owner of the latest term, if it is ready."""
        owners = self.owners()
        return owners[0] if owners and owners[0].is_ready else None

    def demand_life(self) -> None:
        """After healing: a ready owner within a stated number of election timeouts, and it commits on all members."""
        is_live = self.run_until(lambda: self.ready_owner() is not None, LIVE_WITHIN * ELECTION_NS)
        demand(is_live, f"no ready owner {LIVE_WITHIN} election timeouts after everything was healed")
        demand(
            self.run_until(self._commits_everywhere(), 60 * ELECTION_NS), "a healed cluster does not commit"
        )

    def _commits_everywhere(self) -> Callable[[], bool]:
        last = self.checks.last_committed
        asked_at_ns = -ELECTION_NS

        def condition() -> bool:
            nonlocal asked_at_ns
            owner = self.ready_owner()
            if owner is None:
                return False
            if self.now_ns - asked_at_ns >= ELECTION_NS:
                asked_at_ns = self.now_ns
                self.propose(owner.me, b"are you there")
            if owner.is_changing or owner.commit <= last or owner.commit < owner.last_index:
                return False
            return all(self.hosts[node].applied > last for node in members(owner.config))

        return condition
