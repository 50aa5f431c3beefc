"""Hosts a whole node in the world: the core of `hubless`, its frames coalesced and encoded as on a socket.

The first byte of a packet says which socket it came to: gossip, work, or back over a work connection.  One
event of the world is one tick: what it made the node say leaves afterwards, in one frame per receiver.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

import hubless_gossip
from hubless.deadlines import earliest
from hubless.effects import (
    BuildRing,
    DropPeer,
    Halt,
    Log,
    NodeEffect,
    RefuseClient,
    SendWork,
    Serving,
    ToClient,
)
from hubless.meta import Meta
from hubless.node import (
    DeadlineReached,
    LeaveMesh,
    Node,
    NodeEvent,
    PeerRefused,
    RingBuilt,
    TickEnded,
    WorkFrame,
)
from hubless.shard.events import Commit
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.station import Station
from hubless.wire import Limits, Outbox, encode_refusal
from hubless_agents import (
    GiveTask,
    KillWorker,
    MeasureMemory,
    PoolEvent,
    RecallTask,
    SpawnWorker,
    Supervisor,
    SupervisorConfig,
)
from hubless_agents.events import PoolEffect
from hubless_gossip import (
    Gossip,
    GossipConfig,
    Identity,
    JoinRequested,
    PacketReceived,
    Persist,
    Remembered,
    SendPacket,
    WatchLinks,
)
from hubless_sim.addresses import FIRST_PORT, FIRST_WORK_PORT, address_of, work_address_of
from hubless_sim.checkers.bounds import Bound, Load, Overfull
from hubless_sim.checkers.deadlines import Overrun
from hubless_sim.journal_shell import JournalShell
from hubless_sim.mesh.scripted_pool import PoolProfile
from hubless_sim.names import name_of, place_of
from hubless_sim.packets import BACK, GOSSIP, WORK, to_frame, to_packet
from hubless_sim.sealed import seal, unseal
from hubless_sim.world.hosts import (
    Birth,
    Command,
    Delivered,
    Due,
    HostEffect,
    HostEvent,
    Keep,
    LinkDown,
    LinkRefused,
    LinkUp,
    Note,
    Send,
    Watch,
    WriteRefused,
    Written,
)

MeshOrder = JoinRequested | LeaveMesh


class MeshSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes of a simulated mesh have in common.

    ``ring_ms`` is how long a ring takes to build; 0 builds it within the tick, as a small one is in a real node.
    """

    mesh: bytes
    gossip: GossipConfig
    supervisor: SupervisorConfig
    replicas: ReplicasSettings = ReplicasSettings.local()
    shards: int = 64
    limits: Limits = Limits()
    pool: PoolProfile = PoolProfile()
    ring_ms: int = 0


class Halted(msgspec.Struct, frozen=True):
    """The node asked its driver to stop; ``problem`` is "" after an orderly departure."""

    problem: str


class WorkerPool(Protocol):
    """The worker processes of one node, which take virtual time; stands where a real node has `hubless_agents.Pool`."""

    def perform(self, now_ns: int, effect: PoolEffect) -> None:
        """Carry out one effect of the supervisor."""
        ...

    def due(self, now_ns: int) -> list[PoolEvent]:
        """Events whose time has come, in order."""
        ...

    def next_due_ns(self) -> int | None:
        """When ``due`` next has something."""
        ...

    def overdue(self, now_ns: int) -> Sequence[Overrun]:
        """The attempts that should have been ended by now, and are not."""
        ...

    def take_notes(self) -> Sequence[Any]:
        """What there was to observe since the last call: `Started` of every attempt, and what the run knows besides."""
        ...


class _Ring(NamedTuple):
    due_ns: int
    wanted: BuildRing


class RefusingHost:
    """A process that finds out at its start that it must not run, says so, and ends."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:  # noqa: ARG002
        """Whatever comes, it is the end."""
        return [Note(Halted(self._problem))]

    def next_deadline_ns(self) -> int | None:
        """It waits for nothing."""
        return None


class MeshHost:
    """One process of the mesh: node, workers if there are any, and what the trio shell does for a real one."""

    def __init__(
        self,
        birth: Birth,
        *,
        setting: MeshSetting,
        pool: WorkerPool | None,
        joins: bool,
    ) -> None:
        kept = Remembered.from_bytes(birth.kept) if birth.kept else Remembered(0)
        me = name_of(birth.node, birth.formats)
        identity = Identity(mesh=setting.mesh, node=me, boot=birth.boot, address=address_of(birth.node))
        gossip = Gossip(
            identity,
            config=setting.gossip,
            rng=random.Random(f"{birth.seed}:gossip"),
            now_ns=birth.now_ns,
            incarnation=kept.incarnation,
            peers=kept.peers,
        )
        supervisor = None
        if pool is not None:
            supervisor = Supervisor(
                config=setting.supervisor,
                node=me,
                rng=random.Random(f"{birth.seed}:supervisor"),
                now_ns=birth.now_ns,
            )
        station = Station(
            identity=identity,
            meta=Meta(me, work_address_of(birth.node), "", 1, (), since_ms=birth.formatted_ns // 1_000_000),
            shards=setting.shards,
            limits=setting.limits,
            workers=setting.supervisor.workers,
            joins=joins,
            epoch_ns=birth.wall_ns - birth.now_ns,
        )
        replicas = Replicas(
            me,
            setting.shards,
            settings=setting.replicas,
            rng=random.Random(f"{birth.seed}:replicas"),
            now_ns=birth.now_ns,
            recovered=birth.recovered,
            is_founder=birth.node == 0 and not birth.recovered and not birth.formats,
        )
        rng = random.Random(f"{birth.seed}:node")
        self.gossip = gossip
        self.node = Node(station, gossip=gossip, replicas=replicas, supervisor=supervisor, rng=rng)
        self._journal = JournalShell()
        self._pool = pool
        self._ring_ns = setting.ring_ms * 1_000_000
        self._ring: _Ring | None = None
        self._to_peers: Outbox[int] = Outbox(
            mesh=setting.mesh, sender=me, boot=birth.boot, limits=setting.limits
        )
        self._to_clients: Outbox[int] = Outbox(
            mesh=setting.mesh, sender=me, boot=birth.boot, limits=setting.limits
        )
        self._watched: dict[int, str] = {}
        """The node that is watched on each machine: a link tells of a process, and not of its name."""
        self._supervisor = supervisor
        self._most_queued = setting.supervisor.queue_per_agent
        self._bounds: dict[str, Bound] = {}
        self._inbox: list[NodeEvent] = []
        self._out: list[HostEffect] = []
        self._node_due_ns: int | None = birth.now_ns
        self._is_started = False
        self._has_halted = False

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """Hand the event to the node, then what follows from it within the same tick."""
        self._out = []
        if self._has_halted:
            return []
        if not self._is_started:
            self._is_started = True
            self._perform(now_ns, self.node.start(now_ns))
        self._take(now_ns, event)
        while self._inbox and not self._has_halted:
            self._perform(now_ns, self.node.handle(now_ns, self._inbox.pop(0)))
        if not self._has_halted:
            self._perform(now_ns, self.node.handle(now_ns, TickEnded()))
        if self._supervisor is not None:
            self._look_at_queues(self._supervisor)
        if self._pool is not None and isinstance(event, Due):
            self._out.extend(Note(overrun) for overrun in self._pool.overdue(now_ns))
        self._flush()
        return self._out

    def next_deadline_ns(self) -> int | None:
        """The node's deadline, its workers' or the ring's, whichever is first."""
        if self._has_halted:
            return None
        ring_ns = None if self._ring is None else self._ring.due_ns
        self._node_due_ns = self.node.next_deadline_ns()
        return earliest(
            self._node_due_ns,
            None if self._pool is None else self._pool.next_due_ns(),
            ring_ns,
            self._journal.next_due_ns(),
        )

    def _take(self, now_ns: int, event: HostEvent) -> None:
        inbox = self._inbox
        match event:
            case Delivered(packet=packet, source=source):
                self._packet(packet, source)
            case Due():
                self._journal.due(now_ns, self._out)
                if self._pool is not None:
                    inbox.extend(self._pool.due(now_ns))
                    self._take_notes(self._pool)
                if self._ring is not None and now_ns >= self._ring.due_ns:
                    wanted, self._ring = self._ring.wanted, None
                    inbox.append(RingBuilt(wanted.preferences.changed(wanted.members)))
                if self._node_due_ns is not None and now_ns >= self._node_due_ns:
                    inbox.append(DeadlineReached())
            case LinkUp(peer=peer, boot=boot):
                inbox.append(hubless_gossip.LinkUp(self._watched_at(peer), boot))
            case LinkDown(peer=peer, boot=boot):
                inbox.append(hubless_gossip.LinkDown(self._watched_at(peer), boot))
            case LinkRefused(peer=peer, boot=boot):
                inbox.append(hubless_gossip.LinkRefused(self._watched_at(peer), boot))
            case Command(order=order):
                if not isinstance(order, MeshOrder):
                    raise TypeError(f"{order!r} is no order to a mesh host; see MeshOrder")
                inbox.append(order)
            case Written() | WriteRefused():
                inbox.extend(self._journal.take(now_ns, event, self._out))

    def _watched_at(self, index: int) -> str:
        return self._watched.get(index, f"n{index}")

    def _packet(self, packet: bytes, source: int) -> None:
        packet = unseal(packet)
        match packet[:1]:
            case b"\0":
                self._inbox.append(PacketReceived(packet[1:], address_of(source)))
            case b"\1":
                self._inbox.append(WorkFrame(source.to_bytes(4, "big"), to_frame(packet)))
            case b"":
                pass
            case _:
                self._inbox.append(PeerRefused(to_frame(packet)))

    def _perform(self, now_ns: int, effects: list[NodeEffect]) -> None:
        out = self._out
        for effect in effects:
            match effect:
                case SendWork(to=to, message=message):
                    self._to_peers.add(to.port - FIRST_WORK_PORT, message)
                case ToClient(route=route, message=message):
                    self._to_clients.add(int.from_bytes(route, "big"), message)
                case SendPacket(to=to, packet=packet):
                    out.append(Send(to.port - FIRST_PORT, seal(GOSSIP + packet)))
                case GiveTask() | RecallTask() | SpawnWorker() | KillWorker() | MeasureMemory() if self._pool:
                    self._pool.perform(now_ns, effect)
                    self._take_notes(self._pool)
                case WatchLinks(peers=peers):
                    self._watched = {place_of(peer.node): peer.node for peer in peers}
                    out.append(Watch(tuple(self._watched)))
                case Commit():
                    self._journal.commit(effect, out)
                case Persist(remembered=remembered):
                    out.append(Keep(remembered.to_bytes()))
                case BuildRing():
                    self._build_ring(now_ns, effect)
                case _:
                    self._perform_rare(effect)

    def _perform_rare(self, effect: NodeEffect) -> None:
        match effect:
            case RefuseClient(route=route, text=text):
                back = seal(to_packet(BACK, encode_refusal(text)))
                self._out.append(Send(int.from_bytes(route, "big"), back))
            case Log() | Serving():
                self._out.append(Note(effect))
            case Halt(problem=problem):
                self._has_halted = True
                self._out.append(Note(Halted(problem)))
            case DropPeer():
                pass  # packets on their way to a process that is gone find nobody there
            case _:
                raise AssertionError(f"the node let {type(effect).__name__} out, which is for its own ears")

    def _build_ring(self, now_ns: int, wanted: BuildRing) -> None:
        if self._ring_ns:
            due_ns = now_ns + self._ring_ns if self._ring is None else self._ring.due_ns
            self._ring = _Ring(due_ns, wanted)
        else:
            self._inbox.append(RingBuilt(wanted.preferences.changed(wanted.members)))

    def _look_at_queues(self, supervisor: Supervisor) -> None:
        for name, load in supervisor.load().items():
            bound = self._bounds.get(name)
            if bound is None:
                bound = self._bounds[name] = Bound(self._most_queued)
            if not bound.is_kept(Load(load.queued, load.running)):
                self._out.append(Note(Overfull(f"the queue of {name}", load.queued, self._most_queued)))

    def _take_notes(self, pool: WorkerPool) -> None:
        self._out.extend(Note(note) for note in pool.take_notes())

    def _flush(self) -> None:
        for index, frame in self._to_peers.frames():
            self._out.append(Send(index, seal(to_packet(WORK, frame))))
        for index, frame in self._to_clients.frames():
            self._out.append(Send(index, seal(to_packet(BACK, frame))))
