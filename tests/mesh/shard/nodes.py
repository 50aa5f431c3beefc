"""A small mesh of `Replicas` cores in memory, in virtual time: disks that lose what was not flushed, a network that can
be cut, members and a ring that the test decides about, and machines that keep what they were told.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import msgpack

from hubless.effects import ToPeer
from hubless.placement import Preferences, Ring, RingMember
from hubless.shard.events import Commit, Committed, Disowned, Forgotten, Owning, ReadReady, Restored
from hubless.shard.records import Entries, Forget, HardState, Recovered, Snapshot
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.wire.replication import Beat, BeatAnswer, Dismissed, Orphaned

MS = 1_000_000
SECOND = 1_000 * MS
BETWEEN_NODES = (Beat, BeatAnswer, Orphaned, Dismissed)


class Disk:
    """What was flushed. Survives its node."""

    def __init__(self) -> None:
        self.hard: dict[int, HardState] = {}
        self.snapshots: dict[int, Snapshot] = {}
        self.logs: dict[int, list[Any]] = defaultdict(list)
        self.damaged: dict[int, str] = {}

    def write(self, records: Iterable[Any]) -> None:
        for record in records:
            shard = record.shard
            match record:
                case HardState():
                    self.hard[shard] = record
                case Entries(entries=entries):
                    first = entries[0].index
                    log = self.logs[shard]
                    self.logs[shard] = [entry for entry in log if entry.index < first] + list(entries)
                case Snapshot(index=index, keeps_log=keeps_log):
                    self.snapshots[shard] = record
                    log = self.logs[shard]
                    self.logs[shard] = [entry for entry in log if keeps_log and entry.index > index]
                case Forget():
                    self.snapshots.pop(shard, None)
                    self.logs.pop(shard, None)
                    self.damaged.pop(shard, None)

    def recovered(self) -> list[Recovered]:
        found = []
        for shard in sorted({*self.hard, *self.snapshots, *self.logs, *self.damaged}):
            hard = self.hard.get(shard, HardState(shard, 0, ""))
            found.append(
                Recovered(
                    shard=shard,
                    term=hard.term,
                    vote=hard.vote,
                    snapshot=self.snapshots.get(shard),
                    entries=tuple(self.logs.get(shard, ())),
                    damage=self.damaged.get(shard, ""),
                    floor_index=hard.floor_index,
                    floor_term=hard.floor_term,
                )
            )
        return found


class Host:
    """One node: its replicas while it runs, its disk, its machines (the bodies of each shard, in order)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.disk = Disk()
        self.replicas: Replicas | None = None
        self.boot = 0
        self.machines: dict[int, list[bytes]] = defaultdict(list)
        self.owning: dict[int, int] = {}
        self.inbox: list[Callable[[int, list[Any]], None]] = []
        self.turn_at_ns: int | None = None
        self.flush_free_ns = 0
        self.reads: list[ReadReady] = []
        self.outbox: dict[str, list[Any]] = defaultdict(list)
        self.flush_ns = 2 * MS


class Frame(NamedTuple):
    """Messages of one tick under way between two processes."""

    sender: Host
    sender_boot: int
    receiver: Host
    receiver_boot: int
    messages: list[Any]


def _received(replicas: Replicas, sender: str, message: Any, now_ns: int, out: list[Any]) -> None:
    replicas.receive(now_ns, sender, message, out)


class Mesh:
    """Nodes "n0", "n1", ... of which n0 founds the mesh. Members and ring are the same for all, told with a delay."""

    def __init__(
        self,
        size: int,
        *,
        shards: int = 8,
        seed: int = 1,
        settings: ReplicasSettings | None = None,
        news_ns: int = 5 * MS,
    ) -> None:
        self.now_ns = 10 * SECOND
        self.shards = shards
        self.settings = settings or ReplicasSettings.local()
        self.rng = random.Random(seed)
        self.news_ns = news_ns
        self.latency_ns = (MS // 2, MS)
        self.loss = 0.0
        self.hosts: dict[str, Host] = {}
        self.conditions: dict[str, str] = {}
        self.seats: dict[str, RingMember] = {}
        self.draining: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        self.sent: Counter[str] = Counter()
        self.effects: Counter[str] = Counter()
        self.acked: dict[int, list[bytes]] = defaultdict(list)
        self.proposed: dict[bytes, tuple[str, int]] = {}
        self.logs: dict[tuple[int, int], Any] = {}
        self.owners: dict[tuple[int, int], str] = {}
        self.owned_at_ns: list[tuple[int, int, str]] = []
        self._sequence = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self.lists = Preferences(Ring.built(()), shards=shards)
        self._bodies = 0
        for number in range(size):
            self.join(f"n{number}")

    # -- members ----------------------------------------------------------------------------------------

    def join(self, name: str) -> None:
        self.conditions[name] = "well"
        self.seats[name] = RingMember(name)
        self.boot(name)
        self.ring_changed()

    def boot(self, name: str) -> None:
        host = self.hosts.setdefault(name, Host(name))
        host.boot += 1
        host.inbox.clear()
        host.outbox.clear()
        host.machines.clear()
        host.owning.clear()
        host.flush_free_ns = 0
        host.replicas = Replicas(
            name,
            self.shards,
            settings=self.settings,
            rng=random.Random(f"{self.rng.random()}:{name}"),
            now_ns=self.now_ns,
            recovered=host.disk.recovered(),
            is_founder=name == "n0" and host.boot == 1,
        )
        replicas = host.replicas
        self.put(host, replicas.start)
        self.tell(host)

    def crash(self, name: str) -> None:
        """The process is gone, with what was not flushed. Membership is not told by this."""
        self.hosts[name].replicas = None

    def restart(self, name: str) -> None:
        self.conditions[name] = "well"
        self.boot(name)
        self.news()

    def kill(self, name: str) -> None:
        """The process is gone and membership knows."""
        self.crash(name)
        self.set_condition(name, "gone")

    def set_condition(self, name: str, condition: str) -> None:
        self.conditions[name] = condition
        self.news()

    def unseat(self, name: str) -> None:
        """The ring gives the node up: it is leaving, or was dead for long enough."""
        self.seats.pop(name, None)
        self.ring_changed()

    def drain(self, name: str) -> None:
        self.draining.add(name)
        self.unseat(name)

    def ring_changed(self) -> None:
        ring = Ring.built(self.seats[name] for name in sorted(self.seats))
        self.lists = Preferences(ring, shards=self.shards)
        self.news()

    def preference(self, shard: int) -> tuple[str, ...]:
        return self.lists.of_shard(shard)

    def news(self) -> None:
        """Everybody hears of the members and the ring, each a little later than the other."""
        for name in sorted(self.hosts):
            self.later(self.rng.randrange(1, self.news_ns + 1), lambda name=name: self.tell(self.hosts[name]))

    def tell(self, host: Host) -> None:
        if host.replicas is None:
            return
        groups: dict[str, set[str]] = {"well": set(), "doubtful": set(), "gone": set()}
        for name, condition in self.conditions.items():
            groups["well" if name == host.name else condition].add(name)
        conditions = {condition: frozenset(names) for condition, names in groups.items()}
        draining = frozenset(self.draining)
        lists = self.lists
        replicas = host.replicas
        self.put(
            host,
            lambda now_ns, out: replicas.conditions_changed(
                now_ns,
                **conditions,
                draining=draining,
                preferences=lists.of_shard,
                spares=lists.spares,
            ),
        )

    def part(self, one: Iterable[str], other: Iterable[str]) -> None:
        """Nothing goes between the two sides, either way."""
        one, other = list(one), list(other)
        self.cut |= {pair for a in one for b in other for pair in ((a, b), (b, a))}

    # -- running ----------------------------------------------------------------------------------------

    def later(self, delay_ns: int, act: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._sequence, act))

    def run(self, duration_ns: int) -> None:
        end_ns = self.now_ns + duration_ns
        while self._heap and self._heap[0][0] <= end_ns:
            self.now_ns, _, act = heapq.heappop(self._heap)
            act()
        self.now_ns = end_ns

    def run_until(
        self, holds: Callable[[], bool], limit_ns: int = 60 * SECOND, *, look_every_ns: int = MS // 10
    ) -> int:
        """Runs until `holds`, and returns how long that took; fails after the limit."""
        start_ns = self.now_ns
        while not holds():
            assert self.now_ns - start_ns <= limit_ns, self.picture()
            self.run(look_every_ns)
        return self.now_ns - start_ns

    def run_until_as_wished(self, limit_ns: int = 60 * SECOND) -> int:
        """Runs until replicas and owners are where the ring wants them."""
        return self.run_until(self.is_as_wished, limit_ns, look_every_ns=20 * MS)

    def put(self, host: Host, event: Callable[[int, list[Any]], None]) -> None:
        host.inbox.append(event)
        self.wake(host, self.now_ns)

    def wake(self, host: Host, at_ns: int) -> None:
        if host.turn_at_ns is None or at_ns < host.turn_at_ns:
            host.turn_at_ns = at_ns
            boot = host.boot
            self.later(max(0, at_ns - self.now_ns), lambda: self.turn(host, boot, at_ns))

    def turn(self, host: Host, boot: int, at_ns: int) -> None:
        """One tick: drain, handle, end of the tick."""
        if host.turn_at_ns is not None and host.turn_at_ns <= at_ns:
            host.turn_at_ns = None
        replicas = host.replicas
        if replicas is None or host.boot != boot:
            return
        now_ns = self.now_ns
        out: list[Any] = []
        events, host.inbox = host.inbox, []
        for event in events:
            event(now_ns, out)
        due_ns = replicas.next_deadline_ns()
        if due_ns is not None and due_ns <= now_ns:
            replicas.tick(now_ns, out)
        replicas.tick_ended(now_ns, out)
        for effect in out:
            self.perform(host, effect)
        self.ship(host)
        for shard in replicas.wants_compaction():
            replicas.compact(shard, msgpack.packb(host.machines[shard]))
        due_ns = replicas.next_deadline_ns()
        if due_ns is not None:
            self.wake(host, max(due_ns, now_ns + 1))

    # -- effects ----------------------------------------------------------------------------------------

    def perform(self, host: Host, effect: Any) -> None:
        self.effects[type(effect).__name__] += 1
        match effect:
            case ToPeer(node=node, message=message):
                self.sent[type(message).__name__] += 1
                self.carry(host, node, message)
            case Commit(mark=mark, records=records):
                self.flush(host, mark, records)
            case Committed(shard=shard, entries=entries):
                self.committed(host, shard, entries)
            case Restored(shard=shard, state=state):
                host.machines[shard] = msgpack.unpackb(state)
            case Owning(shard=shard, term=term):
                assert self.owners.setdefault((shard, term), host.name) == host.name, "two owners of a term"
                self.owned_at_ns.append((self.now_ns, shard, host.name))
                host.owning[shard] = term
            case Disowned(shard=shard):
                del host.owning[shard]
            case Forgotten(shard=shard):
                host.machines.pop(shard, None)
                assert shard not in host.owning
            case ReadReady():
                host.reads.append(effect)
            case _:
                raise AssertionError(effect)

    def carry(self, host: Host, node: str, message: Any) -> None:
        """Puts a message into the frame that leaves for `node` at the end of the tick."""
        assert node != host.name
        host.outbox[node].append(message)

    def ship(self, host: Host) -> None:
        """What goes to one node arrives together, or not at all."""
        frames, host.outbox = host.outbox, defaultdict(list)
        for node, messages in frames.items():
            receiver = self.hosts.get(node)
            if receiver is None or (host.name, node) in self.cut or self.rng.random() < self.loss:
                continue
            frame = Frame(host, host.boot, receiver, receiver.boot, messages)
            self.later(self.rng.randint(*self.latency_ns), partial(self.arrive, frame))

    def arrive(self, frame: Frame) -> None:
        sender, receiver = frame.sender, frame.receiver
        replicas = receiver.replicas
        if replicas is None or receiver.boot != frame.receiver_boot:
            return
        if (sender.name, receiver.name) in self.cut or sender.boot != frame.sender_boot:
            return  # cut off under way, or of an outlived process: reception drops it
        for message in frame.messages:
            self.put(receiver, partial(_received, replicas, sender.name, message))

    def flush(self, host: Host, mark: int, records: tuple[Any, ...]) -> None:
        boot, replicas = host.boot, host.replicas
        at_ns = max(self.now_ns, host.flush_free_ns) + host.flush_ns
        host.flush_free_ns = at_ns
        assert replicas is not None

        def done() -> None:
            if host.boot == boot and host.replicas is replicas:
                host.disk.write(records)
                self.put(host, lambda now_ns, out: replicas.flushed(now_ns, mark, out))

        self.later(at_ns - self.now_ns, done)

    def committed(self, host: Host, shard: int, entries: tuple[Any, ...]) -> None:
        for entry in entries:
            known = self.logs.setdefault((shard, entry.index), entry)
            assert known == entry, f"two entries at {shard}/{entry.index}"
            if entry.kind == 1:
                host.machines[shard].append(entry.body)
                if self.proposed.get(entry.body) == (host.name, host.boot):
                    del self.proposed[entry.body]
                    self.acked[shard].append(entry.body)

    # -- callers ----------------------------------------------------------------------------------------

    def owner(self, shard: int) -> Host | None:
        """The running node that was told to own the shard in the highest term."""
        owners = [host for host in self.hosts.values() if host.replicas is not None and shard in host.owning]
        return max(owners, key=lambda host: host.owning[shard], default=None)

    def propose(self, shard: int, size: int = 0) -> bytes | None:
        """Hands the owner something to remember; None if there is none, or it refuses."""
        host = self.owner(shard)
        self._bodies += 1
        body = b"%d:%d" % (shard, self._bodies) + b"." * size
        if host is None or host.replicas is None or not host.replicas.propose(self.now_ns, shard, body):
            return None
        self.proposed[body] = (host.name, host.boot)
        self.wake(host, self.now_ns)
        return body

    def read(self, name: str, shard: int, ticket: int) -> None:
        replicas = self.running(name)
        self.put(self.hosts[name], lambda now_ns, out: replicas.read(now_ns, shard, ticket, out))

    def running(self, name: str) -> Replicas:
        replicas = self.hosts[name].replicas
        assert replicas is not None
        return replicas

    # -- what is so -------------------------------------------------------------------------------------

    def all_owned(self) -> bool:
        return all(self.owner(shard) is not None for shard in range(self.shards))

    def row(self, shard: int) -> Any:
        """The owner's row of a shard; None without an owner."""
        host = self.owner(shard)
        return None if host is None else self.rows(host).get(shard)

    def rows(self, host: Host) -> dict[int, Any]:
        return {} if host.replicas is None else {row.shard: row for row in host.replicas.rows()}

    def is_as_wished(self) -> bool:
        """Every shard has its target as voters, no learners, and its preferred node as owner; nobody else holds any."""
        rows = {name: self.rows(host) for name, host in self.hosts.items() if host.replicas is not None}
        for shard in range(self.shards):
            target = self.preference(shard)
            row = rows.get(target[0], {}).get(shard)
            if (
                row is None
                or self.owner(shard) is not self.hosts[target[0]]
                or row.config.voters != tuple(sorted(target))
                or row.config.outgoing
                or row.config.learners
            ):
                return False
        return all(
            set(held) == {shard for shard in range(self.shards) if name in self.preference(shard)}
            for name, held in rows.items()
        )

    def lost(self) -> list[bytes]:
        """What was acknowledged and is not with its shard's owner."""
        missing: list[bytes] = []
        for shard, bodies in self.acked.items():
            host = self.owner(shard)
            kept = set() if host is None else set(host.machines[shard])
            missing += [body for body in bodies if body not in kept]
        return missing

    def picture(self) -> str:
        """Every replica, for a failed test."""
        lines = [f"{(self.now_ns - 10 * SECOND) / SECOND:.3f} s"]
        for name, host in sorted(self.hosts.items()):
            if host.replicas is not None:
                lines += [f"{name} {row}" for row in host.replicas.rows()]
        return "\n".join(lines)
