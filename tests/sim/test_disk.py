"""What a node's journal has on its disk: commits in order, what a crash leaves, and what faults do to it."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.shard.records import Entries, Forget, HardState, Record, Recovered, Snapshot
from hubless.wire.replication import Config, Entry
from hubless_sim.faults import (
    BitRot,
    Crash,
    FailedFlush,
    Fault,
    FullDisk,
    PowerCut,
    Restart,
    SlowDisk,
    StalledDisk,
    TornWrite,
)
from hubless_sim.world.clock import WALL_START_NS
from hubless_sim.world.disk import Contents, DiskProfile
from hubless_sim.world.hosts import LinkDown, LinkUp, Watch, Write, WriteRefused, Written
from hubless_sim.world.links import LinkProfile
from hubless_sim.world.network import Layer
from hubless_sim.world.toys import Echo
from hubless_sim.world.world import World

MS = 1_000_000
EVEN = DiskProfile(base_ns=MS, jitter_ns=0)
TRIO = Config(("n0", "n1", "n2"))


def entries(*indices: int, term: int = 1, shard: int = 0) -> Entries:
    return Entries(shard, tuple(Entry(index, term, 1, b"%d" % index) for index in indices))


def disk_world(*faults: Fault, nodes: int = 2, seed: int = 1, disk: DiskProfile = EVEN) -> World:
    world = World(nodes=nodes, seed=seed, make=Echo, base=Layer(base_ns=MS), links=LinkProfile(), disk=disk)
    for index in range(nodes):
        world.start(index)
    for fault in faults:
        fault.impose(world)
    return world


def write_at(world: World, at_ms: int, mark: int, *records: Record, node: int = 0) -> None:
    world.at(at_ms * MS, functools.partial(world.command, node, Write(mark, records)))


def told(world: World, node: int = 0) -> list[tuple[int, object]]:
    """What the disk told the process, and when, in ms."""
    kinds = (Written, WriteRefused)
    return [(at_ns // MS, event) for at_ns, event in world.host(node).seen if isinstance(event, kinds)]


def found(world: World, node: int = 0) -> dict[int, Recovered]:
    """What the process that runs on the node found at its start, by shard."""
    return {recovered.shard: recovered for recovered in world.host(node).birth.recovered}


def log_of(recovered: Recovered) -> list[int]:
    return [entry.index for entry in recovered.entries]


def restarted(world: World, node: int = 0) -> dict[int, Recovered]:
    world.crash(node)
    world.start(node)
    return found(world, node)


# -- what records mean ----------------------------------------------------------------------------------


def recovered_of(*records: Record) -> dict[int, Recovered]:
    contents = Contents()
    contents.apply(records)
    return {each.shard: each for each in contents.recovered()}


def test_entries_replace_what_was_there_from_the_first_one_on() -> None:
    now = recovered_of(entries(1, 2, 3), entries(2, term=2))[0]
    assert [(entry.index, entry.term) for entry in now.entries] == [(1, 1), (2, 2)]


def test_a_snapshot_keeps_the_entries_after_it_unless_it_came_from_the_owner() -> None:
    own = Snapshot(0, 2, 1, TRIO, b"state")
    assert log_of(recovered_of(entries(1, 2, 3), own)[0]) == [3]
    foreign = Snapshot(0, 2, 1, TRIO, b"state", keeps_log=False)
    now = recovered_of(entries(1, 2, 3), foreign, entries(3, term=4))[0]
    assert (now.snapshot, [entry.term for entry in now.entries]) == (foreign, [4])


def test_forgetting_a_shard_leaves_its_hard_state() -> None:
    hard = HardState(3, 7, "n1", 9, 6)
    now = recovered_of(hard, entries(1, shard=3), Snapshot(3, 1, 1, TRIO, b""), Forget(3))
    assert now == {3: Recovered(shard=3, term=7, vote="n1", floor_index=9, floor_term=6)}


@pytest.mark.parametrize(
    "records",
    [
        [entries(2)],
        [entries(1, 2), entries(4)],
        [entries(1, 3)],
        [entries(1, 2), Snapshot(0, 2, 1, TRIO, b""), entries(2)],
        [Snapshot(0, 5, 1, TRIO, b"", keeps_log=False), entries(7)],
    ],
)
def test_a_hole_in_a_log_is_the_hosts_bug(records: list[Record]) -> None:
    with pytest.raises(AssertionError, match="entr"):
        recovered_of(*records)


# -- commits --------------------------------------------------------------------------------------------


def test_commits_end_one_after_the_other_in_order() -> None:
    world = disk_world()
    for mark in (1, 2, 3):
        write_at(world, 10, mark, entries(mark))
    world.run_until(100 * MS)
    assert told(world) == [(11, Written(1)), (12, Written(2)), (13, Written(3))]
    assert log_of(restarted(world)[0]) == [1, 2, 3]


def test_how_long_a_write_takes_depends_on_its_number_alone() -> None:
    def times(noise: bool) -> list[int]:
        world = disk_world(disk=DiskProfile(MS, 5 * MS), seed=9)
        for mark in range(1, 20):
            write_at(world, 100 * mark, mark, entries(mark))
            if noise:
                write_at(world, 100 * mark, mark, entries(mark), node=1)
        world.run_until(5_000 * MS)
        return [at_ns for at_ns, event in world.host(0).seen if isinstance(event, Written)]

    quiet = times(noise=False)
    assert quiet == times(noise=True)
    assert len({at_ns % (100 * MS) for at_ns in quiet}) > 10


def test_a_crash_leaves_every_prefix_of_what_was_under_way_and_nothing_else() -> None:
    left = set()
    for seed in range(60):
        world = disk_world(seed=seed)
        for mark in (1, 2, 3, 4):
            write_at(world, 10, mark, HardState(0, mark, ""), entries(mark))
        world.run_until(11 * MS)
        now = restarted(world)[0]
        assert log_of(now) == list(range(1, now.term + 1))
        assert now.damage == ""
        left.add(now.term)
    assert left == {1, 2, 3, 4}


def test_what_was_acknowledged_survives_and_a_wipe_takes_it() -> None:
    world = disk_world()
    write_at(world, 1, 1, HardState(5, 3, "n2"))
    world.run_until(50 * MS)
    assert restarted(world) == {5: Recovered(shard=5, term=3, vote="n2")}
    world.crash(0)
    world.wipe(0)
    world.start(0)
    assert found(world) == {}
    assert world.host(0).birth.formats == 1


def test_a_process_is_told_since_when_its_disk_is_as_it_is() -> None:
    world = disk_world()
    ages_ms = []
    for does in ("nothing", "nothing", "wipe"):
        world.run_until(world.now_ns + 50 * MS)
        world.crash(0)
        if does == "wipe":
            world.wipe(0)
        world.start(0)
        ages_ms.append((world.host(0).birth.formatted_ns - WALL_START_NS) // MS)
    assert ages_ms == [0, 0, 150]


def test_a_dead_process_is_told_nothing_and_its_successor_starts_afresh() -> None:
    world = disk_world()
    write_at(world, 1, 1, entries(1))
    world.at(1_500_000, functools.partial(world.crash, 0))
    world.at(1_600_000, functools.partial(world.start, 0))
    write_at(world, 5, 1, HardState(1, 1, ""))
    world.run_until(50 * MS)
    assert told(world) == [(6, Written(1))]


def test_writes_are_counted_and_part_of_the_digest() -> None:
    def run(body: bytes) -> World:
        world = disk_world()
        write_at(world, 1, 1, Entries(0, (Entry(1, 1, 1, body),)))
        world.run_until(10 * MS)
        return world

    one, other = run(b"one"), run(b"two")
    assert one.digest() != other.digest()
    assert one.disk(0).use == other.disk(0).use
    assert (one.disk(0).use.writes, one.disk(0).use.records, one.disk(0).use.written) == (1, 1, 1)
    assert one.disk(0).use.bytes > 3


# -- faults ---------------------------------------------------------------------------------------------


def test_a_slow_disk_adds_to_each_commit_that_begins_meanwhile() -> None:
    world = disk_world(SlowDisk(at_ms=10, until_ms=50, nodes=("n0",), base_us=20_000))
    for mark, at_ms in enumerate((5, 15, 60), start=1):
        write_at(world, at_ms, mark, entries(mark))
    world.run_until(100 * MS)
    assert told(world) == [(6, Written(1)), (36, Written(2)), (61, Written(3))]


def test_a_stalled_disk_ends_no_commit_until_it_goes_on() -> None:
    world = disk_world(StalledDisk(at_ms=10, until_ms=500, nodes=("n0",)))
    write_at(world, 20, 1, entries(1))
    write_at(world, 30, 2, entries(2))
    world.run_until(499 * MS)
    assert told(world) == []
    world.run_until(600 * MS)
    assert told(world) == [(500, Written(1)), (501, Written(2))]


def test_a_full_disk_refuses_what_does_not_fit_and_all_after_it_and_keeps_the_rest() -> None:
    world = disk_world(FullDisk(at_ms=10, until_ms=50, nodes=("n0",), room_bytes=25))
    write_at(world, 20, 1, entries(1))
    write_at(world, 20, 2, entries(2, 3, 4))
    write_at(world, 20, 3, HardState(0, 1, ""))
    write_at(world, 60, 4, entries(2, 3, 4))
    world.run_until(100 * MS)
    assert told(world) == [(21, Written(1)), (22, WriteRefused(2, full=True)), (61, Written(4))]
    assert restarted(world) == {0: Recovered(shard=0, entries=entries(1, 2, 3, 4).entries)}


def test_after_a_failed_flush_a_process_gets_nothing_written_and_the_next_one_does() -> None:
    world = disk_world(FailedFlush(at_ms=10, until_ms=50, nodes=("n0",)))
    write_at(world, 20, 1, entries(1))
    write_at(world, 60, 2, entries(2))
    world.run_until(100 * MS)
    assert told(world) == [(21, WriteRefused(1, full=False)), (60, WriteRefused(2, full=False))]
    world.crash(0)
    world.start(0)
    write_at(world, 110, 1, HardState(1, 1, ""))
    world.run_until(200 * MS)
    assert told(world) == [(111, Written(1))]


def test_a_commit_whose_flush_failed_may_be_on_the_disk_or_not() -> None:
    left = set()
    for seed in range(20):
        world = disk_world(FailedFlush(at_ms=10, nodes=("n0",)), seed=seed)
        write_at(world, 20, 1, entries(1))
        world.run_until(100 * MS)
        left.add(0 in restarted(world))
    assert left == {True, False}


def test_a_torn_write_is_found_as_damage_of_its_shards_and_of_no_others() -> None:
    torn = 0
    for seed in range(20):
        world = disk_world(TornWrite(at_ms=0, nodes=("n0",)), seed=seed)
        write_at(world, 1, 1, entries(1, shard=7))
        write_at(world, 10, 2, HardState(3, 1, "n1"), entries(1, shard=4))
        world.run_until(10 * MS)
        now = restarted(world)
        damaged = [shard for shard in sorted(now) if now[shard].damage]
        assert damaged in ([], [3, 4])
        assert log_of(now[7]) == [1]
        torn += damaged != []
        assert world.disk(0).use.torn == (damaged != [])
    assert 0 < torn < 20


def test_bit_rot_is_found_at_the_next_start_and_stays() -> None:
    world = disk_world(BitRot(at_ms=20, nodes=("n0",)), BitRot(at_ms=30, nodes=("n1",), shard=5))
    for node in (0, 1):
        write_at(world, 10, 1, entries(1, shard=4), entries(1, shard=5), node=node)
    world.run_until(50 * MS)
    assert found(world) == {}
    first = restarted(world)
    assert sum(each.damage != "" for each in first.values()) == 1
    assert restarted(world) == first
    assert [shard for shard, each in restarted(world, 1).items() if each.damage] == [5]


def test_a_damaged_shard_takes_records_again_once_it_is_forgotten() -> None:
    world = disk_world(BitRot(at_ms=20, nodes=("n0",), shard=4))
    write_at(world, 10, 1, HardState(4, 3, "n1"), entries(1, shard=4), entries(1, shard=5))
    world.run_until(50 * MS)
    assert restarted(world)[4].damage
    world.command(0, Write(1, (entries(2, shard=5),)))
    with pytest.raises(AssertionError, match="shard 4 are written, which was found damaged"):
        world.command(0, Write(2, (entries(2, shard=4),)))
    world.command(0, Write(3, (HardState(4, 4, ""), Forget(4))))
    world.command(0, Write(4, (entries(1, shard=4),)))
    world.run_until(100 * MS)
    assert restarted(world)[4] == Recovered(shard=4, term=4, entries=entries(1, shard=4).entries)


def test_bit_rot_of_an_empty_disk_is_nothing() -> None:
    world = disk_world(BitRot(at_ms=5, nodes=("n0",)), BitRot(at_ms=5, nodes=("n1",), shard=5))
    world.run_until(10 * MS)
    assert restarted(world) == restarted(world, 1) == {}


def test_a_power_cut_takes_all_at_once_without_a_word_and_they_start_when_it_ends() -> None:
    world = disk_world(PowerCut(at_ms=100, until_ms=300, nodes=("n0", "n1")), nodes=3)
    world.command(2, Watch((0, 1)))
    world.run_until(299 * MS)
    assert [world.host(index) is None for index in range(3)] == [True, True, False]
    downs = [at_ns // MS for at_ns in world.host(2).times(LinkDown)]
    assert len(downs) == 2
    assert min(downs) >= 100 + 150
    world.run_until(400 * MS)
    assert [world.boot(index) for index in range(3)] == [2, 2, 1]
    assert len(world.host(2).times(LinkUp)) == 4


def test_a_restart_that_wipes_empties_the_journal() -> None:
    world = disk_world(Restart(at_ms=50, nodes=("n0", "n1"), wipe=True), Crash(at_ms=40, nodes=("n0",)))
    for node in (0, 1):
        write_at(world, 10, 1, entries(1), node=node)
    world.run_until(100 * MS)
    assert found(world) == found(world, 1) == {}


@given(
    seed=st.integers(0, 2**32),
    crashes=st.lists(st.integers(1, 400), max_size=5),
    torn=st.booleans(),
    full=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_was_acknowledged_is_found_or_its_shard_is_damaged(
    seed: int, crashes: list[int], torn: bool, full: bool
) -> None:
    """Each process writes its boot and a count as the term; no later one may find less than it was promised."""
    faults: list[Fault] = [Restart(at_ms=at_ms, nodes=("n0",)) for at_ms in crashes]
    faults += [TornWrite(at_ms=0, nodes=("n0",))] * torn + [
        FullDisk(at_ms=50, until_ms=90, nodes=("n0",))
    ] * full
    world = disk_world(*faults, seed=seed, disk=DiskProfile(MS, 3 * MS))
    for mark in range(1, 200):
        write_at(world, 2 * mark, mark, HardState(mark % 3, mark, ""), Forget(mark % 3))
    promised: set[int] = set()
    for at_ms in sorted({*crashes, 450}):
        world.run_until(at_ms * MS - 1)
        promised |= {event.mark for _, event in told(world) if isinstance(event, Written)}
        world.run_until(at_ms * MS)
    now = restarted(world)
    assert promised
    for mark in promised:
        each = now[mark % 3]
        assert each.damage or each.term >= mark


def test_a_disk_has_what_is_in_its_log_or_its_snapshot() -> None:
    contents = Contents()
    contents.apply([Snapshot(0, 3, 1, TRIO, b""), entries(4, 5, term=2)])
    assert [contents.has(0, index, 2) for index in (2, 3, 4, 5, 6)] == [True, True, True, True, False]
    assert not contents.has(0, 4, 1)
    assert not contents.has(1, 1, 1)
    contents.damage(0, "bit rot")
    assert contents.has(0, 6, 2)
