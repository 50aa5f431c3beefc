"""All replicas of a node: what leaves when, what a shard at rest costs, what machines are told."""

import random

import msgpack
import pytest
from nodes import BETWEEN_NODES, MS, SECOND, Mesh

from hubless.effects import ToPeer
from hubless.shard.events import Commit, Committed, Owning, ReadReady, Restored
from hubless.shard.output import RaftSettings
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.wire import Limits, Outbox, decode
from hubless.wire.replication import Append, AskVote, Beat, BeatAnswer, Led


def alone(shards: int = 4) -> tuple[Replicas, list]:
    """A founder whose first commit is on disk, and what it did since."""
    replicas = Replicas(
        "n0",
        shards,
        settings=ReplicasSettings.local(),
        rng=random.Random(1),
        now_ns=0,
        is_founder=True,
    )
    out: list = []
    replicas.start(0, out)
    for now_ns in range(4):
        replicas.tick_ended(now_ns, out)
        marks = [effect.mark for effect in out if isinstance(effect, Commit)]
        replicas.flushed(now_ns, marks[-1], out)
    return replicas, out


def test_a_founder_owns_every_shard_after_two_commits():
    replicas, out = alone(shards=64)
    assert replicas.owned() == tuple(range(64))
    assert sum(isinstance(effect, Commit) for effect in out) == 2  # the vote, then the first entry


def test_a_node_that_joins_holds_nothing():
    replicas = Replicas("n1", 64, settings=ReplicasSettings.local(), rng=random.Random(1), now_ns=0)
    out: list = []
    replicas.start(0, out)
    replicas.tick_ended(0, out)
    assert len(replicas) == 0
    assert out == []
    assert replicas.next_deadline_ns() is None
    assert not replicas.propose(0, 3, b"x")
    replicas.read(0, 3, 7, out)
    assert out == [ReadReady(3, 7, is_owner=False)]


def test_proposals_of_a_tick_are_one_commit_for_all_shards():
    replicas, _ = alone()
    for shard in range(4):
        for body in (b"a", b"b"):
            assert replicas.propose(10, shard, body)
    out: list = []
    replicas.tick_ended(10, out)
    assert [type(effect) for effect in out] == [Commit]
    assert len(out[0].records) == 4


def test_nothing_is_committed_before_the_flush():
    replicas, _ = alone()
    replicas.propose(10, 0, b"a")
    out: list = []
    replicas.tick_ended(10, out)
    mark = out[-1].mark
    replicas.tick_ended(11, out)
    assert not any(isinstance(effect, Committed) for effect in out)
    out.clear()
    replicas.flushed(12, mark, out)
    assert [entry.body for entry in out[0].entries] == [b"a"]


def test_a_slow_journal_may_have_several_commits_to_write():
    replicas, _ = alone()
    out: list = []
    for now_ns, body in ((10, b"a"), (11, b"b"), (12, b"c")):
        replicas.propose(now_ns, 0, body)
        replicas.tick_ended(now_ns, out)
    marks = [effect.mark for effect in out]
    assert marks == sorted(set(marks))
    assert replicas.unflushed == 3
    out.clear()
    replicas.flushed(13, marks[1], out)
    assert [entry.body for effect in out for entry in effect.entries] == [b"a", b"b"]
    out.clear()
    replicas.flushed(14, marks[2], out)
    assert [entry.body for effect in out for entry in effect.entries] == [b"c"]
    assert replicas.unflushed == 0


def test_a_flush_that_was_never_asked_for_is_the_callers_mistake():
    replicas, _ = alone()
    with pytest.raises(ValueError, match="mark is 99"):
        replicas.flushed(10, 99, [])


def test_an_owners_entries_leave_at_once_and_a_followers_answer_after_its_flush():
    mesh = settled(2, shards=1)
    owner = mesh.owner(0)
    follower = next(host for host in mesh.hosts.values() if host is not owner)
    out: list = []
    owner.replicas.propose(mesh.now_ns, 0, b"x")
    owner.replicas.tick_ended(mesh.now_ns, out)
    assert [type(effect) for effect in out] == [ToPeer, Commit]
    answer: list = []
    follower.replicas.receive(mesh.now_ns, owner.name, out[0].message, answer)
    follower.replicas.tick_ended(mesh.now_ns, answer)
    assert [type(effect) for effect in answer] == [Commit]
    mark = answer[0].mark
    answer.clear()
    follower.replicas.flushed(mesh.now_ns, mark, answer)
    assert [type(effect.message).__name__ for effect in answer] == ["Appended"]


def settled(size: int, *, shards: int = 8, **options) -> Mesh:
    mesh = Mesh(size, shards=shards, **options)
    mesh.run_until_as_wished()
    mesh.run(SECOND)
    mesh.sent.clear()
    mesh.effects.clear()
    return mesh


def test_an_uncontended_commit_is_one_round_trip_and_one_flush_wait():
    mesh = settled(3, shards=1)
    mesh.latency_ns = (MS, MS)
    start_ns = mesh.now_ns
    assert mesh.propose(0) is not None
    took_ns = mesh.run_until(lambda: bool(mesh.acked[0]))
    assert mesh.now_ns - start_ns == took_ns == 2 * MS + 2 * MS  # there and back, and the disk of a follower
    raft = {kind: count for kind, count in mesh.sent.items() if kind not in ("Beat", "BeatAnswer")}
    assert raft == {"Append": 2, "Appended": 2}
    mesh.run(20 * MS)
    assert mesh.effects["Commit"] == 3


def test_what_all_shards_say_in_a_tick_is_one_frame_to_each_node_and_one_commit():
    mesh = settled(3, shards=64)
    host = mesh.owner(0)
    shards = set(host.owning)
    assert len(shards) > 10
    for shard in shards:
        assert host.replicas.propose(mesh.now_ns, shard, b"x" * 1_000)
    out: list = []
    host.replicas.tick_ended(mesh.now_ns, out)
    assert sum(isinstance(effect, Commit) for effect in out) == 1
    limits = Limits()
    outbox: Outbox[str] = Outbox(mesh=bytes(8), sender=host.name, boot=1, limits=limits)
    for effect in out:
        if isinstance(effect, ToPeer):
            outbox.add(effect.node, effect.message)
    frames = list(outbox.frames())
    assert sorted(to for to, _ in frames) == sorted(set(mesh.hosts) - {host.name})
    for _, frame in frames:
        assert {message.shard for message in decode(frame, limits).messages} == shards


def test_shards_at_rest_cost_beats_and_nothing_else():
    mesh = settled(5, shards=256)
    mesh.run(10 * SECOND)
    between = {kind.__name__ for kind in BETWEEN_NODES}
    assert {kind for kind in mesh.sent if kind not in between} == set()
    beats = mesh.sent["Beat"]
    assert beats <= 5 * 4 * 100 + 20
    assert mesh.sent["BeatAnswer"] <= beats
    assert set(mesh.sent) == {"Beat", "BeatAnswer"}
    assert mesh.effects["Commit"] == 0


def test_a_beat_that_an_earlier_process_sent_is_not_answered_for_this_one():
    mesh = settled(2, shards=4)
    name = next(name for name, host in mesh.hosts.items() if host.owning)
    replicas = mesh.running(name)
    before = replicas.counters.late
    other = "n1" if name == "n0" else "n0"
    replicas.receive(mesh.now_ns, other, BeatAnswer(1), [])
    assert replicas.counters.late == before + 1


def test_messages_of_shards_that_the_mesh_does_not_have_are_dropped_and_counted():
    replicas, _ = alone(shards=4)
    out: list = []
    replicas.receive(10, "n9", Append(4, 9, 0, 0, 0), out)
    assert replicas.counters.foreign == 1
    replicas.receive(10, "n9", AskVote(77, 9, 0, 0), out)
    assert replicas.counters.strayed == 1
    replicas.tick_ended(10, out)
    assert len(replicas) == 4
    assert out == []


def test_a_beat_of_shards_without_a_replica_here_is_refused_and_makes_none():
    replicas = Replicas("n1", 4, settings=ReplicasSettings.local(), rng=random.Random(1), now_ns=0)
    out: list = []
    replicas.receive(10, "n0", Beat(5, (Led(2, 3, 1), Led(200, 3, 1))), out)
    assert out == [ToPeer("n0", BeatAnswer(5, (Led(2, 0, 0), Led(200, 0, 0))))]
    assert len(replicas) == 0


def test_a_beat_with_a_later_term_is_refused_to_an_outdated_owner_which_steps_down():
    mesh = settled(3, shards=1)
    owner = mesh.owner(0)
    term = mesh.row(0).term
    mesh.cut = {(owner.name, name) for name in mesh.hosts} | {(name, owner.name) for name in mesh.hosts}
    mesh.run_until(lambda: mesh.owner(0) is not owner, 5 * SECOND)
    mesh.cut.clear()
    mesh.run(500 * MS)
    assert 0 not in owner.owning
    assert mesh.row(0).term > term


def test_reads_wait_for_what_was_committed_before_them():
    mesh = settled(3, shards=1)
    owner = mesh.owner(0)
    body = mesh.propose(0)
    mesh.read(owner.name, 0, 41)
    mesh.run_until(lambda: bool(owner.reads))
    assert owner.reads == [ReadReady(0, 41, is_owner=True)]
    mesh.run(50 * MS)
    mesh.read(owner.name, 0, 42)
    mesh.run_until(lambda: len(owner.reads) == 2)
    assert body in owner.machines[0]


def test_a_read_at_an_owner_without_a_quorum_is_not_answered_as_fresh():
    mesh = settled(3, shards=1)
    owner = mesh.owner(0)
    mesh.part([owner.name], [name for name in mesh.hosts if name != owner.name])
    mesh.read(owner.name, 0, 43)
    mesh.run_until(lambda: bool(owner.reads), 5 * SECOND)
    assert owner.reads == [ReadReady(0, 43, is_owner=False)]


def test_too_many_reads_are_refused_and_counted():
    settings = ReplicasSettings(most_reads=2, beat_ns=100 * MS)
    mesh = settled(3, shards=1, settings=settings)
    owner = mesh.owner(0)
    for ticket in range(3):
        mesh.read(owner.name, 0, ticket)
    mesh.run(100 * MS)
    assert {read.ticket: read.is_owner for read in owner.reads} == {0: True, 1: True, 2: False}
    assert owner.replicas.counters.reads_refused == 1


def test_large_logs_ask_to_be_compacted_and_the_rest_of_the_mesh_gets_the_state():
    settings = ReplicasSettings(
        beat_ns=100 * MS,
        compact_bytes=2_000,
        most_compactions=1,
        raft=RaftSettings(resend_ns=200 * MS, keep_entries=2, chunk_bytes=700),
    )
    mesh = settled(3, shards=2, settings=settings)
    for _ in range(40):
        for shard in range(2):
            assert mesh.propose(shard, size=200) is not None
        mesh.run(20 * MS)
    assert all(mesh.row(shard).snapshot_index > 0 for shard in range(2))
    mesh.join("n3")
    mesh.join("n4")
    mesh.run_until_as_wished()
    mesh.run(200 * MS)
    for shard in range(2):
        for name in mesh.preference(shard):
            assert mesh.hosts[name].machines[shard] == mesh.owner(shard).machines[shard]
            assert len(mesh.hosts[name].machines[shard]) == 40
    assert mesh.effects["Restored"] > 0


def test_who_was_away_gets_states_that_are_made_for_it_though_no_log_is_large():
    settings = ReplicasSettings(
        beat_ns=100 * MS, most_compactions=1, raft=RaftSettings(resend_ns=200 * MS, keep_entries=2)
    )
    mesh = settled(3, shards=4, settings=settings)
    mesh.crash("n2")
    mesh.run_until(mesh.all_owned)
    before = [mesh.row(shard).snapshot_index for shard in range(4)]
    for _ in range(20):
        for shard in range(4):
            assert mesh.propose(shard, size=20) is not None
        mesh.run(20 * MS)
    assert [mesh.row(shard).snapshot_index for shard in range(4)] == before, "none is made for who is away"
    mesh.restart("n2")
    mesh.run_until_as_wished()
    mesh.run(500 * MS)
    assert all(mesh.row(shard).snapshot_index > before[shard] for shard in range(4))
    assert [len(mesh.hosts["n2"].machines[shard]) for shard in range(4)] == [20] * 4
    assert mesh.lost() == []


def test_everything_is_back_after_all_nodes_were_killed_at_once():
    settings = ReplicasSettings(
        beat_ns=100 * MS, compact_bytes=1_000, raft=RaftSettings(resend_ns=200 * MS, keep_entries=2)
    )
    mesh = settled(3, shards=4, settings=settings)
    for number in range(60):
        mesh.propose(number % 4, size=50)
        mesh.run(3 * MS)
    acknowledged = sum(len(bodies) for bodies in mesh.acked.values())
    assert acknowledged > 30
    for name in mesh.hosts:
        mesh.crash(name)
    for host in mesh.hosts.values():
        host.owning.clear()
    mesh.run(SECOND)
    for name in mesh.hosts:
        mesh.restart(name)
    took_ns = mesh.run_until(mesh.all_owned)
    assert took_ns < SECOND
    mesh.run(100 * MS)
    assert mesh.lost() == []


def test_a_recovered_snapshot_is_told_before_the_entries_after_it():
    settings = ReplicasSettings(
        beat_ns=100 * MS, compact_bytes=1_000, raft=RaftSettings(resend_ns=200 * MS, keep_entries=2)
    )
    mesh = settled(1, shards=1, settings=settings)
    for _ in range(9):
        mesh.propose(0, size=200)
        mesh.run(20 * MS)
    recovered = mesh.hosts["n0"].disk.recovered()
    replicas = Replicas(
        "n0", 1, settings=settings, rng=random.Random(2), now_ns=0, recovered=recovered, is_founder=True
    )
    out: list = []
    replicas.start(0, out)
    assert [type(effect) for effect in out] == [Restored]
    bodies = msgpack.unpackb(out[0].state)
    assert bodies
    for now_ns in range(4):
        replicas.tick_ended(now_ns, out)
        marks = [effect.mark for effect in out if isinstance(effect, Commit)]
        replicas.flushed(now_ns, marks[-1], out)
    for effect in out:
        if isinstance(effect, Committed):
            bodies += [entry.body for entry in effect.entries if entry.kind == 1]
    assert len(bodies) == 9
    kinds = [type(effect) for effect in out if not isinstance(effect, Commit | ToPeer)]
    assert kinds.index(Restored) < kinds.index(Committed) < kinds.index(Owning)


def test_a_founder_that_was_restarted_founds_nothing_again():
    mesh = settled(1, shards=3)
    recovered = mesh.hosts["n0"].disk.recovered()
    again = Replicas(
        "n0",
        3,
        settings=mesh.settings,
        rng=random.Random(2),
        now_ns=0,
        recovered=recovered[:2],
        is_founder=False,
    )
    assert [row.last_index for row in again.rows()] == [2, 2]


def test_the_settings_keep_ten_beats_to_an_election():
    for preset in (ReplicasSettings.local(), ReplicasSettings.lan(), ReplicasSettings.wan()):
        assert preset.raft.election_ns >= 10 * preset.beat_ns
    with pytest.raises(ValueError, match="ten beats"):
        ReplicasSettings(beat_ns=300 * MS)
    with pytest.raises(ValueError, match="beat_ns is 0"):
        ReplicasSettings(beat_ns=0)
    assert ReplicasSettings.of("wan") == ReplicasSettings.wan()
