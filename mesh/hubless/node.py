"""The node: a core made of cores. Membership, placement, the three task roles and the workers, and no I/O.

    effects = node.handle(now_ns, event)

An event is a frame from the work socket, an event of `hubless_gossip` or `hubless_agents`, or one of those below.
Messages that a role sends to its own node are handled within the same call, in order, and are never encoded.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from msgspec import Struct

import hubless_agents
import hubless_gossip
from hubless.config import format_address
from hubless.departure import Departure, Stage
from hubless.effects import BuildRing, DropPeer, Halt, Log, NodeEffect, SendWork, Serving, ToClient, ToPeer
from hubless.guard import Admission, Breakers, Evidence
from hubless.inspection import Inspection
from hubless.meta import Meta, MetaTooLargeError, offers_of, pack_meta
from hubless.placement import Ring, shard_of_task, take_hop
from hubless.reception import Reception
from hubless.tasks import Executor, Gateway, Owner
from hubless.view import PRESENT, View
from hubless.wire import (
    Ask,
    Assign,
    Cancel,
    Ended,
    Hello,
    LeavePlease,
    Limits,
    Message,
    Place,
    Refused,
    Settled,
    Submit,
    Welcome,
    Withdraw,
)
from hubless_agents import (
    AgentQuarantined,
    AgentReleased,
    Contract,
    Drain,
    Drained,
    Failure,
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
    Condition,
    EventsLost,
    Gossip,
    Identity,
    LeaveRequested,
    LinkDegraded,
    LinkRefused,
    Member,
    MemberChanged,
    MembershipEvent,
    MetaChanged,
    MetaUpdated,
    Tell,
)


class WorkFrame(Struct, frozen=True, gc=False):
    """A frame read from the work socket; `route` names the connection that it came over."""

    route: bytes
    parts: list[bytes]


class PeerRefused(Struct, frozen=True, gc=False):
    """A peer's work socket sent something back over our connection to it."""

    parts: list[bytes]


class RingBuilt(Struct, frozen=True):
    """A ring asked for with `BuildRing` is ready."""

    ring: Ring


class DeadlineReached(Struct, frozen=True):
    """The time of `next_deadline_ns` has come."""


class LeaveMesh(Struct, frozen=True):
    """A signal asked this node to finish its work and go."""


NodeEvent: TypeAlias = (
    WorkFrame | PeerRefused | RingBuilt | DeadlineReached | LeaveMesh | hubless_gossip.Event | PoolEvent
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What is fixed about a node for as long as its process lives.

    `meta` names its work address. `joins` says that there are others whom it has to find before it is ready.
    """

    identity: Identity
    meta: Meta
    shards: int
    limits: Limits
    workers: int
    joins: bool


class Node:
    """One member of the mesh, as a pure state machine.

    Args:
        gossip: the membership core, already holding this node's identity.
        supervisor: the workers' core; None for a node that runs no agents.
        rng: chance for the jitter of breakers.
    """

    def __init__(
        self, station: Station, *, gossip: Gossip, supervisor: Supervisor | None, rng: random.Random
    ) -> None:
        me = station.identity.node
        self._me = me
        self._station = station
        self._meta = station.meta
        self._gossip = gossip
        self._view = View(me=me, shards=station.shards)
        self._breakers = Breakers(rng=random.Random(f"{rng.random()}:breakers"))
        self._gateway = Gateway(
            me=me,
            view=self._view,
            shards=station.shards,
            payload_bytes=station.limits.payload_bytes,
            admission=Admission(),
        )
        self._executor = None if supervisor is None else Executor(me=me, supervisor=supervisor)
        self._owner = Owner(me=me, view=self._view, breakers=self._breakers, own_room=self._own_room)
        self._reception = Reception(mesh=station.identity.mesh, limits=station.limits, audience=self)
        self._inspection = Inspection(station=station, view=self._view, breakers=self._breakers)
        self._departure = Departure()
        self._is_ready = False

    # -- the driver's side ------------------------------------------------------------------------------

    def start(self, now_ns: int) -> list[NodeEffect]:
        """Describes this node to the mesh; to be performed before the first event."""
        out: list[NodeEffect] = []
        self._publish(now_ns, out)
        return self._pump(now_ns, out)

    def handle(self, now_ns: int, event: NodeEvent) -> list[NodeEffect]:
        """Applies one event and returns what is to be done, in order."""
        out: list[NodeEffect] = []
        match event:
            case WorkFrame(route=route, parts=parts):
                self._reception.frame(now_ns, route, parts, out)
            case WorkerAnswered() | WorkerReady() | WorkerExited() | WorkerMisbehaved() | MemoryMeasured():
                if self._executor is not None:
                    self._executor.handle(now_ns, event, out)
            case DeadlineReached():
                self._tick(now_ns, out)
            case RingBuilt(ring=ring):
                self._view.ring_built(ring)
                self._gateway.place_again(now_ns, "", out)
                self._owner.view_changed(now_ns, out)
            case PeerRefused(parts=parts):
                self._reception.refusal(parts, out)
            case LeaveMesh():
                self._leave(now_ns, out)
            case _:
                if isinstance(event, LinkRefused):
                    self._breakers.record_hard(event.node, Evidence.REFUSED, now_ns)
                out += self._gossip.handle(now_ns, event)
        return self._pump(now_ns, out)

    def next_deadline_ns(self) -> int | None:
        """When `DeadlineReached` is due."""
        deadlines = [
            self._gossip.next_deadline_ns(),
            self._gateway.next_deadline_ns(),
            self._owner.next_deadline_ns(),
            self._breakers.next_deadline_ns(),
            None if self._executor is None else self._executor.next_deadline_ns(),
            self._departure.next_deadline_ns(),
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # -- messages ---------------------------------------------------------------------------------------

    def from_client(self, now_ns: int, route: bytes, message: Message, out: list[NodeEffect]) -> bool:
        """Acts on a client's message; False if clients have no business sending it."""
        match message:
            case Submit():
                if self._departure.has_begun:
                    out.append(ToClient(route, Refused("leaving", "this node is leaving: ask another one")))
                else:
                    self._gateway.submit(now_ns, route, message, out)
            case Cancel(task=task):
                self._gateway.cancel(task, out)
            case Hello(request=request):
                out.append(ToClient(route, self._welcome(request)))
            case Ask():
                self._ask(now_ns, route, message, out)
            case _:
                return False
        return True

    def from_node(self, now_ns: int, node: str, message: Message, out: list[NodeEffect]) -> bool:
        """Acts on a node's message, this node's own included; False if nodes have no business sending it."""
        match message:
            case Place():
                self._place(now_ns, message, out)
            case Assign():
                self._assign(now_ns, node, message, out)
            case Ended():
                self._owner.ended(now_ns, node, message, out)
            case Settled():
                self._gateway.settled(message, out)
            case Withdraw(task=task):
                self._owner.withdraw(now_ns, task, out)
                if self._executor is not None:
                    self._executor.withdraw(now_ns, task, out)
            case LeavePlease(reason=reason):
                out.append(Log("warning", f"leaving because {reason}"))
                self._leave(now_ns, out)
            case _:
                return False
        return True

    def _place(self, now_ns: int, place: Place, out: list[NodeEffect]) -> None:
        """Owns a task, or hands it on while leaving; where the trail ends it is owned all the same."""
        if self._departure.has_begun:
            trail = take_hop(place.trail, self._me)
            owner = self._view.owner_of_shard(shard_of_task(place.task))
            if isinstance(trail, tuple) and owner not in (None, self._me):
                out.append(ToPeer(owner, msgspec.structs.replace(place, trail=trail)))
                return
        self._owner.place(now_ns, place, out)

    def _assign(self, now_ns: int, owner: str, assign: Assign, out: list[NodeEffect]) -> None:
        if self._executor is not None:
            self._executor.assign(now_ns, owner, assign, out)
            return
        failure = Failure(code="no_executor", message="this node runs no agents", where=self._me)
        out.append(ToPeer(owner, Ended(assign.task, assign.attempt, None, failure)))

    def _ask(self, now_ns: int, route: bytes, ask: Ask, out: list[NodeEffect]) -> None:
        if ask.what == "leave":
            node = self._view.find(ask.argument)
            if node is not None:
                out.append(ToPeer(node, LeavePlease("an operator asked for it")))
        out.append(ToClient(route, self._inspection.told(now_ns, ask, self._counts())))

    def _welcome(self, request: int) -> Welcome:
        identity = self._station.identity
        return Welcome(
            request=request,
            mesh=identity.mesh,
            node=self._me,
            boot=identity.boot,
            gossip=format_address(identity.address),
            shards=self._station.shards,
            peers=tuple(format_address(address) for address in self._view.work_addresses()),
            owned=self._view.owned(self._me),
            payload_bytes=self._station.limits.payload_bytes,
        )

    def _counts(self) -> dict[str, dict[str, int]]:
        counted = {
            "reception": self._reception.counters,
            "gateway": self._gateway.counters,
            "owner": self._owner.counters,
            "gossip": self._gossip.counters,
        }
        if self._executor is not None:
            counted["executor"] = self._executor.counters
        return {name: msgspec.to_builtins(counters) for name, counters in counted.items()}

    # -- inside -----------------------------------------------------------------------------------------

    def _pump(self, now_ns: int, pending: list[NodeEffect]) -> list[NodeEffect]:
        """Handles what the roles of this node say to one another; returns what is left for the driver."""
        outward: list[NodeEffect] = []
        for effect in pending:  # grows while it is walked: handlers append what follows from an effect
            match effect:
                case ToPeer(node=node, message=message):
                    if node == self._me:
                        self.from_node(now_ns, node, message, pending)
                    else:
                        self._send(node, message, outward)
                case Tell(event=told):
                    self._membership(now_ns, told, pending)
                case OffersChanged(contracts=contracts):
                    self._offer(now_ns, contracts, pending)
                case AgentQuarantined() | AgentReleased() | WorkersFailing():
                    pending.append(_log_of(effect))
                case Drained():
                    pass  # the departure looks at the work that is left by itself
                case _:
                    outward.append(effect)
        if not self._is_ready:
            self._look_whether_ready(outward)
        if self._view.ring_is_stale:
            outward.append(BuildRing(self._view.ring, self._view.ring_members()))
        if self._view.pools_are_stale:
            self._breakers.watch(*self._view.pools())
        return outward

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

    def _look_whether_ready(self, outward: list[NodeEffect]) -> None:
        """Ready is a node that is in the mesh and whose workers, if it has any, offer their agents."""
        has_peers = len(self._view) > 1 or not self._station.joins
        agents = self._view.offered_by(self._me)
        if has_peers and (agents or self._executor is None):
            self._is_ready = True
            outward.append(Serving(tuple(agents)))

    def _tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        out += self._gossip.handle(now_ns, hubless_gossip.DeadlineReached())
        if self._executor is not None:
            self._executor.handle(now_ns, hubless_agents.DeadlineReached(), out)
        self._owner.tick(now_ns, out)
        self._gateway.tick(now_ns, out)
        self._breakers.tick(now_ns)
        work_left = len(self._gateway) + len(self._owner) + (len(self._executor) if self._executor else 0)
        match self._departure.advance(now_ns, work_left=work_left, goodbye_said=self._goodbye_is_said()):
            case Stage.GOODBYE:
                out += self._gossip.handle(now_ns, LeaveRequested())
            case Stage.GONE:
                out.append(Halt())
            case _:
                pass

    def _own_room(self, agent: str) -> int:
        return 0 if self._executor is None else self._executor.room(agent, self._view.own_slots(agent))

    # -- membership -------------------------------------------------------------------------------------

    def _membership(self, now_ns: int, event: MembershipEvent, out: list[NodeEffect]) -> None:
        match event:
            case MemberChanged(member=member):
                self._member_changed(now_ns, member, out)
            case MetaUpdated(member=member):
                self._view.learn(member)
                self._owner.view_changed(now_ns, out)
            case EventsLost():
                for member in self._gossip.members():
                    self._member_changed(now_ns, member, out)
            case LinkDegraded(reporter=reporter, target=target, degraded=degraded):
                verb = "no longer reaches" if degraded else "reaches again"
                text = f"{self._view.label(reporter)} {verb} {self._view.label(target)} directly"
                out.append(Log("warning" if degraded else "info", text))

    def _member_changed(self, now_ns: int, member: Member, out: list[NodeEffect]) -> None:
        before = self._view.member(member.node)
        self._view.learn(member)
        if member.node == self._me:
            return
        is_new_process = before is not None and member.boot != before.boot
        is_gone = is_new_process or member.condition not in PRESENT
        if before is not None and before.condition in PRESENT and is_gone:
            self._process_gone(now_ns, before, out)
        if before is None or is_new_process or before.condition is not member.condition:
            level = "info" if member.condition in (Condition.ALIVE, Condition.LEFT) else "warning"
            condition = member.condition.name.lower()
            text = f"{self._view.label(member.node)} is {condition}"
            out.append(Log(level, text, member.node, condition))
            self._owner.view_changed(now_ns, out)

    def _process_gone(self, now_ns: int, gone: Member, out: list[NodeEffect]) -> None:
        """Everything that was with that process goes elsewhere, in this very tick."""
        out.append(DropPeer(gone.address, self._view.work_address(gone.node)))
        self._breakers.forget(gone.node)
        self._owner.peer_gone(now_ns, gone.node, out)
        self._gateway.place_again(now_ns, gone.node, out)

    def _offer(self, now_ns: int, contracts: tuple[Contract, ...], out: list[NodeEffect]) -> None:
        if self._departure.has_begun:
            return
        offers = offers_of(contracts, workers=self._station.workers)
        self._meta = msgspec.structs.replace(self._meta, offers=offers)
        try:
            self._publish(now_ns, out)
        except MetaTooLargeError as problem:
            out.append(Halt(str(problem)))
            return

    def _publish(self, now_ns: int, out: list[NodeEffect]) -> None:
        out += self._gossip.handle(now_ns, MetaChanged(pack_meta(self._meta)))
        self._learn_me()

    def _learn_me(self) -> None:
        me = self._gossip.member(self._me)
        if me is not None:
            self._view.learn(me)

    def _leave(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Takes no new work and gives up this node's keys; `_tick` sees to the rest."""
        if not self._departure.begin(now_ns):
            return
        out.append(Log("info", "leaving: finishing what is here"))
        self._meta = msgspec.structs.replace(self._meta, weight=0, offers=())
        self._publish(now_ns, out)
        if self._executor is not None:
            self._executor.handle(now_ns, Drain(), out)


def _log_of(effect: AgentQuarantined | AgentReleased | WorkersFailing) -> Log:
    """What people should read about a supervisor's notice."""
    match effect:
        case AgentQuarantined(agent=agent, failure=failure):
            return Log("error", f"agent {agent} is quarantined on this node: {failure.message}")
        case AgentReleased(agent=agent, trial=True):
            return Log("info", f"agent {agent} may try once whether it works again")
        case AgentReleased(agent=agent):
            return Log("info", f"agent {agent} works again")
        case WorkersFailing(failure=failure, consecutive=consecutive):
            return Log(
                "error",
                f"a worker did not start ({consecutive} in a row): {failure.message}\n{failure.detail}",
            )
