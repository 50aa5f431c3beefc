"""Replicas that nobody leads ask whether they still count, and what is left of those that do not."""

import random

import pytest
from nodes import MS, SECOND, Mesh

from hubless.effects import ToPeer
from hubless.shard import configs
from hubless.shard.events import Commit, Forgotten
from hubless.shard.records import Forget, HardState, Recovered
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.wire.replication import (
    Append,
    AskVote,
    Beat,
    BeatAnswer,
    Config,
    Dismissed,
    Entry,
    Led,
    Orphaned,
    Vote,
)

ABC = Config(("a", "b", "c"))
LOG = (Entry(1, 1, 2, configs.encode(ABC)), Entry(2, 4, 0, b""), Entry(3, 4, 1, b"x"))
LATE = 60 * SECOND


def stale(now_ns: int = 0, *, damage: str = "") -> Replicas:
    """Node b, which voted for c in term 5 and then was away for long."""
    replicas = Replicas(
        "b",
        4,
        settings=ReplicasSettings.local(),
        rng=random.Random(1),
        now_ns=now_ns,
        recovered=[Recovered(shard=2, term=5, vote="c", entries=LOG, damage=damage)],
    )
    replicas.start(now_ns, [])
    replicas.conditions_changed(
        now_ns,
        well=frozenset("abcd"),
        doubtful=frozenset(),
        gone=frozenset(),
        preferences=lambda shard: ("a", "d", "c"),
        spares=lambda shard: (),
    )
    return replicas


def question(replicas: Replicas, now_ns: int = LATE) -> tuple[int, list[str]]:
    """What it asks, and whom."""
    out: list = []
    replicas.tick(now_ns, out)
    asked = [effect for effect in out if isinstance(effect.message, Orphaned)]
    numbers = {effect.message.number for effect in asked}
    assert {effect.message.shards for effect in asked} == {(2,)}
    return numbers.pop(), [effect.node for effect in asked]


def dismissed(replicas: Replicas, number: int, term: int = 7) -> list:
    out: list = []
    replicas.receive(LATE + 1, "a", Dismissed(number, (Led(2, term, 9), Led(3, term, 9))), out)
    return out


@pytest.mark.parametrize("damage", ["", "entry 3: checksum"])
def test_it_asks_all_who_may_know_and_goes_when_an_owner_says_so(damage):
    replicas = stale(damage=damage)
    number, asked = question(replicas)
    assert asked == ["a", "c", "d"]
    assert dismissed(replicas, number) == [Forgotten(2)]
    assert len(replicas) == 0
    out: list = []
    replicas.tick_ended(LATE + 2, out)
    (commit,) = (effect for effect in out if isinstance(effect, Commit))
    hard, gone = commit.records[-2:]
    assert isinstance(hard, HardState)
    assert (hard.term, hard.vote) == (7, "a")  # as if it had voted for who dismissed it
    assert (hard.floor_term, hard.floor_index) == (7, 0)
    assert gone == Forget(2)


def test_it_does_not_ask_while_an_owner_is_heard():
    replicas = stale()
    for now_ns in range(0, 20 * SECOND, 100 * MS):
        out: list = []
        replicas.receive(now_ns, "a", Beat(now_ns, (Led(2, 6, 0),)), out)
        replicas.tick(now_ns, out)
        assert not any(isinstance(effect.message, Orphaned) for effect in out)


def test_an_answer_to_an_earlier_question_says_nothing():
    replicas = stale()
    first, _ = question(replicas)
    second, _ = question(replicas, LATE + 10 * SECOND)
    assert dismissed(replicas, first) == []
    assert len(replicas) == 1
    assert dismissed(replicas, second) == [Forgotten(2)]


@pytest.mark.parametrize(
    "message",
    [
        Beat(8, (Led(2, 6, 0),)),
        Append(2, 6, 3, 4, 3),
    ],
    ids=["beat", "entries"],
)
def test_a_question_ends_when_an_owner_is_heard(message):
    """By then it may be a voter again, and the answer may have been under way for long."""
    replicas = stale()
    number, _ = question(replicas)
    replicas.receive(LATE, "a", message, [])
    assert dismissed(replicas, number) == []
    assert len(replicas) == 1


def test_entries_of_an_outdated_owner_do_not_end_a_question():
    replicas = stale()
    number, _ = question(replicas)
    replicas.receive(LATE, "a", Append(2, 4, 3, 4, 3), [])
    assert dismissed(replicas, number) == [Forgotten(2)]


def test_what_is_forgotten_keeps_its_term():
    replicas = stale()
    number, _ = question(replicas)
    dismissed(replicas, number)
    out: list = []
    replicas.receive(LATE + 2, "c", Beat(8, (Led(2, 4, 3),)), out)
    assert out == [ToPeer("c", BeatAnswer(8, (Led(2, 7, 0),)))]
    replicas.receive(LATE + 3, "c", Append(2, 4, 0, 0, 0), out)
    replicas.tick_ended(LATE + 3, out)
    answers = [effect.message for effect in out if isinstance(effect, ToPeer)]
    assert answers[-1].term == 7


@pytest.mark.parametrize(("damage", "term", "vote"), [("", 4, "c"), ("", 5, "c"), ("bit rot", 5, "a")])
def test_a_vote_is_kept_unless_it_may_be_another_than_is_known(damage, term, vote):
    replicas = stale(damage=damage)
    number, _ = question(replicas)
    dismissed(replicas, number, term)
    out: list = []
    replicas.tick_ended(LATE + 2, out)
    hard = next(effect for effect in out if isinstance(effect, Commit)).records[-2]
    assert (hard.term, hard.vote) == (5, vote)


@pytest.mark.parametrize(("last_term", "granted"), [(4, False), (6, False), (7, True)])
def test_what_is_forgotten_and_back_votes_for_no_log_that_its_owner_had_outgrown(last_term, granted):
    """It had acknowledged what the candidate lacks: an empty log must not make it easier to be elected."""
    replicas = stale()
    number, _ = question(replicas)
    dismissed(replicas, number)
    replicas.receive(LATE + 2, "a", Append(2, 7, 40, 7, 40), [])
    replicas.tick_ended(LATE + 2, [])
    assert len(replicas) == 1
    out: list = []
    replicas.receive(LATE + 100 * SECOND, "c", AskVote(2, 9, 50, last_term, trial=True), out)
    replicas.tick_ended(LATE + 100 * SECOND, out)
    votes = [effect.message for effect in out if isinstance(effect, ToPeer)]
    assert votes == [Vote(2, 9 if granted else 7, granted=granted, trial=True)]


def settled(size: int, *, shards: int = 4, **options) -> Mesh:
    mesh = Mesh(size, shards=shards, **options)
    mesh.run_until_as_wished()
    mesh.run(500 * MS)
    return mesh


def test_an_owner_dismisses_only_who_is_not_in_its_committed_configuration():
    mesh = settled(4, shards=4)
    row = mesh.row(0)
    owner = mesh.owner(0).replicas
    outsider = next(name for name in mesh.hosts if name not in row.config.voters)
    insider = next(name for name in row.config.voters if name != row.owner)
    out: list = []
    owner.receive(mesh.now_ns, insider, Orphaned(5, (0,)), out)
    assert out == []
    owner.receive(mesh.now_ns, outsider, Orphaned(6, (0, 1_000)), out)
    assert out == [ToPeer(outsider, Dismissed(6, (Led(0, row.term, row.commit),)))]


def test_a_follower_dismisses_nobody():
    mesh = settled(4, shards=4)
    row = mesh.row(0)
    follower = next(name for name in row.config.voters if name != row.owner)
    out: list = []
    mesh.running(follower).receive(mesh.now_ns, "n9", Orphaned(6, (0,)), out)
    assert out == []


def test_who_is_removed_is_told_to_ask_at_once():
    settings = ReplicasSettings(beat_ns=100 * MS, enquire_ns=1_000 * SECOND)
    mesh = settled(4, settings=settings)
    mesh.drain("n1")
    mesh.run_until(lambda: len(mesh.running("n1")) == 0, 20 * SECOND)


def test_owners_whose_followers_are_all_broken_step_down():
    mesh = settled(3, shards=1)
    owner = mesh.owner(0)
    for name, host in mesh.hosts.items():
        if host is not owner:
            replicas = mesh.running(name)
            mesh.put(host, lambda now_ns, out, replicas=replicas: replicas.failed(now_ns, "checksum", out))
    mesh.run_until(lambda: 0 not in owner.owning, 3 * SECOND)
