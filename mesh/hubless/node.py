"""The node: a core made of cores. Membership, placement, the three task roles and the workers, and no I/O.

    effects = node.handle(now_ns, event)

An event is a frame from the work socket, an event of `hubless_gossip` or `hubless_agents`, or one of those below.
Messages that a role sends to its own node are handled within the same call, in order, and are never encoded.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

import hubless_gossip
from hubless import notices
from hubless.arrival import Arrival
from hubless.deadlines import earliest
from hubless.departure import Departure, Stage
from hubless.description import Description
from hubless.effects import (
    BuildRing,
    DepartureAsked,
    DropPeer,
    Halt,
    Log,
    NodeEffect,
    SendWork,
    Serving,
    ToClient,
    ToPeer,
)
from hubless.guard import Breakers, Evidence, OwnLag
from hubless.inspection import Inspection
from hubless.keeping import Keeping
from hubless.placement import Preferences
from hubless.reception import Reception
from hubless.roles import Roles
from hubless.shard.events import (
    Committed,
    Disowned,
    Flushed,
    Forgotten,
    JournalEvent,
    JournalFailed,
    JournalFull,
    JournalHasRoom,
    Owning,
    ReadReady,
    Restored,
)
from hubless.shard.replicas import Replicas
from hubless.station import Station
from hubless.view import PRESENT, View
from hubless.wire import Message
from hubless_agents import (
    AgentQuarantined,
    AgentReleased,
    Drained,
    GiveTask,
    MemoryMeasured,
    OffersChanged,
    PoolEvent,
    Supervisor,
    WorkerAnswered,
    WorkerExited,
    WorkerMisbehaved,
    WorkerReady,
    WorkersFailing,
)
from hubless_gossip import (
    Address,
    Condition,
    EventsLost,
    Gossip,
    LeaveRequested,
    LinkDegraded,
    LinkRefused,
    LoadChanged,
    Member,
    MemberChanged,
    MembershipEvent,
    MetaUpdated,
    Tell,
    WatchRequested,
)
from hubless_gossip.marks import sometimes

_WEIGHT_OF_THE_DEGRADED = 0.5
_LOOK_EVERY_NS = 1_000_000_000


class WorkFrame(Struct, frozen=True, gc=False):
    """A frame read from the work socket; `route` names the connection that it came over."""

    route: bytes
    parts: list[bytes]


class PeerRefused(Struct, frozen=True, gc=False):
    """A peer's work socket sent something back over our connection to it."""

    parts: list[bytes]


class RingBuilt(Struct, frozen=True):
    """A ring asked for with `BuildRing` is ready."""

    preferences: Preferences


class DeadlineReached(Struct, frozen=True):
    """The time of `next_deadline_ns` has come."""


class TickEnded(Struct, frozen=True):
    """Everything that had arrived has been handled: what belongs together leaves together now."""


class LeaveMesh(Struct, frozen=True):
    """A signal asked this node to finish its work and go."""


NodeEvent: TypeAlias = (
    WorkFrame
    | PeerRefused
    | RingBuilt
    | DeadlineReached
    | TickEnded
    | LeaveMesh
    | JournalEvent
    | hubless_gossip.Event
    | PoolEvent
)

WorkersNotice: TypeAlias = OffersChanged | AgentQuarantined | AgentReleased | WorkersFailing


class Node:
    """One member of the mesh, as a pure state machine.

    Args:
        gossip: the membership core, already holding this node's identity.
        replicas: the core of what this node keeps, already holding what its journal has.
        supervisor: the workers' core; None for a node that runs no agents.
        rng: chance for the jitter of breakers.
        shell_counters: counters of whatever drives this node, shown beside its own.
    """

    def __init__(
        self,
        station: Station,
        *,
        gossip: Gossip,
        replicas: Replicas,
        supervisor: Supervisor | None,
        rng: random.Random,
        shell_counters: Callable[[], dict[str, object]] = dict,
    ) -> None:
        me = station.identity.node
        self._me = me
        self._station = station
        self._gossip = gossip
        self._view = View(me=me, shards=station.shards)
        self._description = Description(station, gossip=gossip, view=self._view)
        self._breakers = Breakers(rng=random.Random(f"{rng.random()}:breakers"))
        self._arrival = Arrival(joins=station.joins)
        self._departure = Departure()
        self._roles = Roles(
            station,
            view=self._view,
            breakers=self._breakers,
            replicas=replicas,
            supervisor=supervisor,
            departure=self._departure,
            inspection=Inspection(
                station=station,
                view=self._view,
                breakers=self._breakers,
                counters=self.counters,
                members=self._gossip.members,
            ),
        )
        self._reception = Reception(mesh=station.identity.mesh, limits=station.limits, audience=self._roles)
        self._shell_counters = shell_counters
        self._own_lag = OwnLag()
        self._due_ns: int | None = None
        self._load_told = 0, False
        self._look_at_ns = 0
        self._watched: frozenset[str] = frozenset()

    # -- the driver's side ------------------------------------------------------------------------------

    def start(self, now_ns: int) -> list[NodeEffect]:
        """Describes this node to the mesh; to be performed before the first event."""
        out: list[NodeEffect] = []
        self._arrival.begin(now_ns, boot=self._station.identity.boot)
        self._roles.keeping.start(now_ns, out)
        self._description.publish(now_ns, out)
        return self._pump(now_ns, out)

    def handle(self, now_ns: int, event: NodeEvent) -> list[NodeEffect]:
        """Applies one event and returns what is to be done, in order."""
        out: list[NodeEffect] = []
        match event:
            case WorkFrame(route=route, parts=parts):
                self._reception.frame(now_ns, route, parts, out)
            case WorkerAnswered() | WorkerReady() | WorkerExited() | WorkerMisbehaved() | MemoryMeasured():
                self._roles.pool_event(now_ns, event, out)
            case TickEnded():
                self._roles.tick_ended(now_ns, out)
            case Flushed() | JournalFailed() | JournalFull() | JournalHasRoom():
                self._roles.keeping.journal(now_ns, event, out)
            case DeadlineReached():
                self._tick(now_ns, out)
            case RingBuilt(preferences=preferences):
                self._view.ring_built(preferences)
                self._roles.ring_changed(now_ns, out)
            case PeerRefused(parts=parts):
                self._reception.refusal(parts, out)
            case LeaveMesh():
                self._leave(now_ns, out)
            case _:
                if isinstance(event, LinkRefused) and self._is_life(event.node, event.boot):
                    moves = self._breakers.record_hard(event.node, Evidence.REFUSED, now_ns)
                    out += (notices.of_breaker(self._view, moved) for moved in moves)
                out += self._gossip.handle(now_ns, event)
        return self._pump(now_ns, out)

    def next_deadline_ns(self) -> int | None:
        """When `DeadlineReached` is due."""
        self._due_ns = earliest(
            self._gossip.next_deadline_ns(),
            self._roles.next_deadline_ns(),
            self._breakers.next_deadline_ns(),
            self._departure.next_deadline_ns(),
            self._arrival.alone_from_ns,
        )
        return self._due_ns

    def _is_life(self, node: str, boot: int) -> bool:
        """Whether `boot` is the life that a present member is held to be in."""
        known = self._view.member(node)
        return known is not None and known.boot == boot and known.condition in PRESENT

    @property
    def keeping(self) -> Keeping:
        """What this node keeps for the mesh, to be looked into."""
        return self._roles.keeping

    @property
    def view(self) -> View:
        """What this node believes of the others, to be looked into."""
        return self._view

    @property
    def breakers(self) -> Breakers:
        """Whom this node sends work to, to be looked into."""
        return self._breakers

    def counters(self) -> dict[str, object]:
        """Counters of all cores, by name."""
        return {
            "reception": self._reception.counters,
            "breakers": self._breakers.counters,
            "gossip": self._gossip.counters,
            **self._roles.counters(),
            **self._shell_counters(),
        }

    # -- inside -----------------------------------------------------------------------------------------

    def _pump(self, now_ns: int, pending: list[NodeEffect]) -> list[NodeEffect]:
        """Handles what the roles of this node say to one another; returns what is left for the driver."""
        outward: list[NodeEffect] = []
        done = 0
        while done < len(pending) or self._roles.decide(now_ns, pending):
            effect = pending[done]  # the list grows while it is walked: by what follows from an effect
            done += 1
            match effect:
                case ToPeer(node=node, message=message):
                    if node == self._me:
                        self._roles.from_node(now_ns, node, message, pending)
                    else:
                        self._send(node, message, outward)
                case ToClient() | GiveTask():
                    outward.append(effect)  # most of what leaves
                case Committed() | Restored() | Owning() | Disowned() | Forgotten() | ReadReady():
                    self._roles.keeping.replicas_said(now_ns, effect, pending)
                case _:
                    if not self._heard(now_ns, effect, pending):
                        outward.append(effect)
        if not self._arrival.is_over:
            self._arrive(now_ns, outward)
        if self._view.ring_is_stale:
            self._forget_the_forgotten()
            outward.append(BuildRing(self._view.preferences, self._view.ring_members()))
        if self._view.pools_are_stale:
            self._breakers.watch(*self._view.pools())
        return outward

    def _heard(self, now_ns: int, effect: NodeEffect, out: list[NodeEffect]) -> bool:
        """Takes in what gossip, the supervisor and an operator tell the node itself; whether it was that."""
        match effect:
            case Tell(event=event):
                self._membership(now_ns, event, out)
            case OffersChanged() | AgentQuarantined() | AgentReleased() | WorkersFailing():
                self._listen(now_ns, effect, out)
            case DepartureAsked(reason=reason, drain=drain):
                out.append(Log("warning", f"leaving because {reason}"))
                self._leave(now_ns, out, is_patient=drain)
            case Drained():
                pass  # the departure looks at the work that is left by itself
            case _:
                return False
        return True

    def _listen(self, now_ns: int, effect: WorkersNotice, out: list[NodeEffect]) -> None:
        """What the supervisor tells of the agents here."""
        match effect:
            case OffersChanged(contracts=contracts):
                if not self._departure.has_begun:
                    self._description.offer(now_ns, contracts, out)
                    self._roles.view_changed(now_ns, out)
            case WorkersFailing(failure=failure) if not (
                self._arrival.is_over or self._view.offered_by(self._me)
            ):
                # Nothing was ever offered: most likely the file is wrong, and trying again will not mend it.
                out.append(Halt(f"no worker could be started: {failure.message}"))
            case WorkersFailing():
                out.append(notices.of_workers(effect))
            case AgentQuarantined() | AgentReleased():
                self._description.set_aside(effect)
                out.append(notices.of_workers(effect))

    def _send(self, node: str, message: Message, outward: list[NodeEffect]) -> None:
        """Without an address the message is dropped: whoever needs an answer says it again, a little later."""
        address = self._view.work_address(node)
        if address is None:
            self._reception.counters.unaddressed += 1
        else:
            outward.append(SendWork(address, message))

    def _goodbye_is_said(self) -> bool:
        """Whether everybody who could hear it has been told."""
        return self._gossip.settled or not self._view.has_others()

    def _arrive(self, now_ns: int, outward: list[NodeEffect]) -> None:
        agents = self._view.offered_by(self._me)
        can_work = bool(agents) or not self._roles.runs_agents
        if self._arrival.advance(now_ns, has_met=len(self._view) > 1, can_work=can_work, out=outward):
            outward.append(Serving(tuple(agents)))
            self._roles.serve(outward)

    def _tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        self._doubt_myself(now_ns, out)
        out += self._gossip.handle(now_ns, hubless_gossip.DeadlineReached())
        if now_ns >= self._look_at_ns:
            self._look_at_ns = now_ns + _LOOK_EVERY_NS
            self._forget_the_forgotten()
            self._view.replace_dead(now_ns, self._station.replace_after_ns)
            self._watch_peers(now_ns, out)
        self._tell_load(now_ns, out)
        self._roles.tick(now_ns, out)
        out += (notices.of_breaker(self._view, moved) for moved in self._breakers.tick(now_ns))
        if self._departure.has_begun:
            self._depart(now_ns, out)

    def _watch_peers(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Who replicates what this node does is watched beside the neighbours on gossip's ring."""
        peers = self._roles.keeping.peers()
        if peers != self._watched:
            self._watched = peers
            out += self._gossip.handle(now_ns, WatchRequested(tuple(sorted(peers))))

    def _depart(self, now_ns: int, out: list[NodeEffect]) -> None:
        stage = self._departure.advance(
            now_ns, work_left=self._roles.work_left, goodbye_said=self._goodbye_is_said()
        )
        if stage is Stage.GOODBYE:
            out += self._gossip.handle(now_ns, LeaveRequested())
        elif stage is Stage.GONE:
            out.append(Halt())

    def _doubt_myself(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Answers that were late because this node was must not be held against others."""
        doubt = self._own_lag.woken(now_ns, self._due_ns)
        if doubt is not None:
            sometimes("a node's own loop was late, or in time again")
            self._breakers.distrust_self(doubt)
            out.append(
                Log("warning", f"{doubt}: judging nobody for a while")
                if doubt
                else Log("info", "in time again")
            )

    def _tell_load(self, now_ns: int, out: list[NodeEffect]) -> None:
        """How many attempts run here, up to 255. It rides on probes, so telling it costs nothing.

        A node whose journal has failed is busy: others take over what it owns at once. One that leaves is not: its
        votes are needed until it is out of all configurations, and that it goes is told by its metadata.
        """
        told = min(255, self._roles.running), self._roles.keeping.has_failed
        if told != self._load_told:
            self._load_told = told
            load, is_busy = told
            out += self._gossip.handle(now_ns, LoadChanged(load, busy=is_busy))

    # -- membership -------------------------------------------------------------------------------------

    def _membership(self, now_ns: int, event: MembershipEvent, out: list[NodeEffect]) -> None:
        match event:
            case MemberChanged(member=member):
                self._member_changed(now_ns, member, out)
            case MetaUpdated(member=member):
                self._view.learn(member)
                self._roles.view_changed(now_ns, out)
            case EventsLost():
                sometimes("a node looked at all members, as it had missed news")
                for member in self._gossip.members():
                    self._member_changed(now_ns, member, out)
                self._view.learn_links(self._gossip.degraded_links())
            case LinkDegraded(reporter=reporter, target=target, degraded=degraded):
                if degraded and reporter == self._me:
                    self._breakers.hint(target, _WEIGHT_OF_THE_DEGRADED, now_ns)
                self._view.learn_link(reporter, target, degraded=degraded)
                if self._me in (reporter, target):
                    self._roles.view_changed(now_ns, out)
                out.append(notices.of_link(self._view, reporter, target, degraded=degraded))

    def _member_changed(self, now_ns: int, member: Member, out: list[NodeEffect]) -> None:
        before = self._view.member(member.node)
        work_before = self._view.work_address(member.node)
        self._view.learn(member)
        if member.node == self._me:
            return
        is_new_process = before is not None and member.boot != before.boot
        is_gone = is_new_process or member.condition not in PRESENT
        if is_new_process:
            self._roles.process_replaced(member.node)
        if before is not None and before.condition in PRESENT and is_gone:
            self._process_gone(now_ns, before, work_before, out)
        if member.condition is Condition.SUSPECT and (
            before is None or before.condition is not Condition.SUSPECT
        ):
            self._roles.process_silent(now_ns, member.node, out)
        if member.condition in PRESENT and (before is None or is_gone or before.condition not in PRESENT):
            self._roles.keeping.met(member.node)
        if before is None or is_new_process or before.condition is not member.condition:
            out.append(notices.of_member(self._view, member))
            self._roles.keeping.conditions_changed(now_ns)
            self._roles.view_changed(now_ns, out)

    def _process_gone(self, now_ns: int, gone: Member, work: Address | None, out: list[NodeEffect]) -> None:
        """Everything that was with that process, which took work at `work`, goes elsewhere in this very tick."""
        out.append(DropPeer(gone.address, work))
        self._breakers.forget(gone.node)
        self._roles.process_gone(now_ns, gone.node, out)

    def _forget_the_forgotten(self) -> None:
        for node in self._view.absent():
            if self._gossip.member(node) is None:
                self._view.forget(node)

    def _leave(self, now_ns: int, out: list[NodeEffect], *, is_patient: bool = False) -> None:
        """Takes no new work and gives up this node's keys; `_tick` sees to the rest."""
        if not self._departure.begin(now_ns, is_patient=is_patient):
            return
        out.append(Log("info", "leaving: finishing what is here"))
        self._description.leave(now_ns, out)
        self._roles.drain(now_ns, out)
