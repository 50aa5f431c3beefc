"""The node as one core: frames and events in, effects out. Whole meshes of nodes are in `sim/`."""

import random
from collections.abc import Sequence
from typing import TypeVar

import msgspec
import pytest

from hubless.effects import BuildRing, Halt, Log, NodeEffect, SendWork, Serving, ToClient
from hubless.meta import Meta, pack_meta
from hubless.node import DeadlineReached, LeaveMesh, Node, PeerRefused, RingBuilt, WorkFrame
from hubless.placement import mint_task_id
from hubless.station import Station
from hubless.wire import (
    Answer,
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
    Submit,
    Told,
    Welcome,
    encode,
    encode_refusal,
)
from hubless_agents import (
    Contract,
    GiveTask,
    SpawnWorker,
    Supervisor,
    SupervisorConfig,
    WorkerAnswered,
    WorkerReady,
)
from hubless_gossip import (
    Address,
    Gossip,
    GossipConfig,
    Identity,
    JoinRequested,
    LinkDegraded,
    LinkUp,
    PacketReceived,
    SendPacket,
    Tell,
)

MESH = b"\1" * 8
MS = 1_000_000
ROUTE = b"route"
HERE = Address("127.0.0.1", 10_000)
T = TypeVar("T")


def task_of(shard: int) -> bytes:
    return mint_task_id(shard, b"r" * 14)


class Alone:
    """A node that founded a mesh by itself. `run` performs what the driver would, workers included."""

    def __init__(self, *, agents: bool = True, joins: bool = False, boot: int = 1) -> None:
        identity = Identity(mesh=MESH, node="n0", boot=boot, address=HERE)
        gossip = Gossip(identity, config=GossipConfig.local(), rng=random.Random(1), now_ns=0)
        supervisor = None
        if agents:
            config = SupervisorConfig(workers=1, spares=0)
            supervisor = Supervisor(config=config, node="n0", rng=random.Random(2), now_ns=0)
        station = Station(
            identity=identity,
            meta=Meta("zero", Address("127.0.0.1", 20_000), "", 1, ()),
            shards=16,
            limits=Limits(frame_bytes=100_000, payload_bytes=1_000),
            workers=1,
            joins=joins,
        )
        self.now_ns = 0
        self.contracts: tuple[Contract, ...] = (Contract(name="echo"),)
        self.node = Node(station, gossip=gossip, supervisor=supervisor, rng=random.Random(3))
        self.given: list[GiveTask] = []
        self.others: dict[Address, Gossip] = {}
        self.effects: list[NodeEffect] = []
        self.perform(self.node.start(0))

    def perform(self, effects: list[NodeEffect]) -> list[NodeEffect]:
        done = list(effects)
        for effect in done:
            match effect:
                case BuildRing(ring=ring, members=members):
                    done += self.node.handle(self.now_ns, RingBuilt(ring.changed(members)))
                case SpawnWorker(worker):
                    done += self.node.handle(self.now_ns, WorkerReady(worker, 1, self.contracts))
                case GiveTask():
                    self.given.append(effect)
                case _:
                    pass
        self.effects += done
        self.carry(done)
        return done

    def handle(self, event: object) -> list[NodeEffect]:
        return self.perform(self.node.handle(self.now_ns, event))  # type: ignore[arg-type]

    def until(self, end_ms: int) -> list[NodeEffect]:
        done: list[NodeEffect] = []
        while (due_ns := self.node.next_deadline_ns()) is not None and due_ns <= end_ms * MS:
            self.now_ns = max(self.now_ns, due_ns)
            done += self.handle(DeadlineReached())
        self.now_ns = max(self.now_ns, end_ms * MS)
        return done

    def client(self, *messages: Message) -> list[Message]:
        effects = self.handle(WorkFrame(ROUTE, encode(MESH, "", 0, messages)))
        return [effect.message for effect in effects if isinstance(effect, ToClient)]

    def peer(self, *messages: Message, sender: str = "n1", boot: int = 1) -> list[NodeEffect]:
        return self.handle(WorkFrame(ROUTE, encode(MESH, sender, boot, messages)))

    def meet(self, node: str, *, boot: int = 1) -> None:
        """Another node, of which only the membership is real, joins this one."""
        number = int(node[1:])
        address = Address("127.0.0.1", 10_000 + number)
        described = Meta(node, Address("127.0.0.1", 20_000 + number), "", 1, ())
        other = Gossip(
            Identity(mesh=MESH, node=node, boot=boot, address=address),
            config=GossipConfig.local(),
            rng=random.Random(f"{node}:{boot}"),
            now_ns=self.now_ns,
            meta=pack_meta(described),
        )
        self.others[address] = other
        self.carry(other.handle(self.now_ns, JoinRequested((HERE,))))

    def carry(self, effects: Sequence[object]) -> None:
        """Packets between the nodes, which arrive at once."""
        for effect in effects:
            if not isinstance(effect, SendPacket):
                continue
            if effect.to == HERE:
                self.handle(PacketReceived(effect.packet, None))
            elif effect.to in self.others:
                self.carry(self.others[effect.to].handle(self.now_ns, PacketReceived(effect.packet, None)))


def of(kind: type[T], found: list[NodeEffect] | list[Message]) -> list[T]:
    return [each for each in found if isinstance(each, kind)]


@pytest.fixture
def alone() -> Alone:
    node = Alone()
    node.until(10)
    return node


def test_a_node_serves_when_its_workers_offer_their_agents(alone: Alone) -> None:
    assert of(Serving, alone.effects) == [Serving(("echo",))]


def test_a_node_without_agents_serves_at_once() -> None:
    assert of(Serving, Alone(agents=False).effects) == [Serving(())]


def test_a_task_of_a_client_runs_here_and_is_answered(alone: Alone) -> None:
    assert alone.client(Submit(task_of(3), "echo", "", b"1", 1_000)) == []
    (given,) = alone.given
    assert (given.assignment.agent, given.assignment.payload) == ("echo", b"1")
    effects = alone.handle(WorkerAnswered(given.worker, given.give, "returned", b"2"))
    assert [effect for effect in effects if isinstance(effect, ToClient)] == [
        ToClient(ROUTE, Answer(task_of(3), b"2", None, "n0", 1))
    ]
    assert set(msgspec.structs.astuple(alone.node.counters()["unfinished"])) == {0}  # type: ignore[arg-type]


def test_a_greeting_is_answered_with_what_a_client_needs(alone: Alone) -> None:
    (welcome,) = of(Welcome, alone.client(Hello("client", 4)))
    assert (welcome.request, welcome.mesh, welcome.node, welcome.shards) == (4, MESH, "n0", 16)
    assert welcome.owned == tuple(range(16))
    assert welcome.peers == ("127.0.0.1:20000",)
    assert welcome.payload_bytes == 1_000


def test_a_greeting_without_a_mesh_is_welcome(alone: Alone) -> None:
    effects = alone.handle(WorkFrame(ROUTE, encode(b"", "", 0, [Hello("node")])))
    (answer,) = of(ToClient, effects)
    assert isinstance(answer.message, Welcome)


def test_a_client_waits_until_the_node_serves_and_a_node_does_not() -> None:
    starting = Alone(joins=True)
    assert starting.client(Hello("client", 1)) == []
    assert of(Welcome, starting.client(Hello("node", 2)))
    starting.until(10)
    starting.meet("n1")
    welcomes = [
        effect.message for effect in of(ToClient, starting.effects) if isinstance(effect.message, Welcome)
    ]
    assert [welcome.request for welcome in welcomes] == [2, 1]


def test_a_node_that_comes_back_to_an_empty_mesh_serves_alone_and_says_so() -> None:
    back = Alone(joins=True, boot=2)
    assert of(Serving, back.until(2_900)) == []
    effects = back.until(3_100)
    assert of(Serving, effects) == [Serving(("echo",))]
    assert [log.level for log in of(Log, effects)] == ["warning"]
    new = Alone(joins=True)
    assert of(Serving, new.until(5_000)) == [], "a new node has no mesh to serve yet"


def test_a_degraded_link_of_this_node_s_own_is_routed_around(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.meet("n1")
    told = [Tell(LinkDegraded(reporter, "n1", degraded=True)) for reporter in ("n0", "n2")]
    monkeypatch.setattr(Gossip, "handle", lambda *_: told)
    alone.node.handle(alone.now_ns, LinkUp("n1", 1))
    assert alone.node.counters()["breakers"].hints == 1  # type: ignore[attr-defined]


def test_a_node_that_has_not_met_its_mesh_does_not_judge_what_agents_there_are() -> None:
    starting = Alone(joins=True)
    (refused,) = of(Refused, starting.client(Submit(task_of(3), "rare", "", b"1", 1_000)))
    assert (refused.code, refused.task) == ("starting", task_of(3))


def test_another_mesh_is_refused(alone: Alone) -> None:
    effects = alone.handle(WorkFrame(ROUTE, encode(b"\2" * 8, "", 0, [Cancel(task_of(1))])))
    (refused,) = of(ToClient, effects)
    assert isinstance(refused.message, Refused)
    assert refused.message.code == "mesh_mismatch"


def test_garbage_is_counted_and_answered_by_nothing(alone: Alone) -> None:
    assert alone.handle(WorkFrame(ROUTE, [b"GET / HTTP/1.1", b""])) == []
    assert alone.handle(PeerRefused([b"?"])) != [], "people should read it"


def test_a_refusal_by_a_peer_is_logged(alone: Alone) -> None:
    (log,) = alone.handle(PeerRefused(encode_refusal("another release")))
    assert "another release" in log.text  # type: ignore[union-attr]


@pytest.mark.parametrize("task", [b"", b"short", b"x" * 17, b"\xff\xff" + b"x" * 14])
@pytest.mark.parametrize("leaving", [False, True])
def test_a_placement_with_an_impossible_id_is_dropped(alone: Alone, task: bytes, leaving: bool) -> None:
    alone.meet("n1")
    if leaving:
        alone.handle(LeaveMesh())
    assert of(SendWork, alone.peer(Place(task, "echo", "", b"1", 1_000, "n1"))) == []
    assert alone.node.counters()["reception"].misplaced == 1  # type: ignore[attr-defined]


def sent(effects: list[NodeEffect]) -> list[Message]:
    return [effect.message for effect in of(SendWork, effects)]


def test_a_leaving_node_refuses_clients_and_hands_new_tasks_on(alone: Alone) -> None:
    alone.meet("n1")
    alone.handle(LeaveMesh())
    (refused,) = of(Refused, alone.client(Submit(task_of(3), "echo", "", b"1", 1_000)))
    assert (refused.code, refused.task) == ("leaving", task_of(3))
    place = Place(task_of(4), "echo", "", b"1", 1_000, "n1")
    assert sent(alone.peer(place)) == [msgspec.structs.replace(place, trail=("n0",))]


def test_a_leaving_node_hands_repetitions_to_the_same_node_whatever_the_ring_says(alone: Alone) -> None:
    alone.meet("n1")
    alone.handle(LeaveMesh())
    place = Place(task_of(4), "echo", "", b"1", 1_000, "n1")
    (before,) = of(SendWork, alone.peer(place))
    for number in range(2, 12):
        alone.meet(f"n{number}")
    (after,) = of(SendWork, alone.peer(place))
    assert (after.to, after.message.again) == (before.to, False)  # type: ignore[union-attr]


def test_a_leaving_node_keeps_what_it_has(alone: Alone) -> None:
    alone.meet("n1")
    place = Place(task_of(4), "echo", "", b"1", 1_000, "n1")
    alone.peer(place)
    alone.handle(LeaveMesh())
    assert sent(alone.peer(place)) == []
    assert len(alone.given) == 1


def test_where_the_trail_ends_a_leaving_node_owns_the_task(alone: Alone) -> None:
    alone.meet("n1")
    alone.handle(LeaveMesh())
    for trail in (("n0",), tuple(f"m{number}" for number in range(8))):
        alone.peer(Place(task_of(len(trail)), "echo", "", b"1", 1_000, "n1", trail))
    assert alone.node.counters()["unfinished"].owner == 2  # type: ignore[attr-defined]


def test_a_node_alone_leaves_as_soon_as_its_work_is_done(alone: Alone) -> None:
    alone.client(Submit(task_of(3), "echo", "", b"1", 60_000))
    alone.handle(LeaveMesh())
    assert of(Halt, alone.until(1_000)) == []
    (given,) = alone.given
    alone.handle(WorkerAnswered(given.worker, given.give, "returned", b"2"))
    assert of(Halt, alone.until(2_000)) == [Halt("")]


def test_an_operator_may_ask_a_node_to_leave_by_its_name(alone: Alone) -> None:
    (told,) = of(Told, alone.client(Ask(1, "leave", "zero")))
    assert told.failure is None
    assert of(Halt, alone.until(1_000)) == [Halt("")]


def test_an_operator_may_ask_through_another_node(alone: Alone) -> None:
    alone.peer(LeavePlease("an operator asked for it"))
    assert of(Halt, alone.until(10_000)) == [Halt("")]


def test_leaving_nobody_in_particular_moves_nobody(alone: Alone) -> None:
    (told,) = of(Told, alone.client(Ask(1, "leave", "")))
    assert told.failure is not None
    assert of(Halt, alone.until(1_000)) == []


def test_an_unknown_question_is_answered_with_what_can_be_asked(alone: Alone) -> None:
    (told,) = of(Told, alone.client(Ask(9, "weather")))
    assert told.failure is not None
    assert "members" in told.failure.message


def test_agents_that_do_not_fit_into_a_description_stop_the_node() -> None:
    node = Alone()
    node.contracts = tuple(Contract(name=f"an_agent_of_a_very_long_name_{number}") for number in range(40))
    node.until(10)
    (halt,) = of(Halt, node.effects)
    assert "40 agents" in halt.problem


def test_an_assignment_to_a_node_without_agents_is_refused_in_words() -> None:
    node = Alone(agents=False)
    node.meet("n1")
    (ended,) = sent(node.peer(Assign(task_of(1), 1, "echo", b"1", 1_000)))
    assert isinstance(ended, Ended)
    assert ended.failure is not None
    assert ended.failure.code == "no_executor"


def test_what_was_with_a_process_goes_elsewhere_when_another_has_its_name() -> None:
    node = Alone(agents=False)
    for other in ("n1", "n2"):
        node.meet(other)
    shard = next(
        number
        for number in range(16)
        if node.client(Submit(task_of(number), "echo", "", b"1", 60_000, again=True)) == []
        and node.node.counters()["unfinished"].owner == 0  # type: ignore[attr-defined]
    )
    first = sent(node.effects)[-1]
    assert isinstance(first, Place)
    assert first.task == task_of(shard)
    before = len(node.effects)
    for other in ("n1", "n2"):
        node.meet(other, boot=2)
    again = [message for message in sent(node.effects[before:]) if isinstance(message, Place)]
    assert [(message.task, message.again) for message in again] == [(task_of(shard), True)]


@pytest.mark.parametrize(("boot", "is_taken"), [(0, True), (7, True), (6, False)])
def test_what_the_last_process_may_have_started_and_runs_only_once_is_not_taken_by_the_next(
    boot: int, is_taken: bool
) -> None:
    next_one = Alone(boot=7)
    next_one.until(10)
    next_one.meet("n1")
    next_one.peer(Place(task_of(4), "echo", "", b"1", 1_000, "n1", once=True, boot=boot))
    assert len(next_one.given) == is_taken


def test_the_next_process_of_an_owner_may_ask_for_what_runs_for_the_last(alone: Alone) -> None:
    alone.meet("n1")
    alone.peer(Assign(task_of(1), 3, "echo", b"1", 60_000))
    alone.meet("n1", boot=2)
    alone.peer(Assign(task_of(2), 4, "echo", b"1", 60_000))
    assert alone.node.counters()["reception"].outlived == 1  # type: ignore[attr-defined]
    alone.peer(Assign(task_of(1), 1, "echo", b"1", 60_000), boot=2)
    (given,) = alone.given
    effects = alone.handle(WorkerAnswered(given.worker, given.give, "returned", b"2"))
    assert sent(effects) == [Ended(task_of(1), 1, b"2", None)]
