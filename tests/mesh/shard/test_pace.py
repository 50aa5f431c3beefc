"""How fast replicas move: a bounded number of shards at a time, the most urgent first."""

import pytest

from hubless.shard.moves import Change, Transfer, Urgency
from hubless.shard.pace import Moves, MoveSettings
from hubless.shard.seats import Owned, Surroundings
from hubless.wire.replication import Config

SECOND = 1_000_000_000


def around(me: str = "a", well: str = "abcdef", **others: str) -> Surroundings:
    return Surroundings(
        me=me, well=frozenset(well), **{name: frozenset(nodes) for name, nodes in others.items()}
    )


def voters(names: str, learners: str = "") -> Config:
    return Config(tuple(names), (), tuple(learners))


FAST = MoveSettings(most_moves=2, most_transfers=1, pace_ns=SECOND, settle_ns=SECOND, return_ns=5 * SECOND)


def shards(count: int, config: Config, target: str, **more) -> list[Owned]:
    return [
        Owned(
            shard=shard,
            config=config,
            target=tuple(target),
            caught_up=frozenset("abcdef"),
            **more,
        )
        for shard in range(count)
    ]


def test_a_target_counts_only_once_it_has_settled():
    moves = Moves(FAST)
    waiting = shards(1, voters("a"), "ab", target_since_ns=10 * SECOND)
    assert moves.plan(11 * SECOND - 1, waiting, around()) == ([], [])
    steps, _ = moves.plan(11 * SECOND, waiting, around())
    assert steps == [Change(0, ("a",), ("b",), Urgency.REPAIR)]


def test_a_bounded_number_of_shards_moves_at_a_time():
    moves = Moves(FAST)
    steps, _ = moves.plan(10 * SECOND, shards(5, voters("a"), "ab"), around())
    assert [step.shard for step in steps] == [0, 1]
    assert moves.counters.waited == 3
    moving = shards(2, voters("a", "b"), "ab", is_changing=True) + shards(5, voters("a"), "ab")[2:]
    assert moves.plan(20 * SECOND, moving, around())[0] == []


def test_as_many_begin_in_a_span_of_time():
    moves = Moves(FAST)
    moves.plan(10 * SECOND, shards(2, voters("a"), "ab"), around())
    again = shards(5, voters("a"), "ab")[2:]
    assert moves.plan(11 * SECOND - 1, again, around())[0] == []
    assert len(moves.plan(11 * SECOND, again, around())[0]) == 2


def test_what_has_begun_goes_on_whatever_else_there_is():
    moves = Moves(FAST)
    begun = shards(4, voters("a", "b"), "ab")
    steps, _ = moves.plan(10 * SECOND, begun, around())
    assert [step.shard for step in steps] == [0, 1, 2, 3]


def test_repairs_come_first():
    moves = Moves(FAST)
    fine = shards(3, voters("abc"), "abd")
    broken = Owned(
        shard=7,
        config=voters("abc"),
        target=("a", "b", "c"),
        caught_up=frozenset("ab"),
        broken=frozenset("c"),
    )
    steps, _ = moves.plan(10 * SECOND, [*fine, broken], around())
    assert [step.shard for step in steps] == [7, 0]


def test_a_shard_stays_with_a_new_owner_for_a_while():
    moves = Moves(FAST)
    fresh = shards(1, voters("abc"), "bac", owned_since_ns=10 * SECOND)
    assert moves.plan(15 * SECOND - 1, fresh, around())[0] == []
    assert moves.plan(15 * SECOND, fresh, around())[0] == [Transfer(0, "b")]


def test_handovers_are_bounded_and_one_that_came_to_nothing_is_tried_again_later():
    moves = Moves(FAST)
    wanting = shards(3, voters("abc"), "bac")
    assert moves.plan(10 * SECOND, wanting, around())[0] == [Transfer(0, "b")]
    assert moves.plan(11 * SECOND, wanting, around())[0] == []
    moves.disowned(0)
    assert moves.plan(11 * SECOND, wanting[1:], around())[0] == [Transfer(1, "b")]
    later_ns = 11 * SECOND + FAST.patience_ns
    assert moves.plan(later_ns, wanting[1:], around())[0] == [Transfer(2, "b")]
    assert moves.plan(later_ns + FAST.return_ns, wanting[1:], around())[0] == [Transfer(1, "b")]


def test_a_shard_that_has_to_wait_for_its_preferred_owner_is_not_at_rest():
    moves = Moves(FAST)
    waits = shards(1, voters("abc"), "bac", unfit=frozenset("b"))
    rests = shards(2, voters("abc"), "abc", unfit=frozenset("b"))[1:]
    assert moves.plan(10 * SECOND, waits + rests, around()) == ([], [1])


def test_nor_is_one_that_does_without_a_node_that_it_should_have():
    moves = Moves(FAST)
    waits = shards(1, voters("abc"), "abd", unreached=frozenset("d"))
    assert moves.plan(10 * SECOND, waits, around()) == ([], [])


def test_a_draining_owner_waits_for_nothing():
    moves = Moves(FAST)
    fresh = shards(1, voters("abc"), "bc", owned_since_ns=10 * SECOND, target_since_ns=10 * SECOND)
    steps, _ = moves.plan(10 * SECOND, fresh, around(draining="a"))
    assert steps == [Transfer(0, "b", is_urgent=True)]


def test_shards_at_rest_are_told_and_those_that_wait_for_a_replica_are_not():
    moves = Moves(FAST)
    rest = Owned(shard=1, config=voters("abc"), target=tuple("abc"), caught_up=frozenset("a"))
    waits = Owned(shard=2, config=voters("abc"), target=tuple("bac"), caught_up=frozenset("a"))
    moving = Owned(shard=3, config=voters("a", "b"), target=tuple("ab"), caught_up=frozenset("a"))
    assert moves.plan(10 * SECOND, [rest, waits, moving], around()) == ([], [1])


def test_limits_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="most_moves is 0"):
        MoveSettings(most_moves=0)
