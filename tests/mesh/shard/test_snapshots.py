"""Compaction and snapshots (dissertation, 5.1, 5.3)."""

import pytest
from replicas_bench import RESEND_NS, SHARD, Bench, appended, empty, flushed, of_kind, replica

from hubless.shard.arrivals import Arrivals
from hubless.shard.log import ENTRY_BYTES
from hubless.shard.records import Entries, Recovered, Snapshot
from hubless.wire.replication import Append, Config, Entry, Install, Installed

TRIO = Config(("a", "b", "c"))


def piece(
    offset: int, chunk: bytes, *, size: int = 6, index: int = 50, term: int = 2, asked_round: int = 0
) -> Install:
    return Install(SHARD, term, index, 2, TRIO, offset, size, chunk, asked_round)


def ahead(**limits: int) -> Bench:
    """An owner `a` whose log begins after what `c` has."""
    bench = Bench(**{"keep_entries": 0, **limits})
    bench.elect("a")
    bench.cut("c")
    bench.propose("a", *(b"%d" % number for number in range(10)))
    bench["a"].compact(bench["a"].commit, bench.state)
    bench.settle()
    bench.lost.clear()
    bench.sent.clear()
    return bench


def test_a_compacted_log_keeps_what_follows_5_1() -> None:
    bench = Bench(keep_entries=1)
    owner = bench.elect("a")
    bench.propose("a", b"x", b"y", b"z")
    owner.compact(4, b"state")
    output = owner.take(0)
    assert output.records == [Snapshot(SHARD, 4, 2, TRIO, b"state")]
    assert (owner.snapshot_index, owner.last_index, owner.term_at(3), owner.term_at(5)) == (4, 5, None, 2)
    assert owner.log_bytes == 17


@pytest.mark.parametrize("limits", [{"keep_entries": 2}, {"keep_bytes": 34}])
@pytest.mark.parametrize("name", ["a", "b"])
def test_of_what_was_handed_out_a_margin_stays_in_memory(name: str, limits: dict[str, int]) -> None:
    bench = Bench(**limits)
    bench.elect("a")
    bench.propose("a", b"w", b"x", b"y", b"z")
    raft = bench[name]
    bench.pass_time(RESEND_NS)
    raft.heard_owner(0, "a", 2, 6)
    bench.settle()
    assert (raft.commit, raft.first_index, raft.snapshot_index) == (6, 5, 0)
    assert [raft.term_at(index) for index in (3, 4, 5, 6)] == [None, 2, 2, 2]
    on_disk = bench.disks[name].recovered().entries
    assert raft.log_bytes == sum(len(entry.body) + ENTRY_BYTES for entry in on_disk)
    raft.compact(6, b"state")
    assert raft.log_bytes == 0


def test_what_is_not_handed_out_yet_stays_however_much_it_is() -> None:
    bench = Bench(keep_entries=0)
    owner = bench.elect("a")
    bench.cut("b")
    bench.cut("c")
    bench.propose("a", b"x", b"y", b"z")
    assert [owner.term_at(index) for index in (2, 3, 4, 5)] == [2, 2, 2, 2]


def test_what_a_follower_lacks_stays_while_it_is_less_than_a_snapshot() -> None:
    bench = Bench(keep_entries=0)
    owner = bench.elect("a")
    bench.state = b"s" * 40
    owner.compact(2, bench.state)
    bench.cut("c")
    bench.propose("a", b"x", b"y")
    assert owner.first_index == 3
    bench.lost.clear()
    bench.pass_time(RESEND_NS)
    assert (bench["c"].last_index, bench["c"].snapshot_index) == (4, 0)
    bench.propose("a", b"z")
    assert owner.first_index == 6
    bench.cut("c")
    bench.propose("a", b"1", b"2", b"3")
    assert owner.first_index == 9, "what is more than a snapshot is not worth its memory"


def test_a_state_is_asked_for_once_a_follower_is_there_to_take_it() -> None:
    bench = Bench(keep_entries=0)
    owner = bench.elect("a")
    bench.cut("c")
    bench.propose("a", b"x", b"y", b"z")
    for _ in range(4):
        bench.pass_time(RESEND_NS)
    assert owner.first_index == 6
    assert not any(isinstance(message, Install) for _, _, message in bench.sent)
    assert owner.snapshot_index == 0
    bench.lost.clear()
    owner.heard_follower(bench.now_ns, "c", bench.now_ns)
    bench.settle()
    assert (owner.snapshot_index, bench["c"].snapshot_index) == (5, 5)


def test_the_state_of_the_last_snapshot_is_asked_for_again_as_it_is_not_kept() -> None:
    bench = ahead()
    bench.pass_time(RESEND_NS)
    assert bench["c"].snapshot_index == bench["a"].snapshot_index == 12
    written = [record for name, output in bench.outputs if name == "a" for record in output.records]
    assert sum(isinstance(record, Snapshot) for record in written) == 1, "it was on the owner's disk already"
    with pytest.raises(ValueError, match="index"):
        bench["a"].compact(12, bench.state)


def test_a_state_that_was_sent_is_not_kept_for_the_next_who_needs_one() -> None:
    bench = Bench("abcde", "abc", keep_entries=0)
    owner = bench.elect("a")
    bench.propose("a", b"x")
    bench.cut("e")
    assert owner.change(0, "abc", "de")
    bench.settle()
    bench.state = b"written anew"
    bench.lost.clear()
    bench.pass_time(RESEND_NS)
    restored = [(name, output.restored.state) for name, output in bench.outputs if output.restored]
    assert restored == [("d", b"the state of it"), ("e", b"written anew")]


@pytest.mark.parametrize("index", [0, 6, 99])
def test_only_what_was_handed_out_can_be_compacted(index: int) -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.propose("a", b"x", b"y", b"z")
    with pytest.raises(ValueError, match="index"):
        owner.compact(index, b"")


def test_a_snapshot_is_written_after_the_entries_it_stands_for() -> None:
    bench = Bench()
    bench.elect("a")
    bench["b"].heard_owner(0, "a", 2, 2)
    bench.settle()
    bench["b"].receive(0, "a", Append(SHARD, 2, 2, 2, 2, (Entry(3, 2, 1, b"x"),)))
    bench["b"].compact(2, b"state")
    assert [type(record) for record in bench["b"].take(0).records] == [Entries, Snapshot]


@pytest.mark.parametrize("chunk_bytes", [1, 4, 100])
def test_who_is_too_far_behind_gets_the_snapshot_in_pieces_5_3(chunk_bytes: int) -> None:
    bench = ahead(chunk_bytes=chunk_bytes)
    bench.pass_time(RESEND_NS)
    assert bench["c"].snapshot_index == 12
    restored = [output.restored for name, output in bench.outputs if name == "c" and output.restored]
    assert [snapshot.state for snapshot in restored] == [b"the state of it"]
    assert not restored[0].keeps_log
    bench.propose("a", b"more")
    assert bench["c"].last_index == 13
    pieces = [message for _, _, message in bench.sent if isinstance(message, Install)]
    assert len(pieces) == -(-15 // chunk_bytes)


def test_an_empty_state_is_a_snapshot_too() -> None:
    bench = Bench(keep_entries=0)
    bench.state = b""
    bench.elect("a")
    bench.cut("c")
    bench.propose("a", b"x")
    bench["a"].compact(3, bench.state)
    bench.lost.clear()
    bench.pass_time(RESEND_NS)
    assert bench["c"].snapshot_index == 3


def test_lost_pieces_are_sent_again_and_only_they() -> None:
    bench = ahead(chunk_bytes=5)
    bench.drops = lambda message: isinstance(message, Install) and message.offset == 5
    bench.pass_time(RESEND_NS)
    bench.sent.clear()
    bench.drops = lambda message: False
    for _ in range(3):
        bench.pass_time(RESEND_NS)
    assert [m.offset for _, _, m in bench.sent if isinstance(m, Install)] == [5, 10]
    assert bench["c"].snapshot_index == 12


def test_a_follower_that_lost_its_pieces_says_where_to_go_on() -> None:
    bench = ahead(chunk_bytes=5)
    bench.drops = lambda message: isinstance(message, Install) and message.offset == 5
    bench.pass_time(RESEND_NS)
    bench.drops = lambda message: False
    bench.restart("c")
    for _ in range(3):
        bench.pass_time(RESEND_NS)
    assert bench["c"].snapshot_index == 12


def test_an_install_is_answered_at_its_end_once_it_is_on_disk() -> None:
    raft = replica("c")
    flushed(raft)
    raft.receive(0, "a", piece(0, b"abc"))
    raft.receive(0, "a", piece(3, b"def", asked_round=4))
    output = raft.take(0)
    assert output.restored is not None
    assert output.restored.state == b"abcdef"
    assert not output.now
    assert output.held[-1] == ("a", Installed(SHARD, 2, 50, 6, 4))


def test_pieces_of_two_owners_make_no_state() -> None:
    raft = replica("c")
    flushed(raft)
    raft.receive(0, "a", piece(0, b"abc"))
    raft.receive(0, "b", piece(3, b"DEF", term=3))
    assert [m.offset for _, m in of_kind(flushed(raft), Installed)] == [3, 0]
    assert raft.snapshot_index == 0


def test_pieces_of_two_snapshots_make_no_state() -> None:
    raft = replica("c")
    flushed(raft)
    raft.receive(0, "a", piece(0, b"abc"))
    raft.receive(0, "a", piece(3, b"DEF", index=60))
    assert [m.offset for _, m in of_kind(flushed(raft), Installed)] == [3, 0]
    assert raft.snapshot_index == 0


def test_two_snapshots_that_do_not_both_fit_arrive_one_after_the_other() -> None:
    arrivals = Arrivals(10)
    raft = replica("c", arrivals=arrivals)
    flushed(raft)
    assert arrivals.expect(SHARD + 1, 6)
    raft.receive(0, "a", piece(0, b"abcdef"))
    assert of_kind(flushed(raft), Installed) == [("a", Installed(SHARD, 2, 50, 0))]
    assert raft.counters.installs_refused == 1
    arrivals.ended(SHARD + 1)
    raft.receive(0, "a", piece(0, b"abc"))
    assert arrivals.size_bytes == 6
    raft.receive(0, "a", piece(3, b"def"))
    assert raft.take(0).restored is not None
    assert arrivals.size_bytes == 0


def test_what_has_come_of_a_snapshot_takes_no_room_once_its_owner_is_another() -> None:
    arrivals = Arrivals(10)
    raft = replica("c", arrivals=arrivals)
    flushed(raft)
    raft.receive(0, "a", piece(0, b"abc"))
    assert arrivals.size_bytes == 6
    raft.receive(0, "b", Append(SHARD, 3, 0, 0, 0))
    assert arrivals.size_bytes == 0


def test_a_piece_that_comes_twice_is_added_once() -> None:
    raft = replica("c")
    flushed(raft)
    for _ in range(2):
        raft.receive(0, "a", piece(0, b"abc"))
    raft.receive(0, "a", piece(3, b"def"))
    restored = raft.take(0).restored
    assert restored is not None
    assert restored.state == b"abcdef"


def test_a_stale_snapshot_changes_nothing_5_3() -> None:
    bench = Bench()
    bench.elect("a")
    bench.propose("a", b"x", b"y", b"z")
    raft = bench["b"]
    raft.receive(0, "a", piece(0, b"abcdef", index=2))
    output = raft.take(0)
    assert output.restored is None
    assert (raft.last_index, raft.snapshot_index) == (5, 0)
    assert [m.offset for _, m in [*output.now, *output.held] if isinstance(m, Installed)] == [6]


def test_a_snapshot_of_what_is_in_the_log_only_commits_it_5_3() -> None:
    bench = Bench()
    bench.elect("a")
    bench.propose("a", b"x", b"y", b"z")
    raft = bench["b"]
    raft.receive(0, "a", piece(0, b"abcdef", index=4))
    assert (raft.last_index, raft.snapshot_index) == (5, 0)
    assert raft.commit == 4


def test_a_snapshot_takes_the_place_of_what_was_committed_in_the_same_tick() -> None:
    bench = Bench()
    bench.elect("a")
    bench.propose("a", b"x")
    raft = bench["b"]
    raft.receive(0, "a", empty(2, (3, 2), 3))
    raft.receive(0, "a", piece(0, b"abcdef"))
    output = raft.take(0)
    assert output.restored is not None
    assert output.committed == ()


def test_a_configuration_comes_with_the_snapshot_and_over_a_restart() -> None:
    bench = ahead()
    bench.rafts["c"] = replica("c", founders=None)
    bench.pass_time(RESEND_NS)
    assert bench["c"].config == TRIO
    assert bench.restart("c").config == TRIO
    assert bench["c"].commit == 12


def test_a_restart_goes_on_after_the_snapshot() -> None:
    entries = tuple(Entry(index, 2, 1, b"%d" % index) for index in (3, 4, 5, 6))
    snapshot = Snapshot(SHARD, 4, 2, TRIO, b"state")
    raft = replica("b", recovered=Recovered(shard=SHARD, term=2, snapshot=snapshot, entries=entries))
    assert (raft.commit, raft.last_index, raft.is_damaged) == (4, 6, False)
    raft.receive(0, "a", empty(2, (6, 2), 6))
    assert [entry.index for entry in raft.take(0).committed] == [5, 6]


def test_a_larger_state_than_allowed_is_refused() -> None:
    raft = replica("c", most_state_bytes=100)
    raft.receive(0, "a", piece(0, b"x" * 50, size=101))
    raft.receive(0, "a", piece(0, b"x" * 50, size=10))
    assert (raft.counters.installs_refused, raft.counters.malformed) == (1, 1)
    assert raft.take(0).restored is None


def test_an_earlier_replica_of_the_node_has_installed_nothing() -> None:
    bench = Bench("abcd", "abc", keep_entries=0)
    owner = bench.elect("a")
    bench.propose("a", b"x")
    owner.compact(3, b"state")
    bench.drops = lambda message: isinstance(message, Installed)
    assert owner.change(0, "abc", "d")
    bench.settle()
    sent = next(message for _, _, message in bench.sent if isinstance(message, Install))
    owner.receive(0, "d", Installed(SHARD, 2, sent.index, sent.size, sent.round - 1))
    assert owner.progress("d").matched == 0
    owner.receive(0, "d", Installed(SHARD, 2, sent.index, sent.size, sent.round))
    assert owner.progress("d").matched == sent.index


def test_the_answer_of_an_earlier_replica_of_the_node_is_not_believed() -> None:
    bench = Bench("abcd", "abc")
    owner = bench.elect("a")
    for learners in (("d",), (), ("d",)):
        assert owner.change(0, ("a", "b", "c"), learners)
        bench.drops = lambda message: False
        if learners and owner.progress("d").matched:
            break
        bench.settle()
    late = appended(2, owner.last_index)
    owner.change(0, ("a", "b", "c"), ())
    bench.settle()
    bench.cut("d")
    assert owner.change(0, ("a", "b", "c"), ("d",))
    bench.settle()
    owner.receive(0, "d", late)
    owner.receive(0, "d", Installed(SHARD, 2, 1, 0))
    assert owner.progress("d").matched == 0
