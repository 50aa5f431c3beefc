"""The node as one core: frames and events in, effects out. Whole meshes of nodes are in `sim/`."""

import random
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import pytest

from hubless.effects import BuildRing, Halt, Log, NodeEffect, SendWork, Serving, ToClient
from hubless.meta import Meta, Offer, pack_meta
from hubless.node import DeadlineReached, LeaveMesh, Node, PeerRefused, RingBuilt, TickEnded, WorkFrame
from hubless.placement import mint_task_id
from hubless.shard.events import Commit, Flushed, JournalFailed
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.station import Station
from hubless.wire import (
    Accepted,
    Answer,
    Ask,
    Assign,
    Cancel,
    Durability,
    Ended,
    Hello,
    LeavePlease,
    Limits,
    Message,
    OwnedBy,
    Owns,
    Place,
    Refused,
    Submit,
    Taken,
    Told,
    Welcome,
    Whose,
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
    """A node that founded a mesh by itself, unless it joins one. What the driver does is done here, workers included.

    Its journal is quick, or says nothing until the test lets it: see `flush`.
    """

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
            epoch_ns=1_700_000_000_000 * MS,
        )
        replicas = Replicas(
            "n0",
            16,
            settings=ReplicasSettings.local(),
            rng=random.Random(4),
            now_ns=0,
            is_founder=not joins,
        )
        self.now_ns = 0
        self.is_quick = True
        self.unflushed: list[int] = []
        self.contracts: tuple[Contract, ...] = (Contract(name="echo"),)
        self.node = Node(
            station, gossip=gossip, replicas=replicas, supervisor=supervisor, rng=random.Random(3)
        )
        self.given: list[GiveTask] = []
        self.others: dict[Address, Gossip] = {}
        self.effects: list[NodeEffect] = []
        self.tick(self.node.start(0))

    def perform(self, effects: list[NodeEffect]) -> list[NodeEffect]:
        done = list(effects)
        for effect in done:
            match effect:
                case BuildRing(preferences=preferences, members=members):
                    done += self.node.handle(self.now_ns, RingBuilt(preferences.changed(members)))
                case SpawnWorker(worker):
                    done += self.node.handle(self.now_ns, WorkerReady(worker, 1, self.contracts))
                case GiveTask():
                    self.given.append(effect)
                case Commit(mark=mark):
                    self.unflushed.append(mark)
                case _:
                    pass
        self.effects += done
        self.carry(done)
        return done

    def tick(self, effects: list[NodeEffect]) -> list[NodeEffect]:
        """The rest of a tick that began with these effects, and what the journal's answers bring about."""
        done = self.perform(effects)
        done += self.perform(self.node.handle(self.now_ns, TickEnded()))
        while self.is_quick and self.unflushed:
            done += self.flush()
        return done

    def flush(self) -> list[NodeEffect]:
        mark, self.unflushed = self.unflushed[-1], []
        done = self.perform(self.node.handle(self.now_ns, Flushed(mark)))
        return done + self.perform(self.node.handle(self.now_ns, TickEnded()))

    def handle(self, event: object) -> list[NodeEffect]:
        return self.tick(self.node.handle(self.now_ns, event))  # type: ignore[arg-type]

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

    def meet(self, node: str, *, boot: int = 1, offers: tuple[Offer, ...] = ()) -> None:
        """Another node, of which only the membership is real, joins this one."""
        number = int(node[1:])
        address = Address("127.0.0.1", 10_000 + number)
        described = Meta(node, Address("127.0.0.1", 20_000 + number), "", 1, offers)
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


@pytest.mark.parametrize("durability", list(Durability))
def test_a_task_of_a_client_runs_here_and_is_answered(alone: Alone, durability: Durability) -> None:
    assert alone.client(Submit(task_of(3), "echo", "", b"1", 1_000, durability=durability)) == []
    (given,) = alone.given
    assert (given.assignment.agent, given.assignment.payload) == ("echo", b"1")
    effects = alone.handle(WorkerAnswered(given.worker, given.give, "returned", b"2"))
    assert [effect for effect in effects if isinstance(effect, ToClient)] == [
        ToClient(ROUTE, Answer(task_of(3), b"2", None, "n0", 1))
    ]
    assert set(msgspec.structs.astuple(alone.node.counters()["unfinished"])) == {0}  # type: ignore[arg-type]


def test_nothing_is_promised_before_it_is_on_disk(alone: Alone) -> None:
    """One round trip to the disk for the receipt and the order, and another for the outcome: no more."""
    alone.is_quick = False
    assert alone.client(Submit(task_of(3), "echo", "", b"1", 1_000, receipt=True)) == []
    assert (alone.given, len(alone.unflushed)) == ([], 1)
    assert of(ToClient, alone.flush()) == [ToClient(ROUTE, Accepted(task_of(3)))]
    (given,) = alone.given
    assert alone.unflushed == []
    effects = alone.handle(WorkerAnswered(given.worker, given.give, "returned", b"2"))
    assert (of(ToClient, effects), len(alone.unflushed)) == ([], 1)
    assert of(ToClient, alone.flush()) == [ToClient(ROUTE, Answer(task_of(3), b"2", None, "n0", 1))]


def test_what_nobody_keeps_waits_for_no_disk(alone: Alone) -> None:
    alone.is_quick = False
    alone.client(Submit(task_of(3), "echo", "", b"1", 1_000, durability=Durability.NONE))
    (given,) = alone.given
    effects = alone.handle(WorkerAnswered(given.worker, given.give, "returned", b"2"))
    assert (len(of(ToClient, effects)), alone.unflushed) == (1, [])


def test_a_task_that_nobody_keeps_waits_for_an_executor_that_is_in_doubt() -> None:
    node = Alone(agents=False)
    node.meet("n1", offers=(Offer("echo", "1", 1, 5_000, 2),))
    node.others.clear()
    now_ms = 0
    while not any(log.condition == "suspect" for log in of(Log, node.effects)):
        now_ms += 50
        node.until(now_ms)
    assert node.client(Submit(task_of(3), "echo", "", b"1", 60_000, durability=Durability.NONE)) == []
    assert node.node.counters()["unfinished"].direct == 1  # type: ignore[attr-defined]
    assert node.client(Cancel(task_of(3))) == []
    assert node.node.counters()["unfinished"].direct == 0  # type: ignore[attr-defined]


def test_many_tasks_of_a_tick_are_one_commit(alone: Alone) -> None:
    alone.is_quick = False
    alone.client(*(Submit(task_of(shard), "echo", "", b"1", 1_000) for shard in range(16)))
    assert len(alone.unflushed) == 1


def test_a_node_whose_journal_has_failed_keeps_nothing_more_and_says_so(alone: Alone) -> None:
    (log,) = of(Log, alone.handle(JournalFailed("bad checksum")))
    assert (log.level, "bad checksum" in log.text) == ("error", True)
    (welcome,) = of(Welcome, alone.client(Hello("client", 4)))
    assert (welcome.owned, len(alone.given)) == ((), 0)
    alone.client(Submit(task_of(3), "echo", "", b"1", 1_000, durability=Durability.NONE))
    assert len(alone.given) == 1, "what nobody keeps can still run"


def test_a_greeting_is_answered_with_what_a_client_needs(alone: Alone) -> None:
    (welcome,) = of(Welcome, alone.client(Hello("client", 4)))
    assert (welcome.request, welcome.mesh, welcome.node, welcome.shards) == (4, MESH, "n0", 16)
    assert welcome.owned == welcome.reachable == tuple(range(16))
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
    counters: Any = alone.node.counters()["reception"]
    assert counters.misplaced + counters.malformed == 1


def test_who_asks_for_an_owner_is_told(alone: Alone) -> None:
    alone.meet("n1")
    (told,) = of(SendWork, alone.peer(Whose(3)))
    assert isinstance(told.message, OwnedBy)
    assert told.message.shard == 3
    assert of(SendWork, alone.peer(told.message)) == []


def sent(effects: list[NodeEffect]) -> list[Message]:
    return [effect.message for effect in of(SendWork, effects)]


def test_a_leaving_node_refuses_clients(alone: Alone) -> None:
    alone.meet("n1")
    alone.handle(LeaveMesh())
    (refused,) = of(Refused, alone.client(Submit(task_of(3), "echo", "", b"1", 1_000)))
    assert (refused.code, refused.task) == ("leaving", task_of(3))


def test_a_leaving_node_owns_its_shards_until_others_do(alone: Alone) -> None:
    alone.meet("n1")
    alone.handle(LeaveMesh())
    place = Place(task_of(4), "echo", "", b"1", 1_000, "n1", receipt=True)
    assert sent(alone.peer(place)) == [Taken(task_of(4))]
    assert sent(alone.peer(place)) == [Taken(task_of(4))]
    assert alone.node.counters()["unfinished"].owner == 1  # type: ignore[attr-defined]


def test_a_drained_node_stays_until_others_have_what_it_keeps(alone: Alone) -> None:
    alone.meet("n1")
    alone.peer(LeavePlease("an operator asked for it", drain=True))
    assert of(Halt, alone.until(20_000)) == []
    alone.peer(LeavePlease("an operator lost patience"))
    assert of(Halt, alone.until(40_000)) == [Halt("")]


def test_a_node_that_owns_nothing_asks_the_replicas_it_would_have(alone: Alone) -> None:
    joiner = Alone(joins=True)
    joiner.until(10)
    joiner.meet("n1")
    (refused,) = of(Refused, joiner.client(Submit(task_of(3), "echo", "", b"1", 1_000)))
    assert (refused.code, refused.task) == ("no_quorum", task_of(3))


def test_tasks_go_to_whoever_says_that_it_owns_their_shard() -> None:
    joiner = Alone(joins=True)
    joiner.until(10)
    for other in ("n1", "n2"):
        joiner.meet(other)
    joiner.peer(Owns(((3, 1),)), sender="n1")
    (welcome,) = of(Welcome, joiner.client(Hello("client", 4)))
    assert (welcome.owned, welcome.reachable) == ((), (3,))
    before = len(joiner.effects)
    joiner.client(Submit(task_of(3), "echo", "", b"1", 60_000))
    joiner.meet("n1", boot=2)
    joiner.peer(Owns(((3, 2),)), sender="n2")
    placed = [
        (effect.to.port, effect.message.task)
        for effect in of(SendWork, joiner.effects[before:])
        if isinstance(effect.message, Place)
    ]
    assert placed == [(20_001, task_of(3)), (20_002, task_of(3))]


def test_a_newcomer_hears_what_this_node_owns(alone: Alone) -> None:
    before = len(alone.effects)
    alone.meet("n1")
    alone.until(20)
    (owns,) = [message for message in sent(alone.effects[before:]) if isinstance(message, Owns)]
    assert [shard for shard, _ in owns.led] == list(range(16))


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
