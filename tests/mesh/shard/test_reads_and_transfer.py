"""Linearizable reads (dissertation, 6.4) and transfers of a shard to another owner (3.10)."""

import pytest
from replicas_bench import ELECTION_NS, MS, RESEND_NS, SHARD, Bench, appended, ask, flushed, of_kind

from hubless.shard.raft import Role
from hubless.wire.replication import Append, Appended, AskVote, TimeoutNow


def answers(bench: Bench, name: str = "a") -> list[tuple[int, int | None]]:
    return [read for at, output in bench.outputs if at == name for read in output.reads]


def test_a_read_waits_for_a_round_of_asking_6_4() -> None:
    bench = Bench()
    owner = bench.elect("a")
    owner.read(0, 7)
    output = owner.take(0)
    assert output.reads == []
    rounds = {message.round for _, message in output.now}
    assert len(rounds) == 1
    owner.receive(0, "b", appended(2, 0, rounds.pop()))
    assert owner.take(0).reads == [(7, owner.commit)]


def test_an_answer_to_what_was_sent_before_confirms_nothing_6_4() -> None:
    bench = Bench()
    owner = bench.elect("a")
    owner.propose(0, b"x")
    earlier = owner.take(0).now[0][1].round
    owner.read(0, 7)
    owner.take(0)
    owner.receive(0, "b", appended(2, 3, earlier))
    assert owner.take(0).reads == []


def test_reads_of_a_tick_share_a_round_6_4() -> None:
    bench = Bench()
    owner = bench.elect("a")
    for ticket in range(9):
        owner.read(0, ticket)
    bench.settle()
    assert answers(bench) == [(ticket, owner.commit) for ticket in range(9)]
    assert len([m for _, _, m in bench.sent if isinstance(m, Append)]) == 2


def test_a_refusal_is_an_answer_of_one_who_follows_6_4() -> None:
    bench = Bench()
    owner = bench.elect("a")
    owner.read(0, 7)
    asked = owner.take(0).now[0][1].round
    owner.receive(0, "b", Appended(SHARD, 2, 1, True, 1, asked))
    assert owner.take(0).reads == [(7, owner.commit)]


def test_a_read_sees_what_was_committed_before_it_was_asked_for_6_4() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.propose("a", b"x")
    owner.read(0, 7)
    bench.settle()
    assert answers(bench) == [(7, 3)]


def test_a_new_owner_answers_no_read_before_it_is_ready_6_4() -> None:
    bench = Bench()
    bench.drops = lambda message: isinstance(message, Append)
    bench["a"].campaign(0)
    bench.settle()
    bench["a"].read(0, 7)
    bench.settle()
    assert answers(bench) == []
    bench.drops = lambda message: False
    bench.pass_time(RESEND_NS)
    assert answers(bench) == [(7, 2)]


def test_a_voter_that_is_alone_answers_at_once() -> None:
    bench = Bench("a", "a")
    bench.elect("a")
    bench["a"].read(0, 7)
    assert bench["a"].take(0).reads == [(7, 2)]


def test_a_lost_round_is_asked_again() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("a")
    owner.read(0, 7)
    bench.settle()
    bench.lost.clear()
    bench.pass_time(RESEND_NS)
    assert answers(bench) == [(7, 2)]


@pytest.mark.parametrize(("sent_at_ns", "is_answered"), [(10, False), (11, True)])
def test_a_beat_sent_after_the_read_confirms_it_too(sent_at_ns: int, is_answered: bool) -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("a")
    bench.now_ns = 10
    owner.read(10, 7)
    bench.settle()
    owner.heard_follower(20, "b", sent_at_ns)
    bench.settle()
    assert bool(answers(bench)) is is_answered


def test_who_is_no_owner_says_so() -> None:
    bench = Bench()
    bench.elect("a")
    bench["b"].read(0, 7)
    assert bench["b"].take(0).reads == [(7, None)]


def test_reads_of_a_deposed_owner_are_asked_elsewhere() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("a")
    owner.read(0, 7)
    bench.settle()
    owner.read(0, 8)
    owner.saw_term(0, 9)
    assert owner.take(0).reads == [(7, None), (8, None)]


def test_more_reads_than_allowed_are_refused() -> None:
    bench = Bench(most_reads=2)
    owner = bench.elect("a")
    bench.cut("a")
    for ticket in range(3):
        owner.read(0, ticket)
    assert owner.take(0).reads == [(2, None)]
    assert owner.counters.reads_refused == 1


def test_who_has_all_entries_takes_over_in_one_round_3_10() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.propose("a", b"x")
    assert owner.transfer(0, "b")
    assert [m for _, m in flushed(owner)] == [TimeoutNow(SHARD, 2)]
    bench["b"].receive(0, "a", TimeoutNow(SHARD, 2))
    bench.settle()
    assert (bench["b"].role, bench["b"].term, bench["b"].is_ready) == (Role.OWNER, 3, True)
    assert owner.role is Role.FOLLOWER


def test_an_heir_that_answers_a_beat_is_told_again_3_10() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.propose("a", b"x")
    assert owner.transfer(0, "b")
    flushed(owner)
    owner.heard_follower(1, "c", 0)
    assert flushed(owner) == []
    owner.heard_follower(1, "b", 0)
    assert flushed(owner) == [("b", TimeoutNow(SHARD, 2))]


def test_a_vote_for_whom_the_owner_gave_way_is_given_though_it_is_heard_3_10_4_2_3() -> None:
    bench = Bench()
    bench.elect("a")
    bench["c"].receive(0, "b", ask(3, 2, 2, transfer=True))
    assert bench["c"].term == 3


def test_the_heir_is_brought_up_to_date_first_3_10() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("b")
    bench.propose("a", b"x")
    bench.lost.clear()
    assert owner.transfer(0, "b")
    bench.settle()
    assert owner.role is Role.OWNER
    bench.pass_time(RESEND_NS)
    assert bench["b"].role is Role.OWNER
    assert bench["b"].last_index == 4


def test_proposals_wait_while_the_owner_gives_way_and_no_longer_3_10() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("b")
    assert owner.transfer(0, "b")
    assert owner.propose(0, b"x") is None
    assert not owner.transfer(0, "c")
    assert not owner.change(0, "ab", "")
    owner.heard_follower(ELECTION_NS - MS, "c", ELECTION_NS - MS)
    owner.tick(ELECTION_NS)
    assert owner.role is Role.OWNER
    assert owner.propose(ELECTION_NS, b"x") is not None


@pytest.mark.parametrize("to", ["a", "d", "z"])
def test_only_another_voter_can_take_over_3_10(to: str) -> None:
    bench = Bench("abcd", "abc")
    bench.elect("a")
    bench["a"].change(0, "abc", "d")
    bench.settle()
    assert not bench["a"].transfer(0, to)


def test_a_late_call_to_take_over_is_none_3_10() -> None:
    bench = Bench()
    bench.elect("a")
    bench.elect("c")
    bench["b"].receive(0, "a", TimeoutNow(SHARD, 2))
    assert not of_kind(flushed(bench["b"]), AskVote)
