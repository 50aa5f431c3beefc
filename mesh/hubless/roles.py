"""The task roles of one node behind one door: every message about a task goes to the role that it is for."""

from __future__ import annotations

import msgspec
from msgspec import Struct

import hubless_agents
from hubless.config import format_address
from hubless.departure import Departure
from hubless.effects import DepartureAsked, NodeEffect, ToClient, ToPeer
from hubless.guard import Admission, Breakers
from hubless.inspection import Inspection
from hubless.placement import is_task_id, shard_of_task, take_hop
from hubless.station import Station
from hubless.tasks import Executor, Gateway, Owner
from hubless.view import View
from hubless.wire import (
    Ask,
    Assign,
    Cancel,
    Ended,
    Hello,
    LeavePlease,
    Message,
    Place,
    Refused,
    Settled,
    Submit,
    Taken,
    Welcome,
    Withdraw,
)
from hubless_agents import Drain, Failure, PoolEvent, Supervisor

_MOST_EARLY = 1_000
_MOST_HANDED_ON = 100_000


class Unfinished(Struct, frozen=True):
    """What a node has under way: tasks per role, attempts that its owner counts, permits that its breakers gave."""

    gateway: int
    owner: int
    executor: int
    in_flight: int
    permits: int


class Roles:
    """Gateway, owner and, if the node runs agents, executor.

    Args:
        departure: while it has begun, clients are sent elsewhere and tasks handed on.
        inspection: answers operators' questions.
    """

    def __init__(
        self,
        station: Station,
        *,
        view: View,
        breakers: Breakers,
        supervisor: Supervisor | None,
        departure: Departure,
        inspection: Inspection,
    ) -> None:
        me = station.identity.node
        self._me = me
        self._station = station
        self._view = view
        self._breakers = breakers
        self._departure = departure
        self._gateway = Gateway(
            me=me,
            view=view,
            shards=station.shards,
            payload_bytes=station.limits.payload_bytes,
            admission=Admission(),
        )
        self._executor = None if supervisor is None else Executor(me=me, supervisor=supervisor)
        self._owner = Owner(me=me, view=view, breakers=breakers, own_room=self._own_room)
        self._inspection = inspection
        self._is_serving = False
        self._handed_on: dict[bytes, str] = {}
        self._early: list[tuple[bytes, Hello]] = []

    # -- messages ---------------------------------------------------------------------------------------

    def from_client(self, now_ns: int, route: bytes, message: Message, out: list[NodeEffect]) -> bool:
        """Acts on a client's message; False if clients have no business sending it."""
        match message:
            case Submit():
                refusal = self._refusal(message)
                if refusal is None:
                    self._gateway.submit(now_ns, route, message, out)
                else:
                    out.append(ToClient(route, refusal))
            case Cancel(task=task):
                self._gateway.cancel(task, out)
            case Hello(role="client") if not self._is_serving and len(self._early) < _MOST_EARLY:
                self._early.append((route, message))
            case Hello(request=request):
                out.append(ToClient(route, self._welcome(request)))
            case Ask():
                self._ask(now_ns, route, message, out)
            case _:
                return False
        return True

    def is_outlived(self, node: str, boot: int) -> bool:
        """Whether another process is known to have taken that one's name."""
        member = self._view.member(node)
        return member is not None and boot < member.boot

    def from_node(self, now_ns: int, node: str, message: Message, out: list[NodeEffect]) -> bool:
        """Acts on a node's message, this node's own included; False if nodes have no business sending it."""
        match message:
            case Place():
                return self._place(now_ns, message, out)
            case Assign():
                self._assign(now_ns, node, message, out)
            case Ended():
                self._owner.ended(now_ns, node, message, out)
            case Settled():
                self._gateway.settled(message, out)
            case Taken(task=task):
                self._gateway.taken(node, task)
            case Withdraw(task=task):
                self._owner.withdraw(now_ns, node, task, out)
                if self._executor is not None:
                    self._executor.withdraw(now_ns, node, task, out)
            case LeavePlease(reason=reason):
                out.append(DepartureAsked(reason))
            case _:
                return False
        return True

    def serve(self, out: list[NodeEffect]) -> None:
        """The node is in the mesh: clients that came earlier are welcome now.

        Before, it knows neither the members nor what they offer, and would refuse work that the mesh can do.
        """
        self._is_serving = True
        out += (ToClient(route, self._welcome(hello.request)) for route, hello in self._early)
        self._early.clear()

    # -- what happens around them -----------------------------------------------------------------------

    def pool_event(self, now_ns: int, event: PoolEvent, out: list[NodeEffect]) -> None:
        """A worker had something to say."""
        if self._executor is not None:
            self._executor.handle(now_ns, event, out)

    def ring_changed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Shards may have other owners: what had none is placed, what found no executor is tried again."""
        self._gateway.place_again(now_ns, "", out)
        self._owner.view_changed(now_ns, out)

    def view_changed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Somebody came, went, or offers something else: what found no executor is tried again."""
        self._owner.view_changed(now_ns, out)

    def process_gone(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """Everything that was with a dead process goes elsewhere, at once."""
        self._owner.peer_gone(now_ns, node, out)
        self._gateway.place_again(now_ns, node, out)

    def process_replaced(self, node: str) -> None:
        """Another process runs under the name of a node that was known before."""
        if self._executor is not None:
            self._executor.owner_restarted(node)

    def drain(self, now_ns: int, out: list[NodeEffect]) -> None:
        """The node leaves: its workers take nothing new."""
        if self._executor is not None:
            self._executor.handle(now_ns, Drain(), out)

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Does what is due."""
        if self._executor is not None:
            self._executor.handle(now_ns, hubless_agents.DeadlineReached(), out)
        self._owner.tick(now_ns, out)
        self._gateway.tick(now_ns, out)

    def next_deadline_ns(self) -> int | None:
        """When `tick` is due."""
        deadlines = (
            self._gateway.next_deadline_ns(),
            self._owner.next_deadline_ns(),
            None if self._executor is None else self._executor.next_deadline_ns(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    @property
    def runs_agents(self) -> bool:
        return self._executor is not None

    @property
    def running(self) -> int:
        """Attempts that run on this node."""
        return 0 if self._executor is None else len(self._executor)

    @property
    def work_left(self) -> int:
        """Tasks that some role of this node still holds, counted by each that does."""
        return len(self._gateway) + len(self._owner) + self.running

    def counters(self) -> dict[str, object]:
        """Counters by role, and what is unfinished just now."""
        counted: dict[str, object] = {
            "unfinished": Unfinished(
                gateway=len(self._gateway),
                owner=len(self._owner),
                executor=self.running,
                in_flight=self._owner.in_flight,
                permits=self._breakers.in_flight,
            ),
            "gateway": self._gateway.counters,
            "owner": self._owner.counters,
        }
        if self._executor is not None:
            counted["executor"] = self._executor.counters
        return counted

    # -- inside -----------------------------------------------------------------------------------------

    def _refusal(self, submit: Submit) -> Refused | None:
        """Why another node should be asked, or None. A node that is alone yet does not know what others offer."""
        if self._departure.has_begun:
            return Refused("leaving", "this node is leaving: ask another one", submit.task)
        if not self._is_serving and not self._view.is_offered(submit.agent):
            return Refused("starting", "this node has not found its mesh yet: ask another one", submit.task)
        return None

    def _place(self, now_ns: int, place: Place, out: list[NodeEffect]) -> bool:
        """Owns a task; hands on one that is new while leaving. Where the trail ends it is owned all the same."""
        if not is_task_id(place.task, self._station.shards):
            return False
        if place.boot:
            again = place.again or place.boot != self._station.identity.boot
            place = msgspec.structs.replace(place, again=again, boot=0)
        if self._departure.has_begun and not self._owner.knows(place.task) and self._hand_on(place, out):
            return True
        self._owner.place(now_ns, place, out)
        return True

    def _hand_on(self, place: Place, out: list[NodeEffect]) -> bool:
        """Gives a task to who owns its shard now, and its repetitions to the same node as long as that is well."""
        before = self._handed_on.get(place.task, "")
        is_well = before != "" and self._view.is_present(before)
        owner = before if is_well else self._view.owner_of_shard(shard_of_task(place.task))
        trail = take_hop(place.trail, self._me)
        if (
            not isinstance(trail, tuple)
            or owner in (None, self._me)
            or len(self._handed_on) >= _MOST_HANDED_ON
        ):
            return False
        self._handed_on[place.task] = owner
        again = place.again or before not in ("", owner)
        out.append(ToPeer(owner, msgspec.structs.replace(place, trail=trail, again=again)))
        return True

    def _assign(self, now_ns: int, owner: str, assign: Assign, out: list[NodeEffect]) -> None:
        if self._executor is not None:
            self._executor.assign(now_ns, owner, assign, out)
            return
        failure = Failure(code="no_executor", message="this node runs no agents", where=self._me)
        out.append(ToPeer(owner, Ended(assign.task, assign.attempt, None, failure)))

    def _own_room(self, agent: str) -> int:
        return 0 if self._executor is None else self._executor.room(agent, self._view.own_slots(agent))

    def _ask(self, now_ns: int, route: bytes, ask: Ask, out: list[NodeEffect]) -> None:
        if ask.what == "leave":
            node = self._view.find(ask.argument)
            if node is not None:
                out.append(ToPeer(node, LeavePlease("an operator asked for it")))
        out.append(ToClient(route, self._inspection.told(now_ns, ask)))

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
