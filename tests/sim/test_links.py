"""Monitored links: what a watcher is told when its peer crashes, stops, is cut off, or comes back."""

from hubless_sim.world.hosts import LinkDown, LinkRefused, LinkUp, Watch
from hubless_sim.world.links import LinkProfile
from hubless_sim.world.network import Layer
from hubless_sim.world.toys import Echo
from hubless_sim.world.world import World

MS = 1_000_000
PROFILE = LinkProfile(heartbeat_interval_ns=50 * MS, heartbeat_timeout_ns=150 * MS, reconnect_ns=10 * MS)
LINK_EVENTS = (LinkUp, LinkDown, LinkRefused)


def watched(nodes: int = 2) -> World:
    """Node 0 watches node 1, and the link is up."""
    world = World(nodes=nodes, seed=1, make=Echo, base=Layer(base_ns=MS), links=PROFILE)
    for index in range(nodes):
        world.start(index)
    world.command(0, Watch((1,)))
    world.run_until(10 * MS)
    return world


def cut(source: int, target: int) -> Layer:
    return Layer(sources=frozenset({source}), targets=frozenset({target}), cut=True)


def kinds(world: World, node: int = 0) -> list[str]:
    return world.host(node).kinds(LINK_EVENTS)  # type: ignore[no-any-return]


def test_a_link_is_up_after_one_round_trip() -> None:
    world = watched()
    assert [entry for entry in world.host(0).seen if isinstance(entry[1], LinkUp)] == [(2 * MS, LinkUp(1, 1))]


def test_a_crash_is_a_reset_and_then_a_refusal() -> None:
    world = watched()
    world.crash(1)
    world.run_until(1000 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown", "LinkRefused"]
    assert world.host(0).times(LinkDown) == [11 * MS]
    assert world.host(0).times(LinkRefused) == [23 * MS]


def test_a_silent_crash_is_noticed_by_its_heartbeats_and_never_refused() -> None:
    world = watched()
    world.crash(1, silent=True)
    world.run_until(10_000 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown"]
    (down_ns,) = world.host(0).times(LinkDown)
    assert 160 * MS <= down_ns <= 210 * MS


def test_a_restarted_process_accepts_new_links() -> None:
    world = watched()
    world.crash(1)
    world.run_until(100 * MS)
    world.start(1)
    world.run_until(200 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown", "LinkRefused", "LinkUp"]
    assert world.host(0).seen[-1][1] == LinkUp(1, 2)


def test_a_process_that_is_back_before_the_reconnect_is_not_refused() -> None:
    world = watched()
    world.crash(1)
    world.start(1)
    world.run_until(200 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown", "LinkUp"]


def test_a_cut_in_either_direction_is_a_heartbeat_timeout_without_refusal() -> None:
    for layer in (cut(0, 1), cut(1, 0)):
        world = watched()
        lift = world.impose(layer)
        world.run_until(1000 * MS)
        assert kinds(world) == ["LinkUp", "LinkDown"]
        lift()
        world.run_until(2000 * MS)
        assert kinds(world) == ["LinkUp", "LinkDown", "LinkUp"]


def test_a_cut_shorter_than_the_timeout_goes_unnoticed() -> None:
    world = watched()
    lift = world.impose(cut(0, 1))
    world.run_until(130 * MS)
    lift()
    world.run_until(1000 * MS)
    assert kinds(world) == ["LinkUp"]


def test_a_crash_behind_a_cut_is_refused_only_after_the_repair() -> None:
    world = watched()
    lift = world.impose(cut(0, 1))
    world.crash(1)
    world.run_until(1000 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown"]
    lift()
    world.run_until(2000 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown", "LinkRefused"]


def test_a_paused_peer_is_silent_and_not_refused_and_comes_back_as_itself() -> None:
    world = watched()
    release = world.block(1, silent=True)
    world.run_until(1000 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown"]
    release()
    world.run_until(2000 * MS)
    assert world.host(0).seen[-1][1] == LinkUp(1, 1)


def test_a_starved_peer_keeps_its_link_and_accepts_new_ones() -> None:
    world = watched(3)
    world.block(1)
    world.command(2, Watch((1,)))
    world.run_until(10_000 * MS)
    assert kinds(world, 0) == ["LinkUp"]
    assert kinds(world, 2) == ["LinkUp"]


def test_a_starved_watcher_is_told_when_it_wakes() -> None:
    world = watched()
    release = world.block(0)
    world.crash(1)
    world.run_until(500 * MS)
    assert kinds(world) == ["LinkUp"]
    release()
    assert kinds(world) == ["LinkUp", "LinkDown", "LinkRefused"]


def test_a_watcher_that_was_paused_finds_its_links_down() -> None:
    world = watched()
    release = world.block(0, silent=True)
    world.run_until(1000 * MS)
    release()
    world.run_until(2000 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown", "LinkUp"]


def test_a_peer_that_is_watched_no_more_is_silent_to_the_watcher() -> None:
    world = watched()
    world.command(0, Watch(()))
    world.crash(1)
    world.run_until(1000 * MS)
    assert kinds(world) == ["LinkUp"]


def test_a_peer_that_was_never_up_is_not_refused() -> None:
    world = World(nodes=2, seed=1, make=Echo, base=Layer(base_ns=MS), links=PROFILE)
    world.start(0)
    world.command(0, Watch((1,)))
    world.run_until(1000 * MS)
    assert kinds(world) == []
    world.start(1)
    world.run_until(2000 * MS)
    assert kinds(world) == ["LinkUp"]


def test_without_monitoring_nothing_is_told() -> None:
    world = World(nodes=2, seed=1, make=Echo)
    world.start(0)
    world.start(1)
    world.command(0, Watch((1,)))
    world.crash(1)
    world.run_until(1000 * MS)
    assert kinds(world) == []


def link_times(*, others: bool) -> list[int]:
    """When node 0 is told of node 1, which crashes and comes back, while links of others are cut, or not."""
    world = World(nodes=4, seed=1, make=Echo, base=Layer(base_ns=MS, jitter_ns=5 * MS), links=PROFILE)
    for index in range(4):
        world.start(index)
    world.command(0, Watch((1,)))
    if others:
        world.command(1, Watch((0,)))
        for at_ms in range(40, 400, 7):
            world.at(at_ms * MS, lambda: world.impose(cut(2, 3)))
    world.at(50 * MS, lambda: world.crash(1))
    world.at(300 * MS, lambda: world.start(1))
    world.run_until(1000 * MS)
    assert kinds(world) == ["LinkUp", "LinkDown", "LinkRefused", "LinkUp"]
    return [at_ns for at_ns, event in world.host(0).seen if isinstance(event, LINK_EVENTS)]


def test_a_link_takes_no_notice_of_cuts_and_links_of_others() -> None:
    assert link_times(others=True) == link_times(others=False)
