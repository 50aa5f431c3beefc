"""Elections, sentence by sentence (dissertation, 3.3, 3.4, 3.6.1, 4.2.3, 6.2, 9.6)."""

import pytest
from replicas_bench import ELECTION_NS, MS, SHARD, Bench, ask, empty, flushed, of_kind, replica

from hubless.shard.raft import Raft, Role
from hubless.shard.records import HardState, Recovered
from hubless.wire.replication import Append, Appended, AskVote, Entry, TimeoutNow, Vote


def votes(raft: Raft, now_ns: int = 0) -> list[Vote]:
    return [message for _, message in flushed(raft, now_ns) if isinstance(message, Vote)]


def test_replicas_start_as_followers_3_3() -> None:
    assert replica("a").role is Role.FOLLOWER


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.TRIAL, Role.CANDIDATE, Role.OWNER])
def test_a_later_term_makes_a_follower_of_anybody_3_3(role: Role) -> None:
    bench = Bench()
    raft = bench["a"]
    if role is Role.OWNER:
        bench.elect("a")
    elif role is not Role.FOLLOWER:
        raft.campaign(0)
        if role is Role.CANDIDATE:
            raft.receive(0, "b", Vote(SHARD, raft.term + 1, True, True))
    assert raft.role is role
    raft.receive(0, "c", empty(9))
    assert (raft.role, raft.term, raft.owner) == (Role.FOLLOWER, 9, "c")


def test_a_message_of_an_earlier_term_is_refused_and_told_the_later_3_3() -> None:
    raft = replica("a", recovered=Recovered(shard=SHARD, term=5))
    raft.receive(0, "b", empty(4))
    assert raft.owner is None
    assert [(to, message.term, message.refused) for to, message in flushed(raft)] == [("b", 5, True)]


def test_silence_for_an_election_timeout_starts_a_trial_3_4_9_6() -> None:
    raft = replica("a")
    flushed(raft)
    due_ns = raft.next_deadline_ns()
    assert due_ns is not None
    assert ELECTION_NS <= due_ns < 2 * ELECTION_NS
    raft.tick(due_ns - 1)
    assert raft.role is Role.FOLLOWER
    raft.tick(due_ns)
    assert (raft.role, raft.term) == (Role.TRIAL, 1)
    assert flushed(raft) == [(to, ask(2, trial=True)) for to in "bc"]


def test_timeouts_are_drawn_anew_each_time_3_4() -> None:
    raft = replica("a")
    waits = set()
    now_ns = 0
    for _ in range(10):
        due_ns = raft.next_deadline_ns()
        assert due_ns is not None
        waits.add(due_ns - now_ns)
        now_ns = due_ns
        raft.tick(now_ns)
    assert len(waits) == 10


def test_a_won_trial_enters_the_term_and_votes_for_itself_3_4() -> None:
    raft = replica("a")
    raft.campaign(0)
    flushed(raft)
    raft.receive(0, "b", Vote(SHARD, 2, True, True))
    output = raft.take(0)
    assert output.records == [HardState(SHARD, 2, "a")]
    assert not output.now, "no vote is asked for before the own one is on disk"
    assert output.held == [(to, ask(2)) for to in "bc"]


@pytest.mark.parametrize(
    ("granted", "refused", "role"),
    [
        ("", "", Role.CANDIDATE),
        ("b", "", Role.CANDIDATE),
        ("bc", "", Role.OWNER),
        ("bcde", "", Role.OWNER),
        ("b", "cd", Role.CANDIDATE),
        ("", "cde", Role.FOLLOWER),
        ("b", "cde", Role.FOLLOWER),
    ],
)
def test_a_majority_elects_and_a_majority_refuses_3_4(granted: str, refused: str, role: Role) -> None:
    raft = replica("a", founders=tuple("abcde"))
    raft.campaign(0)
    for node in "bc":
        raft.receive(0, node, Vote(SHARD, 2, True, True))
    flushed(raft)
    for node in granted:
        raft.receive(0, node, Vote(SHARD, 2, True))
    for node in refused:
        raft.receive(0, node, Vote(SHARD, 2, False))
    assert raft.role is role


def test_a_vote_counts_once_however_often_it_arrives_3_4() -> None:
    raft = replica("a", founders=tuple("abcde"))
    raft.campaign(0)
    for node in "bc":
        raft.receive(0, node, Vote(SHARD, 2, True, True))
    flushed(raft)
    for _ in range(3):
        raft.receive(0, "b", Vote(SHARD, 2, True))
    raft.receive(0, "x", Vote(SHARD, 2, True))
    assert raft.role is Role.CANDIDATE


def test_the_own_vote_counts_only_once_it_is_on_disk_3_8() -> None:
    raft = replica("a", founders=("a",))
    raft.campaign(0)
    output = raft.take(0)
    assert raft.role is Role.CANDIDATE
    raft.flushed(0, output.flush)
    assert raft.role is Role.OWNER


def test_one_vote_a_term_first_come_first_served_3_4() -> None:
    raft = replica("a")
    raft.receive(0, "b", ask(2))
    raft.receive(0, "c", ask(2))
    raft.receive(0, "b", ask(2))
    assert [vote.granted for vote in votes(raft)] == [True, False, True]


def test_a_vote_leaves_once_it_is_on_disk_3_8() -> None:
    raft = replica("a")
    flushed(raft)
    raft.receive(0, "b", ask(2))
    output = raft.take(0)
    assert output.records == [HardState(SHARD, 2, "b")]
    assert not output.now
    assert output.held == [("b", Vote(SHARD, 2, True))]


def test_a_vote_is_remembered_over_a_restart_3_8() -> None:
    bench = Bench()
    bench["a"].receive(0, "b", ask(2))
    bench.settle()
    raft = bench.restart("a")
    raft.receive(0, "c", ask(2))
    assert [vote.granted for vote in votes(raft)] == [False]


@pytest.mark.parametrize("is_trial", [True, False])
@pytest.mark.parametrize(
    ("last_index", "last_term", "is_granted"),
    [(2, 2, True), (3, 2, True), (1, 3, True), (1, 2, False), (9, 1, False)],
)
def test_only_a_log_that_is_up_to_date_gets_a_vote_3_6_1(
    last_index: int, last_term: int, is_granted: bool, is_trial: bool
) -> None:
    entries = (Entry(1, 1, 0, b""), Entry(2, 2, 0, b""))
    raft = replica("a", recovered=Recovered(shard=SHARD, term=2, entries=entries))
    raft.receive(0, "b", ask(4, last_index, last_term, trial=is_trial))
    assert [vote.granted for vote in votes(raft)] == [is_granted]


def test_a_trial_changes_nothing_at_those_who_are_asked_9_6() -> None:
    raft = replica("a")
    flushed(raft)
    due_ns = raft.next_deadline_ns()
    raft.receive(0, "b", ask(7, trial=True))
    assert (raft.term, raft.next_deadline_ns()) == (1, due_ns)
    output = raft.take(0)
    assert not output.records
    assert output.now == [("b", Vote(SHARD, 7, True, True))]


def test_who_hears_an_owner_refuses_trials_and_ignores_candidates_4_2_3_9_6() -> None:
    bench = Bench()
    bench.elect("a")
    raft = bench["b"]
    now_ns = ELECTION_NS - 1
    raft.receive(now_ns, "c", ask(3, 9, 9, trial=True))
    assert [vote.granted for vote in votes(raft)] == [False]
    raft.receive(now_ns, "c", ask(3, 9, 9))
    assert (raft.term, votes(raft)) == (2, [])
    raft.receive(ELECTION_NS, "c", ask(3, 9, 9, trial=True))
    assert [vote.granted for vote in votes(raft)] == [True]


def test_an_owner_is_not_disturbed_by_candidates_4_2_3() -> None:
    owner = Bench().elect("a")
    owner.receive(0, "c", ask(3, 9, 9))
    owner.receive(0, "c", ask(3, 9, 9, trial=True))
    assert (owner.role, owner.term) == (Role.OWNER, 2)


def test_a_trial_refused_for_an_owners_sake_is_granted_once_it_is_doubted() -> None:
    bench = Bench()
    bench.elect("a")
    raft = bench["b"]
    raft.receive(0, "c", ask(3, 9, 9, trial=True))
    assert [vote.granted for vote in votes(raft)] == [False]
    raft.doubt_owner(10 * MS, True)
    assert [(vote.granted, vote.term) for vote in votes(raft)] == [(True, 3)]
    raft.doubt_owner(11 * MS, True)
    assert not votes(raft), "answered once"


def test_the_candidate_takes_a_refusal_that_is_taken_back() -> None:
    bench = Bench()
    bench.elect("a")
    bench.cut("a")
    bench["c"].campaign(0)
    bench.settle()
    assert bench["c"].role is Role.TRIAL
    bench["b"].doubt_owner(0, True)
    bench.settle()
    assert bench["c"].role is Role.OWNER


def test_a_refusal_that_was_overtaken_takes_no_grant_back() -> None:
    raft = replica("a", founders=tuple("abcde"))
    raft.campaign(0)
    raft.receive(0, "b", Vote(SHARD, 2, True, True))
    raft.receive(0, "b", Vote(SHARD, 1, False, True))
    raft.receive(0, "c", Vote(SHARD, 2, True, True))
    assert raft.role is Role.CANDIDATE


def test_a_grant_of_another_trial_does_not_count_9_6() -> None:
    raft = replica("a", recovered=Bench().disks["a"].recovered())
    raft.campaign(0)
    for term in (1, 3):
        raft.receive(0, "b", Vote(SHARD, term, True, True))
    assert raft.role is Role.TRIAL


def test_a_doubt_is_about_one_owner() -> None:
    bench = Bench()
    bench.elect("a")
    raft = bench["b"]
    raft.doubt_owner(0, True)
    raft.receive(0, "c", empty(3))
    raft.receive(0, "a", ask(4, 9, 9, trial=True))
    assert [vote.granted for vote in votes(raft)] == [False]


def test_a_candidate_whose_term_is_behind_asks_again_at_once_9_6() -> None:
    raft = replica("a")
    raft.campaign(0)
    flushed(raft)
    raft.receive(0, "b", Vote(SHARD, 6, False, True))
    assert raft.role is Role.TRIAL
    assert [message.term for _, message in of_kind(flushed(raft), AskVote)] == [7, 7]


def test_a_candidate_that_hears_an_owner_of_its_term_follows_3_4() -> None:
    raft = replica("a")
    raft.campaign(0)
    raft.receive(0, "b", Vote(SHARD, 2, True, True))
    raft.receive(0, "c", empty(2))
    assert (raft.role, raft.owner, raft.term) == (Role.FOLLOWER, "c", 2)


def test_an_owner_that_no_quorum_answers_gives_up_within_two_timeouts_6_2() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("a")
    for _ in range(20):
        bench.now_ns += ELECTION_NS // 10
        owner.tick(bench.now_ns)
    assert (owner.role, owner.term, owner.owner) == (Role.FOLLOWER, 2, None)


@pytest.mark.parametrize(("answering", "role"), [("", Role.FOLLOWER), ("b", Role.OWNER)])
def test_answers_to_beats_keep_an_owner_6_2(answering: str, role: Role) -> None:
    bench = Bench()
    owner = bench.elect("a")
    for step in range(1, 30):
        now_ns = step * ELECTION_NS // 10
        for node in answering:
            owner.heard_follower(now_ns, node, now_ns)
        owner.tick(now_ns)
    assert owner.role is role


@pytest.mark.parametrize(("answering", "role"), [("b", Role.FOLLOWER), ("bc", Role.OWNER)])
def test_an_owner_whose_disk_does_not_answer_is_kept_by_others_alone(answering: str, role: Role) -> None:
    bench = Bench()
    owner = bench.elect("a")
    owner.propose(0, b"never written")
    for step in range(1, 30):
        now_ns = step * ELECTION_NS // 10
        for node in answering:
            owner.heard_follower(now_ns, node, now_ns)
        owner.tick(now_ns)
    assert owner.role is role


def test_answers_to_beats_of_an_earlier_reign_keep_nobody_6_2() -> None:
    bench = Bench()
    bench.now_ns = 5 * ELECTION_NS
    owner = bench.elect("a")
    for step in range(1, 30):
        now_ns = bench.now_ns + step * ELECTION_NS // 10
        owner.heard_follower(now_ns, "b", bench.now_ns - 1)
        owner.tick(now_ns)
    assert owner.role is Role.FOLLOWER


def test_a_beat_keeps_a_follower_waiting() -> None:
    bench = Bench()
    bench.elect("a")
    raft = bench["b"]
    for step in range(1, 40):
        now_ns = step * ELECTION_NS // 2
        assert raft.heard_owner(now_ns, "a", 2, 2)
        raft.tick(now_ns)
    assert raft.role is Role.FOLLOWER
    assert raft.commit == 2


def test_a_beat_of_an_earlier_term_is_refused_and_of_a_later_followed() -> None:
    raft = replica("a", recovered=Recovered(shard=SHARD, term=5))
    assert not raft.heard_owner(0, "b", 4, 0)
    assert raft.heard_owner(0, "c", 6, 0)
    assert (raft.term, raft.owner) == (6, "c")
    raft.saw_term(0, 8)
    assert (raft.term, raft.owner) == (8, None)


def test_those_without_a_vote_wait_for_ever() -> None:
    learner = replica("d", founders=None)
    assert learner.next_deadline_ns() is None
    learner.tick(99 * ELECTION_NS)
    learner.campaign(99 * ELECTION_NS)
    assert (learner.role, learner.is_dirty) == (Role.FOLLOWER, False)


def test_a_founder_whose_replica_was_forgotten_founds_nothing() -> None:
    raft = replica("a", founders=("a",), recovered=Recovered(shard=SHARD, term=4))
    assert (raft.last_index, raft.is_voter) == (0, False)


def test_a_damaged_replica_takes_part_in_nothing() -> None:
    raft = replica("a", recovered=Recovered(shard=SHARD, term=3, damage="checksum of entry 9"))
    assert raft.is_damaged
    raft.receive(0, "b", ask(9, 9, 9))
    raft.receive(0, "b", ask(9, 9, 9, trial=True))
    raft.receive(0, "b", empty(9))
    raft.receive(0, "b", TimeoutNow(SHARD, 3))
    raft.campaign(0)
    raft.tick(99 * ELECTION_NS)
    assert not raft.heard_owner(0, "b", 9, 0)
    assert raft.next_deadline_ns() is None
    assert flushed(raft) == []
    assert raft.damage == "checksum of entry 9"


def test_an_owner_whose_journal_fails_is_none() -> None:
    owner = Bench().elect("a")
    owner.read(0, 1)
    owner.fail(0, "the disk is gone")
    assert owner.propose(0, b"x") is None
    assert owner.take(0).reads == [(1, None)]
    owner.receive(0, "b", Appended(SHARD, 2, 2))
    assert owner.role is Role.FOLLOWER


@pytest.mark.parametrize(
    "entries",
    [
        (Entry(2, 1, 0, b""),),
        (Entry(1, 2, 0, b""), Entry(2, 1, 0, b"")),
        (Entry(1, 1, 2, b"no configuration"),),
    ],
)
def test_a_log_that_does_not_hold_together_is_damage(entries: tuple[Entry, ...]) -> None:
    assert replica("a", recovered=Recovered(shard=SHARD, term=2, entries=entries)).is_damaged


def test_appends_that_no_correct_owner_sends_are_dropped_and_counted() -> None:
    raft = replica("a")
    flushed(raft)
    raft.receive(0, "b", Append(SHARD, 2, 1, 1, 0, (Entry(5, 2, 1, b""),)))
    raft.receive(0, "b", Append(SHARD, 2, 1, 1, 0, (Entry(2, 3, 1, b""),)))
    raft.receive(0, "b", Append(SHARD, 2, 1, 1, 0, (Entry(2, 2, 2, b"\xff"),)))
    assert raft.counters.malformed == 3
    assert raft.last_index == 1
