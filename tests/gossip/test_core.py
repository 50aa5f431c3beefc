"""The core as its shell sees it: events in, effects out, several of them in lockstep."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from hubless_gossip import (
    Address,
    Condition,
    DeadlineReached,
    EventsLost,
    Gossip,
    GossipConfig,
    Identity,
    JoinRequested,
    LeaveRequested,
    LinkDegraded,
    LinkDown,
    LinkRefused,
    LoadChanged,
    MemberChanged,
    MetaChanged,
    MetaUpdated,
    PacketReceived,
    Peer,
    Persist,
    SendPacket,
    WatchLinks,
    WatchRequested,
)

MS = 1_000_000
LOCAL = GossipConfig.local()
ALIVE, BUSY, SUSPECT, DEAD, LEFT = Condition
Net = Any
Make = Callable[..., Net]


@pytest.fixture
def mesh(lockstep: Any) -> Make:
    """mesh(count, config=..., ...): that many nodes n0, n1, ... that have found each other."""

    def make(count: int, config: GossipConfig = LOCAL, **more: Any) -> Net:
        net = lockstep(config, **more)
        for number in range(count):
            net.start(f"n{number}", *(["n0"] if number else []))
        net.run(3)
        assert net.agree()
        return net

    return make


def until(net: Net, seconds: float, condition: Callable[[], bool]) -> float:
    """Seconds until the condition holds; fails if it does not within `seconds`."""
    start = net.now
    while not condition():
        assert net.now - start < seconds * 1e9, "did not happen in time"
        net.run(0.005)
    return float(net.now - start) / 1e9


def everybody_sees(net: Net, node: str, condition: Condition | None) -> bool:
    return all(net.sees(other, node) == condition for other in net.cores if other != node)


def told_of(net: Net, node: str) -> list[MemberChanged]:
    events = [event for told in net.tells.values() for _, event in told]
    return [event for event in events if isinstance(event, MemberChanged) and event.member.node == node]


def lone(now_ns: int = 0, **more: Any) -> Gossip:
    identity = Identity(b"testmesh", "me", 1, Address("me", 1))
    return Gossip(identity, config=LOCAL, rng=random.Random(1), now_ns=now_ns, **more)


def packets(effects: Iterable[Any]) -> list[SendPacket]:
    return [effect for effect in effects if isinstance(effect, SendPacket)]


# --- joining and views ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 20])
def test_nodes_that_start_together_have_identical_views_within_a_second(lockstep: Any, count: int) -> None:
    net = lockstep(LOCAL)
    for number in range(count):
        net.start(f"n{number}", *(["n0"] if number else []))
    until(net, 1.0, net.agree)


def test_joining_goes_on_until_a_seed_is_there(lockstep: Any) -> None:
    net = lockstep(LOCAL)
    net.start("a", "b")
    net.run(20)
    net.start("b")
    until(net, 2.0, net.agree)


def test_a_node_of_another_mesh_is_not_let_in(lockstep: Any) -> None:
    net = lockstep(LOCAL)
    net.start("a")
    stranger = Gossip(
        Identity(b"othermsh", "s", 1, Address("s", 7000)), config=LOCAL, rng=random.Random(2), now_ns=0
    )
    for effect in packets(stranger.handle(0, JoinRequested((net.address("a"),)))):
        net.give("a", PacketReceived(effect.packet))
    assert net.cores["a"].counters.other_mesh == 1
    assert [member.node for member in net.cores["a"].members()] == ["a"]


def test_the_first_event_may_bring_effects_and_is_asked_for_at_once() -> None:
    core = lone(now_ns=5, peers=(Peer("b", 1, Address("b", 1)),))
    assert core.next_deadline_ns() == 5
    assert [packet.to for packet in packets(core.handle(5, DeadlineReached()))] == [Address("b", 1)]


def test_packets_of_rumours_are_small_and_of_views_bounded(lockstep: Any) -> None:
    net = lockstep(LOCAL)
    for number in range(150):
        net.start(f"node-{number:04}", *(["node-0000"] if number else []), meta=bytes(768))
    net.run(5)
    assert net.agree()
    assert 1400 < net.biggest <= 64 * 1024


def test_idle_views_are_compared_in_tens_of_bytes(mesh: Make) -> None:
    net = mesh(10)
    net.run(10)
    packets_before, bytes_before = net.packets, net.bytes
    net.run(30)
    assert (net.bytes - bytes_before) / (net.packets - packets_before) < 80


# --- death ------------------------------------------------------------------------------------


def test_a_killed_process_is_known_dead_within_tens_of_ms(mesh: Make) -> None:
    net = mesh(10)
    net.kill("n3")
    assert until(net, 1.0, lambda: everybody_sees(net, "n3", DEAD)) < 0.05


def test_two_nodes_are_enough_for_the_fast_path(mesh: Make) -> None:
    net = mesh(2)
    net.kill("n1")
    assert until(net, 1.0, lambda: everybody_sees(net, "n1", DEAD)) < 0.05


def test_one_refused_link_alone_kills_nobody(mesh: Make) -> None:
    net = mesh(10)
    watcher = next(name for name, links in net.links.items() if "n3" in links)
    net.give(watcher, LinkDown("n3", 1))
    net.give(watcher, LinkRefused("n3", 1))
    net.run(10)
    assert net.agree()
    assert not any(event.member.condition == DEAD for event in told_of(net, "n3"))


def test_a_stopped_process_is_dead_within_seconds(mesh: Make) -> None:
    net = mesh(10)
    net.kill("n3", refused=False)
    assert until(net, 8.0, lambda: everybody_sees(net, "n3", DEAD)) < 4.0


def test_without_any_link_evidence_probes_find_the_dead(mesh: Make) -> None:
    net = mesh(10, monitored=False)
    net.kill("n3")
    until(net, 15.0, lambda: everybody_sees(net, "n3", DEAD))


def test_a_restarted_node_is_taken_back_at_once_even_if_dead(mesh: Make) -> None:
    net = mesh(10)
    net.kill("n3")
    net.run(5)
    net.start("n3", "n5")
    until(net, 1.0, net.agree)
    assert net.cores["n0"].member("n3").boot == 2


def test_a_restart_that_nobody_noticed_is_told(mesh: Make) -> None:
    net = mesh(4)
    net.cores.pop("n3")
    net.start("n3", "n0")
    until(net, 1.0, net.agree)
    boots = [event.member.boot for _, event in net.tells["n1"] if isinstance(event, MemberChanged)]
    assert 2 in boots


def test_the_dead_are_not_merged_back_by_a_late_returner(mesh: Make) -> None:
    net = mesh(6)
    net.cut(lambda a, b: (a == "n5") == (b == "n5"))
    net.kill("n4")
    net.run(60)
    net.cut(lambda _a, _b: True)
    until(net, 10.0, net.agree)
    assert everybody_sees(net, "n4", DEAD)


def test_no_death_on_one_accusers_word(mesh: Make) -> None:
    """n1 hears nobody answer; all others are well and reach each other."""
    net = mesh(8, monitored=False)
    net.cut(lambda a, b: b != "n1")
    net.run(20)
    net.cut(lambda _a, _b: True)
    until(net, 10.0, net.agree)
    blamed = [
        event
        for name, told in net.tells.items()
        for _, event in told
        if isinstance(event, MemberChanged) and event.member.condition == DEAD and name != "n1"
    ]
    assert {event.member.node for event in blamed} <= {"n1"}


# --- busy and blocked -------------------------------------------------------------------------


def test_a_blocked_application_with_living_links_is_busy_and_never_dead(mesh: Make) -> None:
    net = mesh(10)
    net.block("n3")
    assert until(net, 5.0, lambda: everybody_sees(net, "n3", BUSY)) < 3.0
    net.run(30)
    assert everybody_sees(net, "n3", BUSY)
    net.unblock("n3")
    until(net, 3.0, net.agree)
    assert not any(event.member.condition == DEAD for event in told_of(net, "n3"))


def test_a_node_that_was_blocked_accuses_nobody_when_it_wakes(mesh: Make) -> None:
    net = mesh(10)
    net.block("n3")
    net.run(10)
    net.tells["n3"].clear()
    net.unblock("n3")
    core = net.cores["n3"]
    assert core.counters.lags > 0
    assert core.health_score > 0
    net.run(5)
    assert not any(isinstance(event, MemberChanged) for _, event in net.tells["n3"])


def test_a_node_says_itself_that_it_is_busy(mesh: Make) -> None:
    net = mesh(4)
    net.give("n3", LoadChanged(200, True))
    until(net, 5.0, lambda: everybody_sees(net, "n3", BUSY))
    assert net.cores["n0"].member("n3").load == 200
    assert net.cores["n0"].member("n3").incarnation == 0
    net.give("n3", LoadChanged(0, False))
    until(net, 5.0, lambda: everybody_sees(net, "n3", ALIVE))


# --- refutation, leaving, metadata ------------------------------------------------------------


def test_a_false_suspicion_is_refuted_by_its_subject(mesh: Make) -> None:
    net = mesh(10, monitored=False)
    net.deaf["n3"] = []
    until(net, 5.0, lambda: any(net.sees(other, "n3") == SUSPECT for other in net.cores))
    for event in net.deaf.pop("n3"):
        net.give("n3", event)
    until(net, 3.0, net.agree)
    assert net.cores["n3"].counters.refutations >= 1
    assert not any(event.member.condition == DEAD for event in told_of(net, "n3"))


@pytest.mark.parametrize("count", [2, 3, 10])  # of two, the one that left was once too lonely to say so
def test_leaving_is_known_everywhere_and_is_not_a_death(mesh: Make, count: int) -> None:
    net = mesh(count)
    net.give("n1", LeaveRequested())
    until(net, 1.0, lambda: everybody_sees(net, "n1", LEFT))
    until(net, 5.0, lambda: net.cores["n1"].settled)
    net.kill("n1")
    net.run(10)
    assert everybody_sees(net, "n1", LEFT)


def test_who_leaves_is_settled_when_it_has_said_so_often_enough(mesh: Make) -> None:
    net = mesh(3)
    net.give("n1", LeaveRequested())
    assert not net.cores["n1"].settled
    until(net, 5.0, lambda: net.cores["n1"].settled)


def test_who_leaves_and_has_nobody_to_tell_is_settled() -> None:
    core = lone()
    core.handle(0, LeaveRequested())
    assert core.settled


def test_metadata_reaches_everybody_with_a_higher_incarnation(mesh: Make) -> None:
    net = mesh(10)
    net.give("n3", MetaChanged(b"agents"))
    until(net, 2.0, lambda: all(core.member("n3").meta == b"agents" for core in net.cores.values()))
    assert net.cores["n0"].member("n3").incarnation == 1
    assert any(isinstance(event, MetaUpdated) for _, event in net.tells["n0"])


def test_a_new_incarnation_is_on_disk_before_it_is_on_the_wire(mesh: Make) -> None:
    net = mesh(4)
    effects = net.cores["n3"].handle(net.now, MetaChanged(b"new"))
    kinds = [type(effect) for effect in effects]
    assert kinds[0] is Persist
    assert effects[0].remembered.incarnation == 1
    assert {peer.node for peer in effects[0].remembered.peers} == {"n0", "n1", "n2"}


def test_the_same_node_at_another_address_is_accepted_at_once(mesh: Make) -> None:
    net = mesh(5)
    net.cores.pop("n3")
    net._boots["n3"] += 1  # noqa: SLF001 - the test network's own book of boots
    moved = Address("elsewhere", 7000)
    net._names[moved] = "n3"  # noqa: SLF001
    identity = Identity(b"testmesh", "n3", net._boots["n3"], moved)  # noqa: SLF001
    net.cores["n3"] = Gossip(identity, config=LOCAL, rng=random.Random(3), now_ns=net.now)
    net.give("n3", JoinRequested((net.address("n0"),)))
    until(net, 1.0, lambda: all(core.member("n3").address == moved for core in net.cores.values()))


# --- partitions and one-way links -------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_partition_heals_without_seeds(mesh: Make, count: int) -> None:
    net = mesh(count)
    left = {"n0"}
    net.cut(lambda a, b: (a in left) == (b in left))
    net.run(600)
    assert net.sees("n0", f"n{count - 1}") == DEAD
    net.cut(lambda _a, _b: True)
    until(net, 10.0, net.agree)


def test_peers_that_were_remembered_are_found_without_seeds(lockstep: Any) -> None:
    net = lockstep(LOCAL)
    net.start("a")
    net.run(60)
    net.start("b", peers=(Peer("a", 1, net.address("a")), Peer("z", 1, net.address("z"))), incarnation=7)
    until(net, 2.0, net.agree)
    assert net.cores["a"].member("b").incarnation == 7


def test_a_one_way_cut_is_published_and_removes_nobody(mesh: Make) -> None:
    net = mesh(6, monitored=False)
    net.cut(lambda a, b: (a, b) != ("n1", "n2"))
    net.run(60)
    assert net.agree()
    for name in net.cores:
        assert ("n1", "n2") in net.cores[name].degraded_links()
        assert LinkDegraded("n1", "n2", True) in [event for _, event in net.tells[name]]
    net.cut(lambda _a, _b: True)
    until(net, 60.0, lambda: all(core.degraded_links() == () for core in net.cores.values()))
    assert not any(event.member.condition == DEAD for name in net.cores for event in told_of(net, name))


# --- links ------------------------------------------------------------------------------------


def test_everybody_is_watched_by_its_ring_neighbours(mesh: Make) -> None:
    net = mesh(10)
    for node in net.cores:
        watchers = [name for name, links in net.links.items() if node in links]
        assert len(watchers) == LOCAL.watched_neighbours


def test_more_links_are_watched_on_request(mesh: Make) -> None:
    net = mesh(10)
    before = set(net.links["n0"])
    extra = sorted(set(net.cores) - before - {"n0"})[:2]
    effects = net.cores["n0"].handle(net.now, WatchRequested((*extra, "nobody")))
    watched = [effect for effect in effects if isinstance(effect, WatchLinks)]
    assert {peer.node for peer in watched[0].peers} == before | set(extra)


# --- bounds and misuse ------------------------------------------------------------------------


def test_a_full_table_refuses_and_counts(mesh: Make) -> None:
    net = mesh(6, GossipConfig.local(members_max=8))
    for number in range(6, 12):
        net.start(f"n{number}", "n0")
    net.run(3)
    assert len(net.cores["n0"].members()) == 8
    assert net.cores["n0"].counters.members_refused > 0


def test_more_events_than_the_bound_are_reported_as_lost(lockstep: Any) -> None:
    net = lockstep(GossipConfig.local(events_max=3))
    for number in range(12):
        net.start(f"n{number}", *(["n0"] if number else []))
    net.run(2)
    net.start("late", "n0")
    net.run(2)
    lost = [event.count for _, event in net.tells["late"] if isinstance(event, EventsLost)]
    assert sum(lost) >= 9
    assert net.cores["late"].counters.events_lost == sum(lost)
    assert len(net.cores["late"].members()) == 13


@pytest.mark.parametrize("event", [MetaChanged(bytes(769)), LoadChanged(256, False), LoadChanged(-1, True)])
def test_misuse_by_the_caller_raises_early(event: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        lone().handle(0, event)


def test_identities_are_checked() -> None:
    for mesh_, node, boot, address in (
        (b"short", "a", 1, Address("h", 1)),
        (b"testmesh", "", 1, Address("h", 1)),
        (b"testmesh", "ü", 1, Address("h", 1)),
        (b"testmesh", "a" * 65, 1, Address("h", 1)),
        (b"testmesh", "a", -1, Address("h", 1)),
        (b"testmesh", "a", 1, Address("h", 0)),
    ):
        with pytest.raises(ValueError, match="must"):
            Identity(mesh_, node, boot, address)


def test_garbage_packets_are_counted_and_change_nothing() -> None:
    core = lone()
    core.handle(0, DeadlineReached())
    for raw in (b"", b"\x00" * 20, b"GET / HTTP/1.1\r\n\r\n", bytes(70_000)):
        assert core.handle(1, PacketReceived(raw)) == []
    assert core.counters.malformed_packets == 4


def test_the_same_seed_gives_the_same_packets(mesh: Make) -> None:
    def run() -> tuple[int, int]:
        net = mesh(8, seed=5)
        net.kill("n2")
        net.block("n4")
        net.run(5)
        net.unblock("n4")
        net.run(5)
        return net.packets, net.bytes

    assert run() == run()


# --- a process that was replaced at its address -----------------------------------------------


def replaced(net: Net, old: str, new: str) -> None:
    """`new` is at the address of `old` before anybody noticed: the links there are up all the time."""
    del net.cores[old]
    identity = Identity(b"testmesh", new, 1, net.address(old))
    net._names[net.address(old)] = new  # noqa: SLF001 - the test network's own book of addresses
    net.cores[new] = Gossip(identity, config=net.config, rng=random.Random(9), now_ns=net.now)
    net.links[new], net.tells[new], net._booked[new], net._boots[new] = {}, [], None, 1  # noqa: SLF001
    seed = min(name for name in net.cores if name != new)
    net.give(new, JoinRequested((net.address(seed),)))


@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_process_that_was_replaced_at_its_address_is_dead_though_links_to_it_are_up(
    mesh: Make, count: int
) -> None:
    net = mesh(count)
    replaced(net, "n1", "successor")
    until(net, 20.0, lambda: everybody_sees(net, "n1", DEAD))
    net.run(60)
    assert everybody_sees(net, "n1", DEAD)
    assert everybody_sees(net, "successor", ALIVE)
    assert not any(event.member.condition == DEAD for event in told_of(net, "successor"))


def test_an_earlier_boot_at_the_address_of_a_later_one_is_not_the_later_one(mesh: Make) -> None:
    net = mesh(5)
    net.kill("n1")
    net.start("n1", "n0")
    until(net, 2.0, net.agree)
    wiped = Identity(b"testmesh", "n1", 1, net.address("n1"))
    net.cores["n1"] = Gossip(wiped, config=LOCAL, rng=random.Random(9), now_ns=net.now)
    until(net, 20.0, lambda: everybody_sees(net, "n1", DEAD))
