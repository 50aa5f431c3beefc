"""Each fault kind has an effect that only it explains, and its end undoes it."""

import functools
import itertools

import pytest

from hubless_sim.faults import (
    Bandwidth,
    ClockDrift,
    ClockJump,
    Corrupt,
    Crash,
    Duplicate,
    Fault,
    Flapping,
    Isolate,
    Latency,
    Loss,
    OneWay,
    Partition,
    Pause,
    Restart,
    RingPartition,
    SizeLimit,
    SlowNode,
    Starve,
)
from hubless_sim.world.clock import WALL_START_NS
from hubless_sim.world.hosts import Delivered, Due, LinkDown, LinkUp, Send, Watch, Write, Written
from hubless_sim.world.links import LinkProfile
from hubless_sim.world.network import Layer
from hubless_sim.world.toys import Echo
from hubless_sim.world.world import World

MS = 1_000_000
NODES = 4


def world_with(*faults: Fault) -> World:
    """Four nodes that ping each other all the time, 1 ms apart; node 0 watches all others."""
    make = functools.partial(Echo, nodes=NODES, interval_ns=10 * MS)
    world = World(nodes=NODES, seed=1, make=make, base=Layer(base_ns=MS), links=LinkProfile())
    for index in range(NODES):
        world.start(index)
    world.command(0, Watch((1, 2, 3)))
    for fault in faults:
        fault.impose(world)
    return world


def gets_through(world: World, source: int, target: int) -> bool:
    """Whether a packet sent now arrives within 5 ms."""
    mark = b"mark:%d:%d:%d" % (source, target, world.now_ns)
    world.command(source, Send(target, mark))
    world.run_until(world.now_ns + 5 * MS)
    host = world.host(target)
    return host is not None and mark in host.packets()


def reach(world: World) -> set[tuple[int, int]]:
    """Every pair (source, target) that a packet gets through between."""
    pairs = [(source, target) for source in range(NODES) for target in range(NODES) if source != target]
    return {pair for pair in pairs if gets_through(world, *pair)}


EVERYBODY = {(source, target) for source in range(NODES) for target in range(NODES) if source != target}


def test_crash_drops_the_process_at_its_time() -> None:
    world = world_with(Crash(at_ms=100, nodes=("n1", "n2")))
    world.run_until(99 * MS)
    assert world.host(1) is not None
    world.run_until(100 * MS)
    assert world.host(1) is None
    assert world.host(2) is None
    world.run_until(200 * MS)
    assert world.host(0).kinds([LinkDown]) == ["LinkDown"] * 2


def test_a_silent_crash_sends_no_reset() -> None:
    world = world_with(Crash(at_ms=100, nodes=("n1",), silent=True))
    world.run_until(200 * MS)
    assert world.host(0).kinds([LinkDown]) == []


def test_restart_brings_a_crashed_node_back_and_replaces_a_running_one() -> None:
    world = world_with(Crash(at_ms=100, nodes=("n1",)), Restart(at_ms=200, nodes=("n1", "n2")))
    world.run_until(300 * MS)
    assert (world.boot(1), world.boot(2), world.boot(3)) == (2, 2, 1)
    assert reach(world) == EVERYBODY


def test_pause_stops_everything_and_the_heartbeats() -> None:
    world = world_with(Pause(at_ms=100, until_ms=500, nodes=("n1",)))
    world.run_until(499 * MS)
    assert max(world.host(1).times(Due)) <= 100 * MS
    assert world.host(0).kinds([LinkDown]) == ["LinkDown"]
    world.run_until(500 * MS)
    assert world.host(1).times(Delivered)[-1] == 500 * MS
    world.run_until(700 * MS)
    assert world.host(0).times(LinkUp)[-1] > 500 * MS


def test_starve_stops_the_process_and_not_its_links() -> None:
    world = world_with(Starve(at_ms=100, until_ms=500, nodes=("n1",)))
    world.run_until(499 * MS)
    assert max(at for at, _ in world.host(1).seen) <= 100 * MS
    assert world.host(0).kinds([LinkDown]) == []
    world.run_until(600 * MS)
    assert max(at for at, _ in world.host(1).seen) > 590 * MS


def test_starve_can_take_the_links_along_or_leave_the_timers() -> None:
    world = world_with(Starve(at_ms=100, nodes=("n1",), links_alive=False))
    world.run_until(500 * MS)
    assert world.host(0).kinds([LinkDown]) == ["LinkDown"]
    world = world_with(Starve(at_ms=100, nodes=("n1",), blocks="messages"))
    world.run_until(500 * MS)
    assert max(world.host(1).times(Due)) == 500 * MS
    assert max(world.host(1).times(Delivered)) < 100 * MS


def test_starve_in_turns_is_blocked_and_awake_by_the_clock() -> None:
    world = world_with(Starve(at_ms=100, until_ms=1000, nodes=("n1",), blocked_ms=80, awake_ms=20))
    world.run_until(2000 * MS)
    handled = [at // MS for at, _ in world.host(1).seen]
    during = sorted({at % 100 for at in handled if 100 <= at < 1000})
    assert [at for at in during if 0 < at < 80] == []
    assert [at for at in during if at > 80]
    assert [at for at in handled if at > 1000 and 0 < at % 100 < 80]


def test_partition_parts_the_sides_in_both_directions() -> None:
    world = world_with(Partition(at_ms=100, until_ms=500, sides=(("n0", "n1"), ())))
    world.run_until(100 * MS)
    assert reach(world) == {(0, 1), (1, 0), (2, 3), (3, 2)}
    world.run_until(500 * MS)
    assert reach(world) == EVERYBODY


def test_a_partition_between_named_sides_leaves_the_bridge() -> None:
    world = world_with(Partition(at_ms=100, sides=(("n0",), ("n1", "n2"))))
    world.run_until(100 * MS)
    assert EVERYBODY - reach(world) == {(0, 1), (1, 0), (0, 2), (2, 0)}


def test_one_way_leaves_the_way_back() -> None:
    world = world_with(OneWay(at_ms=100, until_ms=500, sources=("n0",), targets=("n1",)))
    world.run_until(100 * MS)
    assert EVERYBODY - reach(world) == {(0, 1)}
    world.run_until(500 * MS)
    assert reach(world) == EVERYBODY


def test_isolate_cuts_each_off_from_everybody() -> None:
    world = world_with(Isolate(at_ms=100, until_ms=500, nodes=("n0", "n1")))
    world.run_until(100 * MS)
    assert reach(world) == {(2, 3), (3, 2)}
    world.run_until(500 * MS)
    assert reach(world) == EVERYBODY


@pytest.mark.parametrize(("rate", "least", "most"), [(0.5, 150, 250), (1.0, 400, 400)])
def test_loss_takes_its_share_of_the_chosen_links(rate: float, least: int, most: int) -> None:
    world = world_with(Loss(at_ms=100, until_ms=500, rate=rate, sources=("n0",), targets=("n1",)))
    world.run_until(100 * MS)
    before = world.traffic(0).lost
    for _ in range(400):
        world.command(0, Send(1, b"x"))
        world.command(0, Send(2, b"x"))
        world.command(1, Send(0, b"x"))
    assert least <= world.traffic(0).lost - before <= most
    assert world.traffic(1).lost == 0
    world.run_until(500 * MS)
    assert reach(world) == EVERYBODY


def test_duplicate_makes_packets_arrive_twice() -> None:
    world = world_with(Duplicate(at_ms=100, until_ms=500, rate=1.0, sources=("n0",)))
    world.run_until(100 * MS)
    world.command(0, Send(1, b"twice"))
    world.command(1, Send(0, b"once"))
    world.run_until(500 * MS)
    world.command(0, Send(1, b"late"))
    world.run_until(600 * MS)
    assert [world.host(1).packets().count(packet) for packet in (b"twice", b"late")] == [2, 1]
    assert world.host(0).packets().count(b"once") == 1


def test_latency_is_added_and_taken_away_again() -> None:
    def trip_ms(world: World) -> int:
        world.host(1).seen.clear()
        start = world.now_ns
        world.command(0, Send(1, b"slow?"))
        world.run_until(start + 60 * MS)
        (arrived,) = (at for at, event in world.host(1).seen if event == Delivered(b"slow?", 0))
        return int((arrived - start) // MS)

    world = world_with(Latency(at_ms=100, until_ms=500, base_us=30_000, targets=("n1",)))
    world.run_until(100 * MS)
    assert trip_ms(world) == 31
    world.run_until(500 * MS)
    assert trip_ms(world) == 1


def test_a_ring_partition_shows_each_node_another_majority() -> None:
    names = ("n0", "n1", "n2", "n3", "n4")
    world = World(nodes=5, seed=1, make=Echo, base=Layer(base_ns=MS))
    for index in range(5):
        world.start(index)
    RingPartition(at_ms=100, until_ms=500, nodes=names).impose(world)
    world.run_until(100 * MS)
    seen = [{target for target in range(5) if world.network.reaches(source, target)} for source in range(5)]
    assert seen == [{(source + step) % 5 for step in (-1, 0, 1)} for source in range(5)]
    world.run_until(500 * MS)
    assert all(world.network.reaches(source, target) for source in range(5) for target in range(5))


def test_a_flapping_link_is_down_and_up_in_turns_until_it_is_whole() -> None:
    world = world_with(Flapping(at_ms=100, until_ms=450, sides=(("n0",), ("n1",)), down_ms=100, up_ms=50))
    whole = []
    for at_ms in range(90, 500, 10):
        world.run_until(at_ms * MS + 1)
        whole.append(world.network.reaches(0, 1) and world.network.reaches(1, 0))
        assert world.network.reaches(0, 2)
    down = [at_ms for at_ms, is_whole in zip(range(90, 500, 10), whole, strict=True) if not is_whole]
    assert down == [*range(100, 200, 10), *range(250, 350, 10), *range(400, 450, 10)]


def test_corrupt_packets_arrive_with_other_bytes_or_cut_short() -> None:
    world = world_with(Corrupt(at_ms=100, until_ms=500, rate=0.5, sources=("n0",), targets=("n1",)))
    world.run_until(100 * MS)
    sent = bytes(range(200, 240))
    world.host(1).seen.clear()
    for _ in range(200):
        world.command(0, Send(1, sent))
        world.command(0, Send(2, sent))
    world.run_until(110 * MS)
    arrived = [packet for packet in world.host(1).packets() if not packet.startswith((b"ping", b"echo"))]
    spoilt = [packet for packet in arrived if packet != sent]
    assert len(arrived) == 200
    assert 70 < len(spoilt) < 130
    assert 0 < sum(len(packet) < len(sent) for packet in spoilt) < len(spoilt)
    assert world.host(2).packets().count(sent) == 200
    assert world.traffic(0).corrupted >= len(spoilt)


def test_bandwidth_makes_packets_wait_for_each_other_and_drops_what_would_wait_too_long() -> None:
    world = world_with(Bandwidth(at_ms=100, until_ms=5_000, bytes_per_s=10_000, targets=("n1",)))
    world.run_until(105 * MS)
    world.host(1).seen.clear()
    packet = b"x" * 1000
    for _ in range(15):
        world.command(2, Send(1, packet))
        world.command(2, Send(3, packet))
    world.run_until(1_500 * MS)
    arrived = [at_ns // MS for at_ns, event in world.host(1).seen if event == Delivered(packet, 2)]
    assert len(arrived) in (9, 10)
    assert arrived == sorted(arrived)
    assert [later - earlier for earlier, later in itertools.pairwise(arrived)].count(100) > 5
    assert world.host(3).packets().count(packet) == 15
    world.run_until(5_000 * MS)
    assert gets_through(world, 2, 1)


def test_a_size_limit_drops_what_is_larger_and_nothing_else() -> None:
    world = world_with(SizeLimit(at_ms=100, until_ms=500, most_bytes=1_000, targets=("n1",)))
    world.run_until(105 * MS)
    fits, too_large = b"x" * 1_000, b"x" * 1_001
    for target in (1, 3):
        world.command(2, Send(target, fits))
        world.command(2, Send(target, too_large))
    world.run_until(450 * MS)
    assert {fits, too_large} & set(world.host(1).packets()) == {fits}
    assert {fits, too_large} <= set(world.host(3).packets())
    assert (world.traffic(2).lost, world.traffic(2).too_large) == (1, 1)
    world.inject(2, 1, too_large)
    assert world.traffic(2).too_large == 2
    world.run_until(550 * MS)
    world.command(2, Send(1, too_large))
    world.run_until(600 * MS)
    assert too_large in world.host(1).packets()


def test_what_is_too_large_takes_no_time_on_a_narrow_line() -> None:
    narrow = Bandwidth(at_ms=100, bytes_per_s=10_000, targets=("n1",))
    world = world_with(narrow, SizeLimit(at_ms=100, most_bytes=500, targets=("n1",)))
    world.run_until(105 * MS)
    for packet in (b"y" * 9_000, b"x" * 500):
        world.command(2, Send(1, packet))
    world.run_until(205 * MS)
    assert b"x" * 500 in world.host(1).packets()
    assert world.traffic(2).too_large == 1


def test_a_slow_node_takes_its_time_for_each_event_and_each_commit() -> None:
    world = world_with(SlowNode(at_ms=100, until_ms=1_000, nodes=("n1",), factor=100))
    world.run_until(150 * MS)
    world.host(1).seen.clear()
    for _ in range(5):
        world.command(0, Send(1, b"x"))
    world.command(1, Write(1, ()))
    world.run_until(990 * MS)
    at_ms = [at_ns / MS for at_ns, event in world.host(1).seen if event == Delivered(b"x", 0)]
    assert len(at_ms) == 5
    assert at_ms[-1] - at_ms[0] >= 4 * 2
    assert world.host(1).times(Written)[0] > 180 * MS
    assert all(
        later - earlier >= 2 * MS
        for (earlier, _), (later, _) in zip(world.host(1).seen, world.host(1).seen[1:], strict=False)
    )
    assert world.host(2).times(Due)[-1] == 990 * MS
    world.run_until(1_200 * MS)
    assert gets_through(world, 0, 1)
    assert world.host(1).times(Due)[-1] > 1_190 * MS


def test_a_drifting_clock_hands_out_other_times_and_rings_by_them() -> None:
    world = world_with(ClockDrift(at_ms=100, until_ms=1_100, nodes=("n1",), ppm=100_000))
    world.run_until(2_000 * MS)
    fast, true = world.host(1).times(Due), world.host(2).times(Due)
    assert len(true) == 200
    assert len(fast) in (209, 210)
    assert fast == sorted(fast)
    assert world.clock(1).local_ns(world.now_ns) == 2_100 * MS
    world.crash(1)
    world.start(1)
    assert world.host(1).birth.now_ns == 2_100 * MS


def test_a_slow_clock_does_not_lose_its_deadline() -> None:
    world = world_with(ClockDrift(at_ms=105, until_ms=None, nodes=("n1",), ppm=-100_000))
    world.run_until(1_105 * MS)
    assert len(world.host(1).times(Due)) == 10 + 90
    assert {at_ns % (10 * MS) for at_ns in world.host(1).times(Due)} == {0}


def test_a_jump_of_the_wall_clock_shows_at_the_next_start_and_moves_no_deadline() -> None:
    world = world_with(
        ClockJump(at_ms=0, nodes=("n1", "n2"), by_ms=7),
        ClockJump(at_ms=500, nodes=("n1",), by_ms=-3_600_000),
        Restart(at_ms=300, nodes=("n2",)),
        Restart(at_ms=600, nodes=("n0", "n1")),
    )
    world.run_until(1_000 * MS)
    wall_ms = [(world.host(index).birth.wall_ns - WALL_START_NS) // MS for index in range(3)]
    assert wall_ms == [600, 600 + 7 - 3_600_000, 307]
    assert world.host(1).birth.now_ns == 600 * MS
