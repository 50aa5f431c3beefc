"""The trio shell of a node: it moves bytes and time between the core and the world, and decides nothing.

    one turn = drain what has arrived -> handle each event -> send, coalesced per peer -> ONE commit of the journal

What the journal's answer lets go leaves in the same turn if the disk is fast, else when it comes. All sockets, workers
and monitors are waited for as one descriptor: a turn costs one wake-up however many of them have something to say.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio
import zmq

from hubless.datadir import DataDirectory
from hubless.driver.log import LogLine
from hubless.driver.memory import Memory
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
from hubless.journal import Store, Writer
from hubless.node import DeadlineReached, Node, NodeEvent, PeerRefused, RingBuilt, TickEnded, WorkFrame
from hubless.shard.events import Commit, Flushed, JournalEvent
from hubless.transport import LINGER_S, Heartbeat, Inbound, MonitoredLinks, Outbound, Poller
from hubless.wire import Outbox, encode_refusal
from hubless_agents import GiveTask, KillWorker, MeasureMemory, Pool, RecallTask, SpawnWorker
from hubless_gossip import Address, PacketReceived, Persist, SendPacket, WatchLinks

_MOST_PER_TURN = 512
_LONGEST_WITHOUT_TRIO_NS = 20_000_000
_LONGEST_WAIT_S = 1.0
_NS_PER_S = 1_000_000_000
_SMALL_RING = 2_048
"""Members times shards that are placed within the tick, in a millisecond."""


@dataclass(slots=True)
class Sockets:
    """A node's own sockets, bound, and its connections to others."""

    work: Inbound
    gossip: Inbound
    work_peers: Outbound
    gossip_peers: Outbound

    def counters(self) -> dict[str, int]:
        """What was sent to other nodes' work sockets, and frames that could not be: to clients that are gone, and to
        peers with full queues.
        """
        return {
            "frames_sent": self.work_peers.frames_sent,
            "bytes_sent": self.work_peers.bytes_sent,
            "answers_dropped": self.work.unroutable,
            "work_refused": self.work_peers.refused,
            "gossip_refused": self.gossip_peers.refused,
        }

    def close(self) -> None:
        for socket in (self.work, self.gossip, self.work_peers, self.gossip_peers):
            socket.close()


class Driver:
    """Runs one node until it halts.

    Args:
        pool: the node's workers; None for a node that runs no agents.
        directory: where gossip's memory is kept; None keeps nothing.
        journal: where the replicas of this node are kept.
        ready: called once, with the agents on offer, when the node serves.
    """

    def __init__(
        self,
        node: Node,
        *,
        sockets: Sockets,
        context: zmq.Context[zmq.Socket[bytes]],
        outboxes: tuple[Outbox[Address], Outbox[bytes]],
        heartbeat: Heartbeat,
        pool: Pool | None,
        directory: DataDirectory | None,
        journal: Store,
        nursery: trio.Nursery,
        ready: Callable[[tuple[str, ...]], None],
        log: Callable[[LogLine], None],
    ) -> None:
        self._node = node
        self._sockets = sockets
        self._to_peers, self._to_clients = outboxes
        self._pool = pool
        self._nursery = nursery
        self._ready = ready
        self._log = log
        self._poller = Poller()
        self._links = MonitoredLinks(context, self._poller, heartbeat, nursery, self.put)
        self._inbox: deque[NodeEvent] = deque()
        self._ring_wanted: BuildRing | None = None
        self._is_building = False
        self._halt: Halt | None = None
        self._commits: list[Commit] = []
        self._trio_ran_ns = 0
        self._due_ns: int | None = 0
        self._writer = Writer(journal, nursery, self._told_by_journal)
        self._directory = directory
        self._memory = None if directory is None else Memory(directory, nursery, log)
        for descriptor in (sockets.work.descriptor, sockets.gossip.descriptor):
            self._poller.add(descriptor)
        if pool is not None:
            self._poller.add(pool.fileno())

    def put(self, event: NodeEvent) -> None:
        """Hands the node an event from another task of the same trio loop."""
        self._inbox.append(event)
        self._poller.kick()

    def stop(self, problem: str) -> None:
        """Ends `run` at once, without a departure; `problem` says why."""
        self._halt = Halt(problem)
        self._poller.kick()

    async def run(self) -> Halt:
        """Drives the node until it halts, and returns why."""
        self._perform(self._node.start(time.monotonic_ns()))
        try:
            readable = self._poller.poll()
            while self._halt is None:
                self._turn(readable)
                lingered = self._lingered()
                readable = await self._waited() if lingered is None else lingered
            self._flush()
            return self._halt
        finally:
            self._links.close()
            self._poller.close()

    # -- one turn ---------------------------------------------------------------------------------------

    def _turn(self, readable: list[int]) -> None:
        self._take_in(readable)
        self._end_tick()
        if self._commits:
            commits, self._commits = self._commits, []
            for commit in commits:
                self._writer.put(commit.mark, commit.records)
            if self._inbox:  # the disk is fast: what waited for it leaves in this turn
                self._empty_inbox()
                self._end_tick()
        self._due_ns = self._node.next_deadline_ns()

    def _empty_inbox(self) -> None:
        while self._inbox:
            self._perform(self._node.handle(time.monotonic_ns(), self._inbox.popleft()))

    def _take_in(self, readable: list[int]) -> None:
        """Hands the node what has arrived, and its deadline if that has come."""
        node, perform, gossip, work = self._node, self._perform, self._sockets.gossip, self._sockets.work
        self._links.read(readable)
        self._empty_inbox()
        if gossip.descriptor in readable or gossip.has_untold():
            for frames in gossip.receive(_MOST_PER_TURN):
                perform(node.handle(time.monotonic_ns(), PacketReceived(frames[0])))
        if work.descriptor in readable or work.has_untold():
            for frames in work.receive(_MOST_PER_TURN):
                perform(node.handle(time.monotonic_ns(), WorkFrame(frames[0], frames[1:])))
        if self._pool is not None and self._pool.fileno() in readable:
            for event in self._pool.collect():
                perform(node.handle(time.monotonic_ns(), event))
        now_ns = time.monotonic_ns()
        if self._due_ns is not None and now_ns >= self._due_ns:
            perform(node.handle(now_ns, DeadlineReached()))
            self._inbox.extend(PeerRefused(frame) for frame in self._sockets.work_peers.refusals())
            self._links.retry()

    def _end_tick(self) -> None:
        self._perform(self._node.handle(time.monotonic_ns(), TickEnded()))
        self._flush()

    def _told_by_journal(self, event: JournalEvent) -> None:
        if self._directory is not None and isinstance(event, Flushed):
            self._directory.journal_kept()
        self._inbox.append(event)
        if not self._writer.is_on_loop:
            self._poller.kick()

    def _flush(self) -> None:
        for address, frame in self._to_peers.frames():
            self._sockets.work_peers.send(address, frame)
        for route, frame in self._to_clients.frames():
            self._sockets.work.answer(route, frame)
        if self._pool is not None:
            self._pool.flush()

    def _has_more(self) -> bool:
        waits = bool(self._inbox or self._commits)
        return waits or self._sockets.work.has_untold() or self._sockets.gossip.has_untold()

    async def _waited(self) -> list[int]:
        """What is readable after a wait in which trio's other tasks could run."""
        await self._poller.wait(0 if self._has_more() else self._patience_s())
        self._trio_ran_ns = time.monotonic_ns()
        return self._poller.poll()

    def _lingered(self) -> list[int] | None:
        """What is readable for a turn that comes at once, or that an answer to the last one brings; None: trio's turn.

        A durable task waits six times for another process, each time for less than a flush, and a wait through trio is
        a good part of that. So short waits are the kernel's, for a bounded time in a row: trio has other tasks.
        """
        is_late = time.monotonic_ns() - self._trio_ran_ns >= _LONGEST_WITHOUT_TRIO_NS
        if is_late or self._writer.is_busy or self._halt is not None:
            return None
        if self._has_more():
            return self._poller.poll()
        return (self._poller.linger() or None) if self._patience_s() > LINGER_S else None

    def _patience_s(self) -> float:
        if self._due_ns is None:
            return _LONGEST_WAIT_S
        return min(_LONGEST_WAIT_S, (self._due_ns - time.monotonic_ns()) / _NS_PER_S)

    # -- effects ----------------------------------------------------------------------------------------

    def _perform(self, effects: list[NodeEffect]) -> None:
        for effect in effects:
            match effect:
                case SendWork(to=to, message=message):
                    self._to_peers.add(to, message)
                case ToClient(route=route, message=message):
                    self._to_clients.add(route, message)
                case GiveTask() | RecallTask() | SpawnWorker() | KillWorker() | MeasureMemory():
                    if self._pool is not None:
                        self._pool.perform(effect)
                case Commit():
                    self._commits.append(effect)
                case SendPacket(to=to, packet=packet):
                    self._sockets.gossip_peers.send(to, (packet,))
                case _:
                    self._perform_rare(effect)

    def _perform_rare(self, effect: NodeEffect) -> None:
        match effect:
            case WatchLinks(peers=peers):
                self._links.watch(peers)
            case Persist(remembered=remembered):
                if self._memory is not None:
                    self._memory.keep(remembered.to_bytes())
            case BuildRing():
                self._ring_wanted = effect
                self._build_ring()
            case RefuseClient(route=route, text=text):
                self._sockets.work.answer(route, encode_refusal(text))
            case DropPeer(gossip=gossip, work=work):
                self._sockets.gossip_peers.drop(gossip)
                if work is not None:
                    self._to_peers.forget(work)
                    self._sockets.work_peers.drop(work)
            case Log(level=level, text=text, member=member, condition=condition):
                self._log(LogLine("node", level, text, member, condition))
            case Serving(agents=agents):
                self._ready(agents)
            case Halt():
                self._halt = effect
            case _:
                raise AssertionError(f"the node let {type(effect).__name__} out, which is for its own ears")

    def _build_ring(self) -> None:
        """Small rings at once, large ones in a thread; of several wishes only the last is carried out."""
        wanted = self._ring_wanted
        if wanted is None or self._is_building:
            return
        self._ring_wanted = None
        if len(wanted.members) * wanted.preferences.shards <= _SMALL_RING:
            self._inbox.append(RingBuilt(wanted.preferences.changed(wanted.members)))
        else:
            self._is_building = True
            self._nursery.start_soon(self._build_in_thread, wanted)

    async def _build_in_thread(self, wanted: BuildRing) -> None:
        preferences = await trio.to_thread.run_sync(wanted.preferences.changed, wanted.members)
        self._is_building = False
        self.put(RingBuilt(preferences))
        self._build_ring()
