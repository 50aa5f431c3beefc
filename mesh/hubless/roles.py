"""The task roles of one node behind one door: every message about a task goes to the role that it is for."""

from __future__ import annotations

from msgspec import Struct

import hubless_agents
from hubless.clientele import Clientele
from hubless.consultation import CONSULTED, Consultation
from hubless.deadlines import earliest
from hubless.departure import Departure
from hubless.effects import DepartureAsked, NodeEffect, ToClient, ToPeer
from hubless.guard import Admission, Breakers
from hubless.inspection import Inspection
from hubless.keeping import Keeping
from hubless.placement import is_task_id
from hubless.shard.replicas import Replicas
from hubless.station import Station
from hubless.tasks import Dispatch, Executor, Gateway, Owner, Unlogged
from hubless.view import View
from hubless.wire import (
    Ask,
    Assign,
    Cancel,
    Consult,
    Consulted,
    Ended,
    Enter,
    EnterDone,
    Hello,
    LeavePlease,
    Message,
    Moved,
    OwnedBy,
    Owns,
    Place,
    Recall,
    Settled,
    Submit,
    Taken,
    Whose,
    Withdraw,
)
from hubless.wire.replication import ShardMessage
from hubless_agents import Drain, Failure, PoolEvent, Supervisor
from hubless_gossip.marks import sometimes


class Unfinished(Struct, frozen=True):
    """What a node has under way: tasks per role, attempts that its owners count, permits that its breakers gave.

    `owner` counts the unfinished tasks of the shards that it owns, `direct` those that no shard keeps.
    """

    gateway: int
    owner: int
    direct: int
    executor: int
    in_flight: int
    permits: int


class Roles:
    """Gateway, owners and, if the node runs agents, executor.

    Args:
        replicas: what this node keeps for the mesh.
        departure: while it has begun, clients are sent elsewhere.
        inspection: answers operators' questions.
    """

    def __init__(
        self,
        station: Station,
        *,
        view: View,
        breakers: Breakers,
        replicas: Replicas,
        supervisor: Supervisor | None,
        departure: Departure,
        inspection: Inspection,
    ) -> None:
        me = station.identity.node
        self._me = me
        self._station = station
        self._view = view
        self._breakers = breakers
        self._executor = (
            None if supervisor is None else Executor(me=me, boot=station.identity.boot, supervisor=supervisor)
        )
        self._dispatch = Dispatch(me=me, view=view, breakers=breakers, own_room=self._own_room)
        self._unlogged = Unlogged()
        self._direct = Owner(
            me=me, view=view, log=self._unlogged, dispatch=self._dispatch, epoch_ns=station.epoch_ns
        )
        self.keeping = Keeping(
            me=me, view=view, replicas=replicas, dispatch=self._dispatch, epoch_ns=station.epoch_ns
        )
        self._gateway = Gateway(
            me=me,
            view=view,
            shards=station.shards,
            payload_bytes=station.limits.payload_bytes,
            admission=Admission(),
            apart=self.keeping.apart,
            patience_ns=2 * replicas.election_ns,
        )
        self._consultation = Consultation(
            me=me, boot=station.identity.boot, view=view, keeping=self.keeping, shards=station.shards
        )
        self._inspection = inspection
        self._clientele = Clientele(station, view=view, keeping=self.keeping, departure=departure)

    # -- messages ---------------------------------------------------------------------------------------

    def from_client(self, now_ns: int, route: bytes, message: Message, out: list[NodeEffect]) -> bool:
        """Acts on a client's message; False if clients have no business sending it."""
        match message:
            case Submit():
                refusal = self._clientele.refusal(message)
                if refusal is None:
                    self._gateway.submit(now_ns, route, message, out)
                    self._clientele.guide(now_ns, route, message, out)
                else:
                    out.append(ToClient(route, refusal))
            case Cancel(task=task, alone=alone):
                self._gateway.cancel(task, out, route=route, alone=alone)
            case Hello():
                self._clientele.hello(route, message, out)
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
                return self._place(now_ns, node, message, out)
            case Ended():
                self._ended(now_ns, node, message, out)
            case Withdraw():
                self._withdraw(now_ns, node, message, out)
            case Assign():
                self._assign(now_ns, node, message, out)
            case Recall():
                if self._executor is not None:
                    self._executor.recall(now_ns, node, message, out)
            case Settled() | Taken() | Moved() | Owns() | OwnedBy():
                self._to_gateway(now_ns, node, message, out)
            case Enter() | EnterDone() | Whose():
                return self._to_keeping(now_ns, node, message, out)
            case LeavePlease(reason=reason, drain=drain):
                out.append(DepartureAsked(reason, drain=drain))
            case Consult() | Consulted():
                self._consult(now_ns, node, message, out)
            case _ if isinstance(message, ShardMessage):
                self.keeping.receive(now_ns, node, message, out)
            case _:
                return False
        return True

    def decide(self, now_ns: int, out: list[NodeEffect]) -> bool:
        """Acts on what was decided about the tasks that no shard keeps; whether anything follows from it."""
        before = len(out)
        while len(out) == before and self._unlogged.has_decided:
            for entry, row in self._unlogged.take_decided():
                self._direct.decided(now_ns, entry, row, out)
        return len(out) > before

    def serve(self, out: list[NodeEffect]) -> None:
        """The node is in the mesh, and clients are welcome."""
        self._clientele.serve(out)

    # -- what happens around them -----------------------------------------------------------------------

    def pool_event(self, now_ns: int, event: PoolEvent, out: list[NodeEffect]) -> None:
        """A worker had something to say."""
        if self._executor is not None:
            self._executor.handle(now_ns, event, out)

    def ring_changed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Shards belong elsewhere, and agents are found elsewhere."""
        self.keeping.conditions_changed(now_ns)
        self.view_changed(now_ns, out)

    def view_changed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Somebody came, went, or offers something else: what found no executor is tried again."""
        self._direct.view_changed(now_ns, out)
        self.keeping.apart.view_changed(now_ns, out)
        self.keeping.owner.view_changed(now_ns, out)

    def process_gone(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """Everything that was with a dead process goes elsewhere, at once."""
        self._gateway.owner_gone(node)
        self._consultation.peer_lost(now_ns, node, out)
        self._direct.peer_gone(now_ns, node, out)
        self.keeping.apart.peer_gone(now_ns, node, out)
        self.keeping.owner.peer_gone(now_ns, node, out)

    def process_silent(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """A process answers nobody: what can be done twice is not left waiting for it."""
        self._consultation.peer_lost(now_ns, node, out)
        self._direct.peer_silent(now_ns, node, out)
        self.keeping.apart.peer_silent(now_ns, node, out)
        self.keeping.owner.peer_silent(now_ns, node, out)

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
        self._direct.tick(now_ns, out)
        self.keeping.tick(now_ns, out)
        self._gateway.tick(now_ns, out)
        self._consultation.tick(now_ns, out)

    def tick_ended(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Everything that had arrived has been handled."""
        news = self.keeping.tick_ended(now_ns, out)
        if news:
            self._gateway.owners_changed(now_ns, news, out)

    def next_deadline_ns(self) -> int | None:
        """When `tick` is due."""
        return earliest(
            self._gateway.next_deadline_ns(),
            self._direct.next_deadline_ns(),
            self.keeping.next_deadline_ns(),
            self._consultation.next_deadline_ns(),
            None if self._executor is None else self._executor.next_deadline_ns(),
        )

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
        return len(self._gateway) + len(self._direct) + self.running + self.keeping.work_left

    def counters(self) -> dict[str, object]:
        """Counters by role, and what is unfinished just now."""
        counted: dict[str, object] = {
            "unfinished": Unfinished(
                gateway=len(self._gateway),
                owner=len(self.keeping.owner),
                direct=len(self._direct),
                executor=self.running,
                in_flight=len(self._dispatch),
                permits=self._breakers.in_flight,
            ),
            "gateway": self._gateway.counters,
            "owner": self.keeping.owner.counters,
            "direct": self._direct.counters,
            "apart": self.keeping.apart.counters,
            "replicas": self.keeping.counters,
        }
        if self._executor is not None:
            counted["executor"] = self._executor.counters
        return counted

    # -- inside -----------------------------------------------------------------------------------------

    def _to_gateway(
        self, now_ns: int, node: str, message: Settled | Taken | Moved | Owns | OwnedBy, out: list[NodeEffect]
    ) -> None:
        match message:
            case Settled():
                self._gateway.settled(message, out)
            case Taken():
                self._gateway.taken(node, message, out)
            case Moved():
                self.keeping.apart.moved(node, message)
                self._gateway.moved(now_ns, node, message, out)
            case OwnedBy():
                self._gateway.owned_by(now_ns, node, message, out)
            case Owns(led=led):
                self.keeping.heard_of(now_ns, node, led, out)
                news = [shard for shard, term in led if self._view.learn_owner(shard, term, node)]
                self._gateway.owners_changed(now_ns, news, out)

    def _owner_of(self, task: bytes) -> Owner:
        return self._direct if self._direct.knows(task) else self.keeping.owner

    def _ended(self, now_ns: int, node: str, ended: Ended, out: list[NodeEffect]) -> None:
        """The outcome of an attempt, which two owners here may have ordered: this node apart, and that of the shard."""
        if self.keeping.apart.knows(ended.task):
            self.keeping.apart.ended(now_ns, node, ended, out)
            if not self.keeping.owner.knows(ended.task):
                return
            sometimes("one run ended for a shard and for the node that went on apart from it")
        self._owner_of(ended.task).ended(now_ns, node, ended, out)

    def _withdraw(self, now_ns: int, node: str, withdraw: Withdraw, out: list[NodeEffect]) -> None:
        task = withdraw.task
        self._owner_of(task).withdraw(now_ns, node, task, out, alone=withdraw.alone)
        if node == self._me:
            self.keeping.apart.withdraw(now_ns, task, out)

    def _to_keeping(
        self, now_ns: int, node: str, message: Enter | EnterDone | Whose, out: list[NodeEffect]
    ) -> bool:
        if isinstance(message, Whose):
            if message.shard >= self._station.shards:
                return False
            self.keeping.whose(node, message.shard, out)
            return True
        if not is_task_id(message.task, self._station.shards):
            return False
        if isinstance(message, Enter):
            self.keeping.enter(now_ns, node, message, out)
        else:
            self.keeping.apart.entered(now_ns, message.task)
        return True

    def _consult(self, now_ns: int, node: str, message: Consult | Consulted, out: list[NodeEffect]) -> None:
        if isinstance(message, Consult):
            self._consultation.consult(now_ns, node, message, out)
        else:
            self._consultation.consulted(now_ns, node, message, out)

    def _place(self, now_ns: int, node: str, place: Place, out: list[NodeEffect]) -> bool:
        if node != self._me and not is_task_id(place.task, self._station.shards):
            return False
        if place.apart:
            if node != self._me:
                return False
            self.keeping.apart.place(now_ns, place, out)
        elif place.is_kept:
            self.keeping.place(now_ns, place, out)
        elif node == self._me:
            self._direct.place(now_ns, place, out)
        else:
            return False
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
        if ask.what in CONSULTED:
            self._consultation.ask(now_ns, route, ask, out)
            return
        if ask.what in ("leave", "drain"):
            node = self._view.find(ask.argument)
            if node is not None:
                out.append(ToPeer(node, LeavePlease("an operator asked for it", ask.what == "drain")))
        out.append(ToClient(route, self._inspection.told(now_ns, ask)))
