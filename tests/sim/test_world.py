"""The heap, processes and their deadlines, blocked processes, counters."""

import functools

import pytest

from hubless_sim.world.hosts import Birth, Delivered, Due, HostEffect, HostEvent, Keep, Send
from hubless_sim.world.network import Layer
from hubless_sim.world.processes import INBOX_LIMIT, StuckClockError
from hubless_sim.world.toys import Echo
from hubless_sim.world.world import World

MS = 1_000_000


def echo_world(nodes: int = 2, *, interval_ms: int = 0, seed: int = 1, base: Layer | None = None) -> World:
    make = functools.partial(Echo, nodes=nodes, interval_ns=interval_ms * MS)
    world = World(nodes=nodes, seed=seed, make=make, base=base or Layer(base_ns=MS))
    for index in range(nodes):
        world.start(index)
    return world


def test_a_packet_takes_its_latency() -> None:
    world = echo_world()
    world.command(0, Send(1, b"ping:a"))
    world.run_until(10 * MS)
    assert world.host(1).seen == [(MS, Delivered(b"ping:a", 0))]
    assert world.host(0).times(Delivered) == [2 * MS]


def test_equal_times_keep_the_order_of_asking() -> None:
    world = echo_world()
    order: list[int] = []
    for number in range(50):
        world.at(5 * MS, functools.partial(order.append, number))
    world.run_until(5 * MS)
    assert order == list(range(50))


def test_the_clock_stands_at_the_end_even_without_events() -> None:
    world = echo_world()
    world.run_until(123)
    assert world.now_ns == 123


def test_deadlines_ring_when_they_were_asked_for() -> None:
    world = echo_world(interval_ms=10)
    world.run_until(35 * MS)
    assert world.host(0).times(Due) == [10 * MS, 20 * MS, 30 * MS]


class Moving:
    """Asks for a deadline that each packet moves: ``near`` brings it to 5 ms from now, ``far`` to 50 ms."""

    def __init__(self, birth: Birth) -> None:
        self.due_ns: int | None = birth.now_ns + 20 * MS
        self.rang: list[int] = []

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        match event:
            case Due():
                self.rang.append(now_ns)
                self.due_ns = None
            case Delivered(packet=b"near"):
                self.due_ns = now_ns + 5 * MS
            case Delivered(packet=b"far"):
                self.due_ns = now_ns + 50 * MS
            case _:
                pass
        return []

    def next_deadline_ns(self) -> int | None:
        return self.due_ns


@pytest.mark.parametrize(
    ("packets", "rang"),
    [([], 20), ([(1, b"near")], 7), ([(1, b"far")], 52), ([(1, b"near"), (3, b"far")], 54)],
)
def test_a_deadline_that_moves_rings_once_at_its_new_time(
    packets: list[tuple[int, bytes]], rang: int
) -> None:
    makers = {0: Moving, 1: Echo}
    world = World(nodes=2, seed=1, make=lambda birth: makers[birth.node](birth), base=Layer(base_ns=MS))
    world.start(0)
    world.start(1)
    for at_ms, packet in packets:
        world.at(at_ms * MS, functools.partial(world.command, 1, Send(0, packet)))
    world.run_until(200 * MS)
    assert world.host(0).rang == [rang * MS]


class Stuck:
    """Never moves its deadline on."""

    def __init__(self, birth: Birth) -> None:
        pass

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        return []

    def next_deadline_ns(self) -> int | None:
        return 5


def test_a_host_that_stops_time_is_named() -> None:
    world = World(nodes=1, seed=1, make=Stuck)
    world.start(0)
    with pytest.raises(StuckClockError, match="n0 still asks"):
        world.run_until(10)


def test_a_crash_drops_the_process_and_its_packets() -> None:
    world = echo_world(interval_ms=10)
    before = world.host(1)
    world.run_until(15 * MS)
    handled = len(before.seen)
    world.crash(1)
    assert world.host(1) is None
    world.run_until(100 * MS)
    assert len(before.seen) == handled
    assert world.traffic(1).unanswered > 0


def test_a_restart_is_a_new_process_with_what_was_kept() -> None:
    world = echo_world()
    world.command(0, Keep(b"precious"))
    old = world.host(0)
    world.crash(0)
    world.start(0)
    new = world.host(0)
    assert new is not old
    assert (new.birth.boot, new.birth.kept) == (2, b"precious")
    assert new.birth.seed != old.birth.seed


def test_a_wiped_disk_keeps_nothing() -> None:
    world = echo_world()
    world.command(0, Keep(b"precious"))
    with pytest.raises(ValueError, match="crash it before"):
        world.wipe(0)
    world.crash(0)
    world.wipe(0)
    world.start(0)
    assert world.host(0).birth.kept == b""


def test_starting_what_runs_changes_nothing() -> None:
    world = echo_world()
    host = world.host(0)
    world.start(0)
    assert world.host(0) is host
    assert world.boot(0) == 1


def test_a_blocked_process_handles_its_messages_in_order_when_it_wakes() -> None:
    world = echo_world(interval_ms=0)
    release = world.block(1)
    for number in range(5):
        world.command(0, Send(1, b"ping:%d" % number))
    world.at(50 * MS, release)
    world.run_until(40 * MS)
    assert world.host(1).seen == []
    world.run_until(60 * MS)
    assert world.host(1).packets() == [b"ping:%d" % number for number in range(5)]
    assert set(world.host(1).times(Delivered)) == {50 * MS}
    assert len(world.host(0).packets()) == 5


def test_a_blocked_process_sees_its_deadline_late_and_after_its_messages() -> None:
    world = echo_world(interval_ms=10)
    release = world.block(1)
    world.at(35 * MS, release)
    world.run_until(35 * MS)
    first = [type(event) for _, event in world.host(1).seen]
    assert first[-1] is Due
    assert set(first[:-1]) == {Delivered}
    assert world.host(1).times(Due) == [35 * MS]


def test_held_messages_leave_timers_running() -> None:
    world = echo_world(interval_ms=10)
    release = world.block(1, timers_run=True)
    world.at(35 * MS, release)
    world.run_until(34 * MS)
    assert world.host(1).times(Due) == [10 * MS, 20 * MS, 30 * MS]
    assert world.host(1).packets() == []
    assert world.traffic(1).messages_out == 0
    world.run_until(39 * MS)
    assert world.traffic(1).messages_out >= 3
    assert len(world.host(1).packets()) >= 3


def test_overlapping_blocks_end_with_the_last() -> None:
    world = echo_world()
    first, second = world.block(1), world.block(1)
    world.command(0, Send(1, b"ping:a"))
    world.at(10 * MS, first)
    world.at(20 * MS, second)
    world.run_until(30 * MS)
    assert world.host(1).times(Delivered) == [20 * MS]


def test_a_block_ends_with_its_process() -> None:
    world = echo_world()
    release = world.block(1)
    world.crash(1)
    world.start(1)
    world.command(0, Send(1, b"ping:a"))
    world.run_until(10 * MS)
    release()
    assert world.host(1).packets() == [b"ping:a"]


def test_the_inbox_of_a_blocked_process_is_bounded_and_refusals_counted() -> None:
    world = echo_world()
    release = world.block(1)
    for _ in range(INBOX_LIMIT + 10):
        world.command(0, Send(1, b"x"))
    world.run_until(10 * MS)
    assert world.traffic(1).inbox_refused == 10
    release()
    assert len(world.host(1).packets()) == INBOX_LIMIT


def test_traffic_counts_messages_and_bytes() -> None:
    world = echo_world()
    world.command(0, Send(1, b"ping:abc"))
    world.command(0, Send(7, b"nobody"))
    world.run_until(10 * MS)
    here, there = world.traffic(0), world.traffic(1)
    assert (here.messages_out, here.bytes_out, here.messages_in, here.bytes_in) == (1, 8, 1, 8)
    assert (there.messages_out, there.bytes_out, there.messages_in, there.bytes_in) == (1, 8, 1, 8)
    assert here.unroutable == 1


def test_losses_and_duplicates_are_counted() -> None:
    world = echo_world(base=Layer(loss=0.5, duplicate=0.5))
    for _ in range(400):
        world.command(0, Send(1, b"x"))
    world.run_until(10 * MS)
    here = world.traffic(0)
    assert 150 < here.lost < 250
    assert 60 < here.duplicated < 140
    assert world.traffic(1).messages_in == 400 - here.lost + here.duplicated


def test_an_unknown_effect_names_the_node() -> None:
    class Wrong(Stuck):
        def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
            return ["nonsense"]  # type: ignore[list-item]

        def next_deadline_ns(self) -> int | None:
            return None

    world = World(nodes=1, seed=1, make=Wrong)
    world.start(0)
    with pytest.raises(TypeError, match="n0 returned 'nonsense'"):
        world.command(0, None)


def test_equal_worlds_have_equal_digests_and_a_lost_packet_shows() -> None:
    def digest(seed: int, loss: float) -> str:
        world = echo_world(5, interval_ms=10, seed=seed, base=Layer(base_ns=MS, jitter_ns=MS, loss=loss))
        world.run_until(500 * MS)
        return world.digest()

    assert digest(3, 0.01) == digest(3, 0.01)
    assert len({digest(3, 0.01), digest(4, 0.01), digest(3, 0.0)}) == 3


def test_a_world_that_forgoes_its_digest_does_all_the_same() -> None:
    def seen(*, is_digested: bool) -> tuple[int, list[int], str]:
        world = echo_world(5, interval_ms=10, seed=3, base=Layer(base_ns=MS, jitter_ns=MS, loss=0.01))
        if not is_digested:
            world.forgo_digest()
        world.run_until(500 * MS)
        return world.events, [world.traffic(index).bytes_in for index in range(5)], world.digest()

    *with_digest, digest = seen(is_digested=True)
    *without, nothing = seen(is_digested=False)
    assert without == with_digest
    assert (len(digest), nothing) == (64, "")
