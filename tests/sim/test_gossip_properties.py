"""What membership promises, over drawn meshes and faults (preset ``local``: a period is 250 ms)."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_gossip import Condition, GossipConfig, JoinRequested, MemberChanged, MetaChanged
from hubless_gossip.codec import Envelope, unpack_packet
from hubless_gossip.member import META_MAX_BYTES
from hubless_sim.addresses import address_of
from hubless_sim.faults import (
    Crash,
    Fault,
    Isolate,
    Loss,
    OneWay,
    Partition,
    Pause,
    Restart,
    Starve,
)
from hubless_sim.gossip.host import GossipHost
from hubless_sim.gossip.run import GossipRun
from hubless_sim.tapes.tape import Conditions, Tape
from hubless_sim.world.hosts import Birth, HostEffect, HostEvent, Send
from hubless_sim.world.network import Layer
from hubless_sim.world.world import World

PERIOD_MS = 250
HEAL_PERIODS = 60
"""Within this many periods after the last fault has ended every view is right again."""
DETECT_PERIODS = 80
"""Within this many periods a crash is known everywhere: the longest suspicion and three rounds of rumours."""

seeds = st.integers(0, 2**32)


def names(count: int) -> list[str]:
    return [f"n{index}" for index in range(count)]


def some(count: int, *, most: int) -> st.SearchStrategy[tuple[str, ...]]:
    """Up to ``most`` of the nodes n0..n<count - 1>, at least one."""
    return st.lists(st.sampled_from(names(count)), min_size=1, max_size=most, unique=True).map(tuple)


def told_dead(run: GossipRun) -> set[tuple[str, str]]:
    """Every (teller, subject) of a death."""
    return {
        (told.node, told.event.member.node)
        for told in run.told
        if isinstance(told.event, MemberChanged) and told.event.member.condition is Condition.DEAD
    }


def alive_at(run: GossipRun, node: str, other: str) -> bool:
    return run.view(node).get(other, Condition.DEAD) in (Condition.ALIVE, Condition.BUSY)


def assert_right_views(run: GossipRun) -> None:
    """Every running node believes the running alive and the others dead."""
    running = run.running()
    wrong = [
        (node, other, run.view(node).get(other))
        for node in running
        for other in run.names()
        if (other in running) != alive_at(run, node, other)
        or (other not in running and run.view(node).get(other, Condition.DEAD) < Condition.DEAD)
    ]
    assert wrong == []


@st.composite
def crashes(draw: st.DrawFn) -> Tape:
    count = draw(st.integers(3, 9))
    victims = draw(some(count, most=count - 2))
    silent = draw(st.booleans())
    return Tape(
        seed=draw(seeds),
        nodes=count,
        duration_ms=5000 + DETECT_PERIODS * PERIOD_MS,
        links=Conditions(loss=draw(st.sampled_from([0.0, 0.01, 0.05]))),
        faults=tuple(
            Crash(at_ms=draw(st.integers(3000, 5000)), nodes=(victim,), silent=silent) for victim in victims
        ),
    )


@given(crashes())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_every_crash_becomes_known_at_every_live_node(tape: Tape) -> None:
    run = GossipRun(tape)
    run.advance_to_ms(tape.duration_ms)
    assert_right_views(run)


@st.composite
def passing_fault(draw: st.DrawFn, count: int) -> Fault:
    at_ms = draw(st.integers(2000, 12_000))
    until_ms = draw(st.integers(at_ms + 100, 15_000))
    nodes = draw(some(count, most=max(1, count // 2)))
    match draw(st.sampled_from(["pause", "starve", "isolate", "partition", "one_way", "loss"])):
        case "pause":
            return Pause(at_ms=at_ms, until_ms=until_ms, nodes=nodes)
        case "starve":
            blocks = draw(st.sampled_from(["all", "messages"]))
            return Starve(
                at_ms=at_ms, until_ms=until_ms, nodes=nodes, blocks=blocks, links_alive=draw(st.booleans())
            )
        case "isolate":
            return Isolate(at_ms=at_ms, until_ms=until_ms, nodes=nodes)
        case "partition":
            return Partition(at_ms=at_ms, until_ms=until_ms, sides=(nodes, ()))
        case "one_way":
            return OneWay(at_ms=at_ms, until_ms=until_ms, sources=nodes)
        case _:
            return Loss(at_ms=at_ms, until_ms=until_ms, rate=draw(st.floats(0.05, 0.9)))


@st.composite
def passing_faults(draw: st.DrawFn) -> Tape:
    count = draw(st.integers(2, 9))
    return Tape(
        seed=draw(seeds),
        nodes=count,
        duration_ms=15_000 + HEAL_PERIODS * PERIOD_MS,
        links=Conditions(
            loss=draw(st.sampled_from([0.0, 0.02])), duplicate=draw(st.sampled_from([0.0, 0.1]))
        ),
        faults=tuple(draw(st.lists(passing_fault(count), min_size=1, max_size=4))),
    )


@given(passing_faults())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_false_accusation_is_refuted_after_healing(tape: Tape) -> None:
    run = GossipRun(tape)
    run.advance_to_ms(tape.duration_ms)
    assert_right_views(run)


@given(
    seed=seeds,
    count=st.integers(2, 6),
    restarts=st.lists(st.integers(1500, 6000), min_size=1, max_size=4, unique=True),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_incarnations_never_fall_across_restarts(seed: int, count: int, restarts: list[int]) -> None:
    # Isolation in between makes the others accuse n1, so that it has incarnations to remember.
    faults: list[Fault] = [Restart(at_ms=at_ms, nodes=("n1",)) for at_ms in sorted(restarts)]
    faults.append(Isolate(at_ms=1000, until_ms=1400, nodes=("n1",)))
    run = GossipRun(Tape(seed=seed, nodes=count, duration_ms=9000, faults=tuple(faults)))
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    for at_ms in range(0, 9000, 50):
        run.advance_to_ms(at_ms)
        for node in run.running():
            for member in run.core(node).members():
                claim = (member.boot, member.incarnation)
                pair = (node, member.node)
                if node != "n1" or member.node == "n1":
                    assert claim >= seen.get(pair, (0, 0))
                    assert member.incarnation >= seen.get(pair, (0, 0))[1]
                    seen[pair] = claim
    assert run.core("n0").member("n1") is not None


@given(
    seed=seeds,
    count=st.integers(2, 9),
    data=st.data(),
    turns=st.sampled_from([(0, 0), (3000, 200), (700, 100), (9000, 50)]),
    loss=st.sampled_from([0.0, 0.03]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_busy_node_is_never_dead_while_its_links_live(
    seed: int, count: int, data: st.DataObject, turns: tuple[int, int], loss: float
) -> None:
    starved = data.draw(some(count, most=max(1, count // 2)))
    run = GossipRun(
        Tape(
            seed=seed,
            nodes=count,
            duration_ms=25_000,
            links=Conditions(loss=loss),
            faults=(Starve(at_ms=3000, nodes=starved, blocked_ms=turns[0], awake_ms=turns[1]),),
        )
    )
    run.advance_to_ms(25_000)
    assert told_dead(run) == set()


@given(seed=seeds, count=st.integers(6, 12), data=st.data())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_one_way_cuts_remove_nobody(seed: int, count: int, data: st.DataObject) -> None:
    pairs = [(source, target) for source in names(count) for target in names(count) if source != target]
    cuts = data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=count // 2, unique=True))
    faults = tuple(OneWay(at_ms=3000, sources=(source,), targets=(target,)) for source, target in cuts)
    run = GossipRun(Tape(seed=seed, nodes=count, duration_ms=25_000, faults=faults))
    run.advance_to_ms(25_000)
    assert told_dead(run) == set()


@given(seed=seeds, down_ms=st.integers(3000, 9000))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_flapping_costs_few_events(seed: int, down_ms: int) -> None:
    end_ms = 180_000
    flaps = tuple(
        Isolate(at_ms=at_ms, until_ms=at_ms + down_ms, nodes=("n1",))
        for at_ms in range(5000, end_ms - down_ms, 2 * down_ms)
    )
    run = GossipRun(Tape(seed=seed, nodes=4, duration_ms=end_ms, faults=flaps))
    run.advance_to_ms(end_ms)
    budget = run.config.flap_budget + math.ceil(math.log2(end_ms / run.config.settle_ms)) + 1
    for name in ("n0", "n2", "n3"):
        events = [
            told
            for told in run.told
            if told.node == name and isinstance(told.event, MemberChanged) and told.event.member.node == "n1"
        ]
        assert len(events) <= budget


class Measured(GossipHost):
    """A host that notes the size of every packet it sends and which kinds of messages are in it."""

    sizes: list[tuple[int, frozenset[str]]]

    def __init__(self, birth: Birth) -> None:
        super().__init__(birth, mesh=b"measured", config=GossipConfig.local())
        self.sizes = []
        self.core.handle(birth.now_ns, MetaChanged((birth.name * META_MAX_BYTES).encode()[:META_MAX_BYTES]))

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        effects = super().handle(now_ns, event)
        for effect in effects:
            if isinstance(effect, Send):
                envelope = unpack_packet(effect.packet, b"measured")
                assert isinstance(envelope, Envelope)
                assert (envelope.unknown, envelope.malformed) == (0, 0)
                kinds = frozenset(type(message).__name__ for message in envelope.messages)
                self.sizes.append((len(effect.packet), kinds))
        return effects


@given(seed=seeds, count=st.integers(2, 60))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_packets_fit_even_with_the_largest_metadata(seed: int, count: int) -> None:
    world = World(nodes=count, seed=seed, make=Measured, base=Layer(base_ns=250_000, loss=0.05))
    for index in range(count):
        world.start(index)
        world.command(index, JoinRequested((address_of(0),)))
    world.run_until(3_000_000_000)
    world.crash(count - 1)
    world.run_until(6_000_000_000)
    bulk = {"JoinAnswer", "Entries", "Summaries", "Buckets", "Digest"}
    sizes = [entry for index in range(count - 1) for entry in world.host(index).sizes]
    assert max(size for size, kinds in sizes if not kinds & bulk) <= 1400
    assert max(size for size, _ in sizes) <= 64 * 1024
    # A rumour may run out before it has reached everybody: who is probed by a stranger then compares views with it.
    for second in range(7, 31):
        if all(len(world.host(index).core.members()) == count for index in range(count - 1)):
            return
        world.run_until(second * 1_000_000_000)
    raise AssertionError("somebody does not know everybody after a round of probes")
