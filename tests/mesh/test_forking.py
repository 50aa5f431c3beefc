"""Whether a shard may be forked, and from which replica."""

from __future__ import annotations

from typing import Any

import pytest

from hubless.forking import Founder, Replica, Wish, founder_of, replica_of, wish_of


def replica(**fields: Any) -> Replica:
    values: dict[str, Any] = {
        "shard": 3,
        "is_owner": False,
        "term": 5,
        "last_term": 4,
        "index": 10,
        "voters": ("a", "b", "c"),
        "outgoing": (),
        "condition": "quorum_lost",
        **fields,
    }
    return Replica(**values)


def founder(
    told: dict[str, Replica],
    *,
    silent: tuple[str, ...] = (),
    gone: str = "bc",
    term: int = 0,
    force: bool = False,
) -> Founder | str:
    gone_ones = tuple(gone)
    return founder_of(
        Wish(3, force), told, silent=silent, gone=gone_ones, term=term, label=lambda node: f"name-of-{node}"
    )


def test_the_only_one_left_is_taken() -> None:
    assert founder({"a": replica()}) == Founder("a", 5)


def test_the_best_log_is_that_of_the_latest_term_then_the_longest() -> None:
    wide = ("a", "b", "c", "d", "e")
    told = {
        "a": replica(voters=wide, index=90),
        "d": replica(voters=wide, last_term=5, index=8),
        "e": replica(voters=wide, last_term=5, index=7, term=9),
    }
    assert founder(told, gone="bc", force=True) == Founder("d", 9)


def test_the_latest_term_that_anybody_knows_counts() -> None:
    assert founder({"a": replica()}, term=77) == Founder("a", 77)


@pytest.mark.parametrize("force", [False, True])
def test_a_shard_with_an_owner_is_left_alone(force: bool) -> None:
    assert "has an owner, name-of-c, " in str(
        founder({"a": replica(), "c": replica(is_owner=True)}, force=force)
    )


def test_nodes_in_doubt_are_waited_for_unless_it_is_forced() -> None:
    assert "a majority with name-of-a, name-of-b, not known to be dead" in str(
        founder({"a": replica()}, gone="c")
    )
    assert founder({"a": replica()}, gone="c", force=True) == Founder("a", 5)


def test_both_halves_of_a_joint_configuration_need_a_majority() -> None:
    joint = replica(voters=("a", "d", "e"), outgoing=("a", "b", "c"))
    assert founder({"a": joint}, gone="bc") == Founder("a", 5)
    assert "not known to be dead" in str(founder({"a": joint}, gone="b"))


def test_who_did_not_answer_may_have_more() -> None:
    told = {"a": replica(voters=("a", "b", "c", "d", "e"))}
    assert "no answer from name-of-e, " in str(founder(told, silent=("e",), gone="bcd"))
    assert founder(told, silent=("e",), gone="bcd", force=True) == Founder("a", 5)
    assert founder({"a": replica()}, silent=("z",)) == Founder("a", 5)


@pytest.mark.parametrize("condition", ["damaged", "journal failed", "outlived"])
def test_what_cannot_be_trusted_founds_nothing(condition: str) -> None:
    assert "nothing is left" in str(founder({"a": replica(condition=condition)}, force=True))


def test_without_a_replica_there_is_nothing_to_fork() -> None:
    assert "nothing is left" in str(founder({}))
    assert "nothing is left" in str(founder({"a": replica(voters=())}))


def test_what_operators_may_write() -> None:
    assert wish_of("7", 16) == Wish(7, is_forced=False)
    assert wish_of("7 force", 16) == Wish(7, is_forced=True)
    for wrong in ("", "16", "-1", "x", "7 please", "٧", "7 force ", "9" * 5_000):
        assert wish_of(wrong, 16) is None


def test_nodes_may_tell_anything() -> None:
    assert replica_of({"shard": 3}) is None
    whole = {"shard": 3, "is_owner": False, "term": 5, "last_term": 4, "index": 10, "voters": ["a"]}
    assert replica_of({**whole, "outgoing": [], "condition": "healthy", "more": 1}) == replica(
        voters=("a",), condition="healthy"
    )
