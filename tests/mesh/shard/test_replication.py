"""Replication and commits (dissertation, 3.5, 3.6.2, 10.2), windows, and what is done about silence."""

import pytest
from replicas_bench import ELECTION_NS, RESEND_NS, SHARD, Bench, appended, empty, flushed, of_kind, replica

from hubless.shard.raft import Raft
from hubless.shard.records import Entries, Recovered
from hubless.wire.replication import Append, Appended, Entry


def log_of(*terms: int) -> tuple[Entry, ...]:
    return tuple(Entry(index, term, 1, b"%d" % index) for index, term in enumerate(terms, 1))


def terms_of(raft: Raft) -> list[int | None]:
    return [raft.term_at(index) for index in range(1, raft.last_index + 1)]


def test_a_new_owner_begins_with_an_entry_of_its_own_at_once_6_4() -> None:
    bench = Bench()
    bench["a"].campaign(0)
    bench.settle()
    first = next(message for _, _, message in bench.sent if isinstance(message, Append))
    assert [(entry.index, entry.term, entry.kind) for entry in first.entries] == [(2, 2, 0)]
    assert bench["a"].is_ready


def test_a_proposal_is_committed_once_a_majority_has_it_3_5() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("c")
    bench.propose("a", b"x")
    assert owner.commit == 3
    assert bench.committed("a") == [b"x"]


def test_a_proposal_without_a_majority_is_not_committed_3_5() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("a")
    bench.propose("a", b"x")
    assert owner.commit == 2


def test_followers_learn_the_commit_with_the_next_append_or_beat_3_5() -> None:
    bench = Bench()
    bench.elect("a")
    bench.propose("a", b"x")
    assert bench["b"].commit == 2
    bench.propose("a", b"y")
    assert bench["b"].commit == 3
    bench["b"].heard_owner(0, "a", 2, 4)
    bench.settle()
    assert bench.committed("b") == [b"x", b"y"]


def test_a_beat_commits_nothing_that_is_not_known_to_match() -> None:
    raft = replica("b", recovered=Recovered(shard=SHARD, term=2, entries=log_of(1, 1, 1)))
    assert raft.heard_owner(0, "a", 2, 3)
    assert raft.commit == 0
    assert flushed(raft) == [("a", Appended(SHARD, 2, 3, True, 1))], "it asks its owner to look"


def test_a_restarted_follower_catches_up_by_a_beat_alone() -> None:
    bench = Bench()
    bench.elect("a")
    bench.propose("a", b"x")
    bench.restart("b")
    for _ in range(2):
        bench["b"].heard_owner(0, "a", 2, bench["a"].commit)
        bench.settle()
    assert bench["b"].commit == 3


@pytest.mark.parametrize(
    "terms",
    [
        (1, 1, 1, 4, 4, 5, 5, 6, 6),
        (1, 1, 1, 4),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
        (1, 1, 1, 4, 4, 4, 4),
        (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
        (),
    ],
)
def test_an_owner_makes_any_log_like_its_own_3_5(terms: tuple[int, ...]) -> None:
    """The logs of figure 3.6 (of the Raft paper: figure 7)."""
    config = replica("a").take(0).records[-1]
    assert isinstance(config, Entries)
    owned = (*config.entries, *log_of(1, 1, 1, 4, 4, 5, 5, 6, 6, 6)[1:])
    other = (*config.entries, *log_of(*terms)[1:]) if terms else ()
    bench = Bench()
    for name, entries, term in (("a", owned, 7), ("b", other, 7), ("c", owned, 7)):
        bench.rafts[name] = replica(name, recovered=Recovered(shard=SHARD, term=term, entries=entries))
        bench.disks[name].write([Entries(SHARD, entries)] if entries else [])
    bench.lost |= {("b", "a"), ("a", "b")}
    bench["c"].doubt_owner(0, True)
    bench["a"].campaign(0)
    bench.settle()
    bench.lost.clear()
    bench.sent.clear()
    bench.pass_time(RESEND_NS)
    bench.pass_time(RESEND_NS)
    assert terms_of(bench["b"]) == terms_of(bench["a"]) == [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]
    looked = [m for sender, to, m in bench.sent if (sender, to) == ("a", "b") and isinstance(m, Append)]
    assert len(looked) <= 6, "a term a step, not an entry a step"


def test_a_follower_drops_only_what_conflicts_3_5() -> None:
    raft = replica("b", recovered=Recovered(shard=SHARD, term=2, entries=log_of(1, 1, 2)))
    late = log_of(1, 1)
    raft.receive(0, "a", Append(SHARD, 2, 0, 0, 0, late))
    assert raft.last_index == 3, "an Append that was overtaken takes nothing back"
    raft.receive(0, "a", Append(SHARD, 3, 1, 1, 0, (Entry(2, 3, 1, b"new"),)))
    assert terms_of(raft) == [1, 3]


def test_what_conflicts_is_replaced_on_disk_too_3_5() -> None:
    raft = replica("b", recovered=Recovered(shard=SHARD, term=2, entries=log_of(1, 1, 2)))
    raft.receive(0, "a", Append(SHARD, 3, 1, 1, 0, (Entry(2, 3, 1, b"new"),)))
    written = [record for record in raft.take(0).records if isinstance(record, Entries)]
    assert [entry.index for entry in written[0].entries] == [2]


def test_an_answer_promises_what_is_on_disk_3_8() -> None:
    bench = Bench()
    bench.elect("a")
    raft = bench["b"]
    raft.receive(0, "a", Append(SHARD, 2, 2, 2, 2, (Entry(3, 2, 1, b"x"),)))
    output = raft.take(0)
    assert not output.now
    assert output.held == [("a", Appended(SHARD, 2, 3))]


def test_a_flush_says_nothing_of_what_has_taken_its_place_3_8() -> None:
    bench = Bench()
    owner = bench.elect("a")
    owner.propose(0, b"x")
    early = owner.take(0)
    owner.receive(0, "b", Append(SHARD, 3, 2, 2, 2, (Entry(3, 3, 0, b""),)))
    owner.take(0)
    owner.flushed(0, early.flush)
    owner.doubt_owner(0, True)
    owner.campaign(0)
    owner.receive(0, "c", appended(3, 3))
    assert owner.commit == 2


def test_entries_of_older_terms_are_committed_only_with_one_of_the_own_3_6_2() -> None:
    """Figure 3.7: that a majority has an entry does not mean that it stays."""
    entries = (*replica("a").take(0).records[-1].entries, Entry(2, 2, 1, b"older"))
    raft = replica("a", recovered=Recovered(shard=SHARD, term=2, entries=entries), most_append_entries=1)
    bench = Bench()
    bench.rafts["a"] = raft
    raft.campaign(0)
    bench.drops = lambda message: isinstance(message, Append)
    bench.settle()
    raft.receive(0, "b", appended(3, 2))
    assert raft.commit == 0
    raft.receive(0, "b", appended(3, 3))
    assert raft.commit == 3


def test_a_window_bounds_what_is_unanswered_10_2_1() -> None:
    bench = Bench(window=2, most_append_entries=3)
    owner = bench.elect("a")
    for number in range(20):
        owner.propose(0, b"%d" % number)
    sent = [message for to, message in owner.take(0).now if to == "b"]
    assert [len(message.entries) for message in sent] == [3, 3]
    owner.receive(0, "b", appended(2, 5))
    assert [len(message.entries) for _, message in owner.take(0).now] == [3]


def test_bytes_bound_an_append_and_a_large_entry_travels_alone() -> None:
    bench = Bench(most_append_bytes=200)
    owner = bench.elect("a")
    for size in (50, 50, 50, 5000, 10):
        owner.propose(0, b"x" * size)
    sent = [message for to, message in owner.take(0).now if to == "b"]
    assert [len(message.entries) for message in sent] == [3, 1, 1]


def test_too_much_uncommitted_refuses_proposals_until_it_is_less() -> None:
    bench = Bench(most_uncommitted_bytes=1000)
    owner = bench.elect("a")
    assert [owner.propose(0, b"x" * 400) for _ in range(4)] == [3, 4, None, None]
    assert owner.counters.proposals_refused == 2
    bench.settle()
    assert owner.propose(0, b"x" * 5000) == 5, "a large one is taken when nothing else waits"


def test_followers_take_no_proposals() -> None:
    bench = Bench()
    bench.elect("a")
    assert bench["b"].propose(0, b"x") is None


def test_a_lost_append_is_sent_again_after_resend_ns() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("b")
    bench.propose("a", b"x")
    assert owner.next_deadline_ns() == RESEND_NS
    bench.lost.clear()
    bench.pass_time(RESEND_NS)
    assert bench["b"].last_index == 3
    assert not [m for _, _, m in bench.sent[-1:] if isinstance(m, Append) and m.entries == ()]


def test_what_is_still_unanswered_is_sent_again_after_a_part_was_answered() -> None:
    bench = Bench(most_append_entries=1)
    owner = bench.elect("a")
    owner.propose(0, b"x")
    owner.propose(0, b"y")
    owner.take(0)
    for node in "bc":
        owner.receive(5, node, appended(2, 3))
    assert owner.next_deadline_ns() == 5 + RESEND_NS


def test_a_refusal_that_was_overtaken_changes_nothing() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.propose("a", b"x")
    owner.receive(0, "b", Appended(SHARD, 2, 1, True, 1))
    assert owner.progress("b")[:2] == (3, True)


def test_silence_is_asked_ever_more_rarely_and_without_entries() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("b")
    bench.propose("a", b"x" * 1000)
    bench.sent.clear()
    for step in range(1, 100):
        bench.now_ns = step * RESEND_NS
        owner.heard_follower(bench.now_ns, "c", bench.now_ns)
        owner.tick(bench.now_ns)
        bench.settle()
    to_b = [message for _, to, message in bench.sent if to == "b"]
    assert 3 <= len(to_b) <= 9
    assert all(message.entries == () for message in to_b)


def test_a_beat_that_is_answered_ends_the_silence() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.cut("b")
    bench.propose("a", b"x")
    for step in range(1, 20):
        bench.now_ns = step * RESEND_NS
        owner.heard_follower(bench.now_ns, "c", bench.now_ns)
        owner.tick(bench.now_ns)
        bench.settle()
    bench.lost.clear()
    bench.now_ns += RESEND_NS
    owner.heard_follower(bench.now_ns, "b", bench.now_ns)
    bench.settle()
    assert bench["b"].last_index == 3


def test_an_owner_with_nothing_unanswered_has_nothing_to_send() -> None:
    bench = Bench()
    owner = bench.elect("a")
    bench.propose("a", b"x")
    assert owner.next_deadline_ns() == ELECTION_NS, "the check of its quorum"
    bench.sent.clear()
    owner.heard_follower(ELECTION_NS, "b", ELECTION_NS)
    bench.now_ns = ELECTION_NS
    owner.tick(ELECTION_NS)
    bench.settle()
    assert not bench.sent
    assert not owner.is_dirty


def test_an_owner_whose_term_ended_in_the_same_tick_gets_no_answer() -> None:
    raft = replica("b")
    raft.receive(0, "a", empty(2))
    raft.saw_term(0, 3)
    assert not of_kind(flushed(raft), Appended)


def test_several_appends_of_a_tick_get_one_answer() -> None:
    bench = Bench()
    bench.elect("a")
    raft = bench["b"]
    for index in (3, 4, 5):
        raft.receive(0, "a", Append(SHARD, 2, index - 1, 2, 2, (Entry(index, 2, 1, b"x"),)))
    assert [(m.index, m.refused) for _, m in of_kind(flushed(raft), Appended)] == [(5, False)]


def test_what_overtook_its_predecessor_is_asked_for_again() -> None:
    bench = Bench()
    bench.elect("a")
    raft = bench["b"]
    raft.receive(0, "a", Append(SHARD, 2, 3, 2, 2, (Entry(4, 2, 1, b"y"),)))
    answers = [(m.index, m.refused) for _, m in of_kind(flushed(raft), Appended)]
    assert answers == [(2, False), (2, True)]
    bench["a"].propose(0, b"x")
    bench.settle()
    bench["a"].receive(0, "b", Appended(SHARD, 2, 2, True, 2))
    bench.settle()
    assert bench["a"].progress("b")[:2] == (3, True)


def test_entries_are_handed_out_once_and_again_only_after_a_restart() -> None:
    bench = Bench()
    bench.elect("a")
    bench.propose("a", b"x", b"y")
    bench["b"].receive(0, "a", empty(2, (4, 2), 4))
    bench["b"].receive(0, "a", empty(2, (4, 2), 4))
    bench.settle()
    assert bench.committed("b") == [b"x", b"y"]
    bench.outputs.clear()
    bench.restart("b")
    bench["b"].receive(0, "a", empty(2, (4, 2), 4))
    bench.settle()
    assert bench.committed("b") == [b"x", b"y"]
