"""Changes of the configuration: joint consensus, learners, owners that leave (dissertation, 4.1 to 4.3)."""

import pytest
from replicas_bench import ELECTION_NS, SHARD, Bench, appended, ask, empty, flushed, replica

from hubless.shard.configs import encode
from hubless.shard.raft import Role
from hubless.shard.records import Entries, Forget, HardState, Recovered, Snapshot
from hubless.wire.replication import Append, Config, Entry, Vote


def grown(learners: str = "d") -> Bench:
    """Three voters, and learners that have caught up."""
    bench = Bench("abcde", "abc")
    bench.elect("a")
    assert bench["a"].change(0, "abc", learners)
    bench.settle()
    bench.propose("a", b"x")
    return bench


def test_a_founder_begins_alone_and_owns_at_once() -> None:
    bench = Bench("a", "a")
    bench["a"].tick(2 * ELECTION_NS)
    bench.settle()
    assert bench["a"].is_ready
    assert bench["a"].config == Config(("a",))
    assert bench["a"].next_deadline_ns() is None


def test_learners_come_and_go_in_one_step_4_2_1() -> None:
    bench = grown("de")
    assert bench["a"].config == Config(("a", "b", "c"), (), ("d", "e"))
    assert bench["d"].last_index == bench["a"].last_index
    assert not bench["d"].is_voter
    assert bench["a"].change(0, "abc", "")
    bench.settle()
    assert bench["a"].config == Config(("a", "b", "c"))


def test_a_snapshot_at_a_configuration_has_that_one() -> None:
    bench = Bench("abcd", "abc")
    owner = bench.elect("a")
    assert owner.change(0, "abc", "d")
    index = owner.last_index
    bench.settle()
    owner.compact(index, b"state")
    assert [record.config for record in owner.take(0).records if isinstance(record, Snapshot)] == [
        owner.config
    ]
    assert owner.config.learners == ("d",)


def test_voters_change_through_the_joint_configuration_4_3() -> None:
    bench = grown()
    bench.outputs.clear()
    assert bench["a"].change(0, "abd", "")
    assert bench["a"].config == Config(("a", "b", "d"), ("a", "b", "c"))
    assert bench["a"].is_changing
    bench.settle()
    assert bench["a"].config == Config(("a", "b", "d"))
    assert not bench["a"].is_changing
    kinds = [entry.kind for name, output in bench.outputs if name == "a" for entry in output.committed]
    assert kinds == [2, 2]


@pytest.mark.parametrize(
    ("cut", "is_committed"), [("", True), ("b", True), ("bc", False), ("de", False), ("bd", True)]
)
def test_a_joint_decision_takes_both_majorities_4_3(cut: str, is_committed: bool) -> None:
    bench = grown("de")
    for name in cut:
        bench.cut(name)
    assert bench["a"].change(0, "ade", "")
    bench.settle()
    assert (bench["a"].config == Config(("a", "d", "e"))) is is_committed


def test_the_joint_configuration_is_left_only_once_it_is_committed_4_3() -> None:
    bench = grown()
    bench.drops = lambda message: isinstance(message, Append)
    assert bench["a"].change(0, "abd", "")
    bench.settle()
    assert bench["a"].config.outgoing == ("a", "b", "c")


def test_a_new_owner_leaves_what_the_old_one_entered_4_3() -> None:
    bench = grown()
    bench["a"].change(0, "abd", "")
    for to, message in bench["a"].take(0).now:
        bench[to].receive(0, "a", message)
    bench.cut("a")
    bench.elect("b")
    assert bench["b"].config == Config(("a", "b", "d"))


def test_what_an_owner_could_not_commit_counts_no_more_4_1() -> None:
    bench = grown()
    bench.cut("a")
    bench["a"].change(0, "abd", "")
    bench.settle()
    assert bench["a"].config.outgoing
    bench.elect("b")
    bench.lost.clear()
    bench.propose("b", b"y")
    for _ in range(3):
        bench.pass_time(ELECTION_NS // 4)
    assert bench["a"].config == Config(("a", "b", "c"), (), ("d",))


def test_one_change_at_a_time_4_3() -> None:
    bench = grown()
    assert bench["a"].change(0, "abd", "")
    assert not bench["a"].change(0, "abc", "")
    assert not bench["b"].change(0, "abd", "")
    bench.settle()
    assert bench["a"].change(0, "ab", "")


def test_a_change_of_learners_is_a_change_too_4_3() -> None:
    bench = grown()
    bench.drops = lambda message: isinstance(message, Append)
    assert bench["a"].change(0, "abc", "de")
    assert not bench["a"].change(0, "abc", "e")


def test_an_owner_that_knows_older_commits_only_changes_nothing() -> None:
    bench = grown()
    bench["b"].heard_owner(0, "a", 2, bench["a"].commit)
    bench.drops = lambda message: isinstance(message, Append)
    bench.elect("b")
    assert not bench["b"].is_ready
    assert bench["b"].is_config_committed
    assert not bench["b"].change(0, "abc", "")


def test_an_owner_that_is_not_ready_changes_nothing() -> None:
    bench = Bench()
    bench.drops = lambda message: isinstance(message, Append)
    bench["a"].campaign(0)
    bench.settle()
    assert bench["a"].role is Role.OWNER
    assert not bench["a"].change(0, "abc", "d")


@pytest.mark.parametrize(("voters", "learners"), [("abc", "d"), ("", "d"), ("abce", ""), ("abcz", "")])
def test_changes_that_make_no_sense_are_refused(voters: str, learners: str) -> None:
    assert not grown()["a"].change(0, voters, learners)


def test_a_learner_that_is_behind_does_not_become_a_voter_4_2_1() -> None:
    bench = Bench("abcd", "abc", most_append_entries=2)
    bench.elect("a")
    bench.cut("d")
    bench["a"].change(0, "abc", "d")
    bench.propose("a", b"1", b"2", b"3")
    assert not bench["a"].progress("d").is_caught_up
    assert not bench["a"].change(0, "abcd", "")
    bench.lost.clear()
    for _ in range(8):
        bench.pass_time(ELECTION_NS // 5)
        bench["a"].heard_follower(bench.now_ns, "b", bench.now_ns)
    assert bench["a"].change(bench.now_ns, "abcd", "")


def test_a_learner_does_not_count_for_commits_4_2_1() -> None:
    bench = grown("de")
    for name in "bc":
        bench.cut(name)
    before = bench["a"].commit
    bench.propose("a", b"y")
    assert bench["d"].last_index == bench["a"].last_index
    assert bench["a"].commit == before


def test_the_vote_of_a_learner_elects_nobody_4_2_1() -> None:
    bench = grown("de")
    raft = bench["b"]
    raft.campaign(0)
    for node in "de":
        raft.receive(0, node, Vote(SHARD, 3, True, True))
    assert raft.role is Role.TRIAL


def test_a_learner_votes_when_asked_for_it_may_be_a_voter_unknowingly_4_2() -> None:
    bench = grown()
    raft = bench["d"]
    raft.doubt_owner(0, True)
    raft.receive(0, "b", ask(3, 99, 2))
    assert ("b", Vote(SHARD, 3, True)) in flushed(raft)


def test_an_owner_that_leaves_hands_over_once_the_new_configuration_is_committed_4_2_2() -> None:
    bench = grown()
    assert bench["a"].change(0, "bcd", "")
    bench.settle()
    assert bench["a"].role is Role.FOLLOWER
    assert not bench["a"].is_voter
    new = [raft for raft in bench.rafts.values() if raft.role is Role.OWNER]
    assert [raft.config for raft in new] == [Config(("b", "c", "d"))]


def test_an_owner_that_leaves_does_not_count_itself_4_2_2() -> None:
    bench = grown()
    bench.drops = lambda message: isinstance(message, Append)
    bench["a"].change(0, "bcd", "")
    bench.settle()
    joint = bench["a"].last_index
    for node in "bcd":
        bench["a"].receive(0, node, appended(2, joint, 9))
    bench.settle()
    assert bench["a"].last_index == joint + 1
    bench["a"].receive(0, "b", appended(2, joint + 1, 9))
    assert bench["a"].commit == joint
    bench["a"].receive(0, "c", appended(2, joint + 1, 9))
    assert bench["a"].commit == joint + 1


def test_a_leaving_voter_campaigns_until_its_leaving_is_committed_4_2_2() -> None:
    """It may be the only one that has the entry, and those who stay may not be elected without it."""
    steps = [Config(("b",), ("a", "b", "c")), Config(("b",))]
    entries = tuple(Entry(index, 1, 2, encode(config)) for index, config in enumerate(steps, 1))
    raft = replica("c", founders=None, recovered=Recovered(shard=SHARD, term=1, entries=entries))
    assert not raft.is_voter
    assert raft.next_deadline_ns() is not None
    raft.campaign(0)
    assert flushed(raft) == [("b", ask(2, 2, 1, trial=True))]
    raft.receive(0, "b", empty(2, (2, 1), 2))
    assert raft.commit == 2
    assert raft.next_deadline_ns() is None


def test_a_removed_replica_disturbs_nobody_9_6() -> None:
    bench = grown()
    bench.cut("c")
    assert bench["a"].change(0, "abd", "")
    bench.settle()
    bench.lost.clear()
    bench["c"].campaign(0)
    bench.settle()
    bench["c"].receive(0, "b", Vote(SHARD, 3, True, True))
    bench.settle()
    assert (bench["a"].role, bench["a"].term) == (Role.OWNER, 2)


def test_a_forgotten_replicas_log_goes_on_counting_in_the_votes_of_its_node() -> None:
    bench = grown()
    raft = bench["b"]
    records = raft.forgotten()
    assert records == [HardState(SHARD, 2, "a", raft.last_index, 2), Forget(SHARD)]
    bench.disks["b"].write(records)
    again = bench.restart("b")
    assert (again.last_index, again.is_voter) == (0, False)
    again.receive(0, "c", ask(5, raft.last_index - 1, 2))
    again.receive(0, "c", ask(6, raft.last_index, 2))
    assert [m.granted for _, m in flushed(again) if isinstance(m, Vote)] == [False, True]


def test_a_replica_does_not_campaign_with_less_than_its_node_once_had() -> None:
    config = replica("a").take(0).records[-1]
    assert isinstance(config, Entries)
    behind = Recovered(shard=SHARD, term=3, entries=config.entries, floor_index=5, floor_term=2)
    raft = replica("a", recovered=behind)
    raft.campaign(0)
    assert raft.role is Role.FOLLOWER
    assert raft.next_deadline_ns() is None
