"""Each kind of fault leaves a sign that nothing else leaves: not a run without it, and not one with any other kind."""

import functools
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from hubless.shard.records import Entries
from hubless.wire import Assign, Ended
from hubless.wire.replication import Entry, Vote
from hubless_gossip import Address
from hubless_gossip import messages as gossip
from hubless_gossip.claims import Statement
from hubless_gossip.codec import pack_statement, unpack_statement
from hubless_sim import faults as of
from hubless_sim.faults import FAULT_KINDS, LIE_KINDS, MESH_KINDS, WORK_KINDS, Fault, Restart
from hubless_sim.mesh.run import MeshRun
from hubless_sim.packets import GOSSIP, WORK, Opened, closed, opened
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script, Signed, answer_of
from hubless_sim.tapes.systems import MeshSystem, Offering, ReplicaKnobs
from hubless_sim.tapes.tape import Start, Tape
from hubless_sim.world.disk import DiskProfile
from hubless_sim.world.hosts import (
    Delivered,
    LinkDown,
    LinkRefused,
    Send,
    Watch,
    Write,
    WriteRefused,
    Written,
)
from hubless_sim.world.links import LinkProfile
from hubless_sim.world.network import Layer
from hubless_sim.world.toys import Echo
from hubless_sim.world.world import World

MS = 1_000_000
NODES = 4
TASK = bytes(16)

# -- machines, networks, disks, and what packets say: four nodes that ping each other, and n1 writes ---------


class Seen:
    """What a recorder hears of a world, in lists."""

    def __init__(self) -> None:
        self.sends: dict[int, tuple[int, int, int]] = {}
        self.trips: list[tuple[int, int, int, int]] = []
        """Source, target, and when it left and arrived, in ms."""
        self.doubled = self.garbled = 0
        self.drops: list[tuple[int, int, int, str]] = []
        self.births: list[tuple[int, int]] = []
        self.ends: list[tuple[int, int]] = []
        self.conditions: set[tuple[int, str]] = set()
        self.events: list[tuple[int, int, Any]] = []

    def sent(
        self, now_ns: int, source: int, target: int, packet: bytes, *, arriving: bytes, copies: int
    ) -> Sequence[int]:
        numbers = range(len(self.sends), len(self.sends) + copies)
        self.sends.update(dict.fromkeys(numbers, (now_ns, source, target)))
        self.doubled += copies > 1
        self.garbled += arriving != packet
        return numbers

    def dropped(self, now_ns: int, source: int, target: int, packet: bytes, why: str) -> None:
        self.drops.append((now_ns // MS, source, target, why))

    def arrived(self, now_ns: int, copy: int, event: Delivered, why: str | None) -> None:
        left_ns, source, target = self.sends[copy]
        if why is None:
            self.trips.append((source, target, left_ns // MS, now_ns // MS))

    def handles(self, now_ns: int, node: int, event: Any) -> None:
        self.events.append((now_ns // MS, node, event))

    def born(self, now_ns: int, node: int, boot: int) -> None:
        self.births.append((now_ns // MS, node))

    def gone(self, now_ns: int, node: int, boot: int) -> None:
        self.ends.append((now_ns // MS, node))

    def fares(self, now_ns: int, node: int, condition: str) -> None:
        self.conditions.add((node, condition))

    def noted(self, *_: object) -> None: ...
    def wrote(self, *_: object) -> None: ...
    def imposed(self, *_: object) -> None: ...
    def lifted(self, *_: object) -> None: ...

    def cut(self) -> set[tuple[int, int]]:
        return {(source, target) for _, source, target, why in self.drops if why == "cut"}

    def lost(self, why: str) -> int:
        return sum(each[3] == why for each in self.drops)

    def times(self, node: int, kind: type) -> list[int]:
        return [at_ms for at_ms, who, event in self.events if who == node and isinstance(event, kind)]

    def refused(self, *, full: bool) -> bool:
        return any(isinstance(event, WriteRefused) and event.full is full for _, _, event in self.events)


def frame(*messages: Any) -> bytes:
    return closed(Opened(WORK, True, bytes(8), "n1", 1, []), messages)


def rumour() -> bytes:
    said = Statement("n2", 1, 3, Address("10.0.0.2", 10_002), b"")
    return closed(Opened(GOSSIP, False, bytes(8), "n1", 1, []), [gossip.Says(pack_statement(said))])


ENDED = Ended(TASK, 1, b'{"n":1}', None)
ASSIGN = Assign(TASK, 1, "square", b"1", 100)


class Toys:
    """A world of toys after 800 ms, in which n1 starts anew at 700 ms; the fault has its time from 100 to 400 ms."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.seen = Seen()
        make = functools.partial(Echo, nodes=NODES, interval_ns=10 * MS)
        self.world = world = World(
            nodes=NODES,
            seed=1,
            make=make,
            base=Layer(base_ns=MS),
            links=LinkProfile(),
            disk=DiskProfile(MS, 0),
            recorder=self.seen,
        )
        for index in range(NODES):
            world.start(index)
        for fault in (*faults, Restart(at_ms=700, nodes=("n1",))):
            fault.impose(world)
        world.command(0, Watch((1, 2, 3)))
        for number, at_ms in enumerate([*range(50, 600, 20), 699.5]):
            records = (Entries(number, (Entry(1, 1, 1, b"x" * 50), Entry(2, 1, 1, b"x" * 50))),)
            self._order(1, at_ms, Write(number, records))
        for packet in (rumour(), frame(ENDED, ASSIGN), frame(Vote(0, 3, False))):
            self._order(1, 150, Send(0, packet))
        world.run_until(800 * MS)

    def _order(self, node: int, at_ms: float, order: Any) -> None:
        self.world.at(int(at_ms * MS), lambda: self.world.command(node, order))

    def heard(self) -> Iterator[Any]:
        """What n0 was told by n1, besides pings and echoes, and when."""
        for at_ms, node, event in self.seen.events:
            read = opened(event.packet) if node == 0 and isinstance(event, Delivered) else None
            yield from ((at_ms, message) for message in (read.messages if read else ()))

    def hears(self, message: Any) -> bool:
        return any(each == message for _, each in self.heard())

    def found(self) -> Any:
        """What the last process of n1 found on its disk."""
        return self.world.host(1).birth.recovered


def _claims(toys: Toys) -> Iterator[Any]:
    for _, message in toys.heard():
        if isinstance(message, gossip.Says):
            yield unpack_statement(message.blob)


def _gaps(times: list[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(times)]


def _late_write(toys: Toys, *, least: int, most: int) -> bool:
    """Whether a commit took so long, of a process that ran all the while."""
    was_well = not toys.seen.conditions & {(1, "blocked"), (1, "slow")}
    return was_well and any(
        least <= gap < most for gap in _gaps([at for at in toys.seen.times(1, Written) if at < 620])
    )


_DURING = {"at_ms": 100, "until_ms": 400}
_N1 = _DURING | {"nodes": ("n1",)}
_TO_N0 = _DURING | {"sources": ("n1",), "targets": ("n0",)}
_EACH = {(source, target) for source in range(NODES) for target in range(NODES) if source != target}
_ACROSS = {pair for pair in _EACH if (pair[0] < 2) != (pair[1] < 2)}

Sign = Callable[[Any], bool]

TOYS: dict[str, tuple[Fault, Sign]] = {
    "crash": (
        of.Crash(at_ms=100, nodes=("n1",)),
        lambda toys: (
            (100, 1) in toys.seen.ends
            and (700, 1) in toys.seen.births
            and LinkRefused(1, 1) in [event for _, _, event in toys.seen.events]
        ),
    ),
    "power_cut": (
        of.PowerCut(**_DURING, nodes=("n1", "n2")),
        lambda toys: (
            {(100, 1), (100, 2)} <= {*toys.seen.ends} and {(400, 1), (400, 2)} <= {*toys.seen.births}
        ),
    ),
    "restart": (Restart(at_ms=100, nodes=("n1",)), lambda toys: (100, 1) in toys.seen.births),
    "pause": (
        of.Pause(**_N1),
        lambda toys: (
            (1, "blocked") in toys.seen.conditions
            and any(100 < at_ms < 690 for at_ms in toys.seen.times(0, LinkDown))
        ),
    ),
    "starve": (
        of.Starve(**_N1),
        lambda toys: (
            (1, "blocked") in toys.seen.conditions
            and not any(100 < at_ms < 690 for at_ms in toys.seen.times(0, LinkDown))
        ),
    ),
    "slow_node": (of.SlowNode(**_N1, factor=50), lambda toys: (1, "slow") in toys.seen.conditions),
    "clock_drift": (
        of.ClockDrift(**_N1, ppm=100_000),
        lambda toys: toys.world.clock(1).local_ns(toys.world.now_ns) != toys.world.now_ns,
    ),
    "clock_jump": (
        of.ClockJump(at_ms=100, nodes=("n1",), by_ms=-5_000),
        lambda toys: toys.world.host(1).birth.wall_ns < toys.world.host(0).birth.wall_ns,
    ),
    "partition": (
        of.Partition(**_DURING, sides=(("n0", "n1"), ())),
        lambda toys: toys.seen.cut() == _ACROSS,
    ),
    "one_way": (of.OneWay(**_TO_N0), lambda toys: toys.seen.cut() == {(1, 0)}),
    "isolate": (
        of.Isolate(**_DURING, nodes=("n0", "n1")),
        lambda toys: toys.seen.cut() == _EACH - {(2, 3), (3, 2)},
    ),
    "ring_partition": (
        of.RingPartition(**_DURING, nodes=("n0", "n1", "n2", "n3")),
        lambda toys: toys.seen.cut() == {(0, 2), (2, 0), (1, 3), (3, 1)},
    ),
    "flapping": (
        of.Flapping(**_DURING, sides=(("n0",), ("n1",)), down_ms=60, up_ms=60),
        lambda toys: (
            toys.seen.cut() == {(0, 1), (1, 0)}
            and any(gap >= 60 for gap in _gaps([drop[0] for drop in toys.seen.drops]))
        ),
    ),
    "loss": (of.Loss(**_TO_N0, rate=0.5), lambda toys: toys.seen.lost("lost") > 0),
    "duplicate": (of.Duplicate(**_TO_N0, rate=0.5), lambda toys: toys.seen.doubled > 0),
    "corrupt": (of.Corrupt(**_TO_N0, rate=0.5), lambda toys: toys.seen.garbled > 0),
    "latency": (
        of.Latency(**_TO_N0, base_us=30_000, jitter_us=20_000),
        lambda toys: (
            any(arrived - left >= 30 for _, _, left, arrived in toys.seen.trips)
            and toys.seen.lost("line full") == 0
        ),
    ),
    "bandwidth": (of.Bandwidth(**_TO_N0, bytes_per_s=100), lambda toys: toys.seen.lost("line full") > 0),
    "size_limit": (
        of.SizeLimit(**_TO_N0, most_bytes=20),
        lambda toys: (
            {drop[1:] for drop in toys.seen.drops if drop[3] == "too large"} == {(1, 0, "too large")}
        ),
    ),
    "slow_disk": (of.SlowDisk(**_N1, base_us=50_000), lambda toys: _late_write(toys, least=45, most=60)),
    "stalled_disk": (of.StalledDisk(**_N1), lambda toys: _late_write(toys, least=250, most=320)),
    "full_disk": (of.FullDisk(**_N1), lambda toys: toys.seen.refused(full=True)),
    "failed_flush": (of.FailedFlush(**_N1), lambda toys: toys.seen.refused(full=False)),
    "torn_write": (
        of.TornWrite(at_ms=100, nodes=("n1",)),
        lambda toys: any("torn" in each.damage for each in toys.found()),
    ),
    "bit_rot": (
        of.BitRot(at_ms=650, nodes=("n1",)),
        lambda toys: any(each.damage and "torn" not in each.damage for each in toys.found()),
    ),
    "stale_orders": (
        of.StaleOrders(**_N1, late_ms=100),
        lambda toys: (250, ASSIGN) in toys.heard() and (151, ENDED) in toys.heard(),
    ),
    "forged_incarnations": (
        of.ForgedIncarnations(**_N1, victims=("n2",), by=5),
        lambda toys: any(claim.standing.incarnation == 8 for claim in _claims(toys)),
    ),
    "forged_accusations": (
        of.ForgedAccusations(**_N1, victims=("n2",)),
        lambda toys: any(isinstance(message, gossip.Accuses) for _, message in toys.heard()),
    ),
    "forged_results": (
        of.ForgedResults(**_N1),
        lambda toys: toys.hears(msgspec.structs.replace(ENDED, payload=b'{"n":2}')),
    ),
    "forged_votes": (of.ForgedVotes(**_N1), lambda toys: toys.hears(Vote(0, 3, True))),
}

# -- agents and what they lean on: two agents on n1, and calls that others take and own ----------------------

_WORK = {"at_ms": 1_000, "until_ms": 6_000, "nodes": ("n1",)}


def mesh_run(faults: Sequence[Fault]) -> MeshRun:
    """The run of a tape with one attempt for each call; n3 starts anew when it begins."""
    agents = tuple(
        Offering(name=name, nodes=("n1",), retries=0, deadline_ms=1_000, memory_mb=64, store=name == "clerk")
        for name in ("square", "clerk")
    )
    calls = [
        Call(
            at_ms=2_500 + 150 * number,
            agent=("square", "clerk")[number % 2],
            script=Script(number, ms=60),
            gateway="n2",
        )
        for number in range(6)
    ]
    tape = Tape(
        seed=1,
        nodes=NODES,
        clients=1,
        duration_ms=6_000,
        start=Start(join=()),
        system=MeshSystem(agents=agents, shards=2, workers=1, replicas=ReplicaKnobs(), max_kills=100),
        operations=tuple(calls),
        faults=(*faults, Restart(at_ms=1_500, nodes=("n3",))),
    )
    run = MeshRun(tape)
    run.finish()
    return run


def _codes(run: MeshRun, agent: str) -> set[str]:
    """How the calls of an agent have ended."""
    return {answer.code for _, answer in run.answers.values() if run.calls[answer.call].agent == agent}


def _runs_ms(run: MeshRun) -> list[float]:
    """From the start of each attempt that succeeded to its answer."""
    return [
        (at_ns - run.starts[answer.task][0].at_ns) / MS
        for at_ns, answer in run.answers.values()
        if not answer.code
    ]


def _wrong(run: MeshRun) -> bool:
    replies = [
        msgspec.json.decode(each.payload, type=Signed) for _, each in run.answers.values() if not each.code
    ]
    return any(reply.out != answer_of(reply.n) for reply in replies)


def _store_ms(run: MeshRun) -> list[float]:
    begun = {each.task: each.at_ns for each in run.store.accesses if each.what == "read"}
    return [(each.at_ns - begun[each.task]) / MS for each in run.store.accesses if each.what == "written"]


MESHES: dict[str, tuple[Fault, Sign]] = {
    "agent_slow": (
        of.AgentSlow(**_WORK, factor=5, agents=("square",)),
        lambda run: any(300 <= each < 400 for each in _runs_ms(run)),
    ),
    "agent_hangs": (
        of.AgentHangs(**_WORK, agents=("square",)),
        lambda run: "deadline" in _codes(run, "square"),
    ),
    "agent_answers": (of.AgentAnswers(**_WORK, does="wrong"), _wrong),
    "agent_leaks": (of.AgentLeaks(**_WORK, mb=100), lambda run: "out_of_memory" in _codes(run, "square")),
    "store_severed": (
        of.StoreSevered(**_WORK),
        lambda run: _codes(run, "clerk") == {"raised"} and not run.store.accesses,
    ),
    "store_slow": (
        of.StoreSlow(**_WORK, base_us=100_000),
        lambda run: any(160 <= each < 200 for each in _store_ms(run)),
    ),
    "store_token": (
        of.StoreToken(**_WORK, does="replayed"),
        lambda run: {each.what for each in run.store.accesses} == {"read", "refused"},
    ),
    "misconfigured": (
        of.Misconfigured(**_WORK | {"nodes": ("n3",)}, does="mesh"),
        lambda run: run.halted == {"n3": "the journal is of another mesh"},
    ),
}

SIGNS = {kind: sign for kind, (_, sign) in (*TOYS.items(), *MESHES.items())}


@functools.cache
def toys_with(kind: str) -> Toys:
    return Toys([TOYS[kind][0]] if kind else [])


@functools.cache
def mesh_with(kind: str) -> MeshRun:
    return mesh_run([MESHES[kind][0]] if kind else [])


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_only_the_fault_leaves_its_sign(kind: str) -> None:
    """A kind that is new needs a sign here: add one to TOYS or MESHES."""
    ran, kinds = (toys_with, TOYS) if kind in TOYS else (mesh_with, MESHES)
    leave_it = [other for other in ("", *kinds) if SIGNS[kind](ran(other))]
    assert leave_it == [kind]


def test_every_kind_is_of_one_sort() -> None:
    assert sorted(FAULT_KINDS) == sorted({*MESH_KINDS, *WORK_KINDS, *LIE_KINDS}) == sorted(SIGNS)


def test_packets_overtake_each_other_where_latency_varies() -> None:
    """Reordering is no kind of its own: it is what an uneven latency does."""
    for kind, reorders in (("", False), ("latency", True)):
        trips = [trip for trip in toys_with(kind).seen.trips if trip[:2] == (1, 0)]
        assert any(later < earlier for earlier, later in _pairs(trips)) is reorders


def _pairs(trips: list[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    """The arrivals of two packets, the first of which was sent before the second."""
    by_departure = sorted(trips, key=lambda trip: trip[2])
    return [(first[3], second[3]) for first, second in pairwise(by_departure) if first[2] < second[2]]


def arrivals_ns(*faults: Fault) -> list[int]:
    """When packets of n1 arrive at n0 on a link whose latency varies, after an order that may come late."""
    world = World(nodes=2, seed=1, make=Echo, base=Layer(base_ns=MS, jitter_ns=5 * MS))
    for index in range(2):
        world.start(index)
    for fault in faults:
        fault.impose(world)
    world.run_until(100 * MS)
    for packet in (frame(ASSIGN), *(b"%d" % number for number in range(20))):
        world.command(1, Send(0, packet))
    world.run_until(1_000 * MS)
    return [at_ns for at_ns, event in world.host(0).seen if event != Delivered(frame(ASSIGN), 1)]


def test_an_order_that_is_held_back_leaves_what_follows_on_its_link_as_it_was() -> None:
    late = of.StaleOrders(at_ms=50, until_ms=500, nodes=("n1",), late_ms=200)
    assert arrivals_ns(late) == arrivals_ns()


def test_a_clock_that_is_wrong_from_the_beginning_is_a_jump_at_0() -> None:
    offset = Toys([of.ClockJump(at_ms=0, nodes=("n1",), by_ms=250)]).world
    assert offset.clock(1).wall_ns(offset.now_ns) - offset.clock(0).wall_ns(offset.now_ns) == 250 * MS
