"""The one rule for which claim wins is a join, and its order says what the design says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_gossip import Address
from hubless_gossip.claims import (
    ACCUSERS_MAX,
    GONE_MAX,
    Claim,
    Rank,
    Standing,
    Statement,
    alive,
    fingerprint,
    join,
    join_standings,
    standing_key,
)

names = st.sampled_from("abcdefgh")
small = st.integers(0, 2)


def evidence(most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(names, max_size=most).map(lambda found: tuple(sorted(found)))


standings = st.builds(
    Standing, small, small, small, st.sampled_from(Rank), evidence(ACCUSERS_MAX), evidence(GONE_MAX)
)
statements = st.builds(
    Statement,
    st.just("x"),
    small,
    small,
    st.builds(Address, st.sampled_from(["h", "i"]), st.just(1)),
    st.binary(max_size=1),
)
claims = st.builds(Claim, st.just("x"), standings, st.none() | statements)
examples = settings(max_examples=200, deadline=None)


@examples
@given(claims, claims)
def test_join_is_commutative(a: Claim, b: Claim) -> None:
    assert join(a, b) == join(b, a)


@examples
@given(claims, claims, claims)
def test_join_is_associative(a: Claim, b: Claim, c: Claim) -> None:
    assert join(join(a, b), c) == join(a, join(b, c))


@examples
@given(claims, claims)
def test_join_is_idempotent_and_absorbing(a: Claim, b: Claim) -> None:
    assert join(a, a) == a
    assert join(join(a, b), b) == join(a, b)


@examples
@given(claims, claims)
def test_a_join_never_lowers_the_standing(a: Claim, b: Claim) -> None:
    joined = join(a, b).standing
    assert standing_key(joined) >= standing_key(a.standing)
    assert (joined.boot, joined.incarnation) >= (b.standing.boot, b.standing.incarnation)


@examples
@given(claims, claims)
def test_join_returns_the_very_object_when_there_is_no_news(a: Claim, b: Claim) -> None:
    joined = join(a, b)
    assert join(joined, b) is joined


@examples
@given(claims, claims)
def test_fingerprints_agree_exactly_when_key_and_statement_do(a: Claim, b: Claim) -> None:
    def version(claim: Claim) -> tuple[object, ...]:
        said = claim.statement
        return (standing_key(claim.standing), (said.boot, said.incarnation) if said else (0, 0))

    assert (fingerprint(a) == fingerprint(b)) == (version(a) == version(b))
    assert 0 < fingerprint(a) < 2**64


def standing(rank: Rank, boot: int = 1, incarnation: int = 1, round_: int = 0) -> Standing:
    return Standing(boot, incarnation, round_, rank)


def wins(a: Standing, b: Standing) -> bool:
    return join_standings(a, b) == a and join_standings(b, a) == a


def test_within_an_incarnation_the_worse_condition_wins() -> None:
    for better, worse in zip(Rank, list(Rank)[1:], strict=False):
        assert wins(standing(worse), standing(better))


def test_only_a_higher_incarnation_brings_back_the_dead() -> None:
    dead = standing(Rank.DEAD)
    assert wins(dead, standing(Rank.ALIVE, round_=9))
    assert wins(dead, standing(Rank.BUSY, round_=9))
    assert wins(standing(Rank.ALIVE, incarnation=2), dead)


def test_link_evidence_of_the_next_round_cancels_a_suspicion_and_silence_raises_it_again() -> None:
    suspect, busy = standing(Rank.SUSPECT), standing(Rank.BUSY, round_=1)
    assert wins(busy, suspect)
    assert wins(standing(Rank.SUSPECT, round_=1), busy)


def test_a_restarted_node_wins_over_its_dead_boot() -> None:
    assert wins(standing(Rank.ALIVE, boot=2, incarnation=0), standing(Rank.DEAD, incarnation=99))


def test_accusers_of_the_same_suspicion_unite() -> None:
    a = Standing(1, 1, 0, Rank.SUSPECT, ("a",), ())
    b = Standing(1, 1, 0, Rank.SUSPECT, ("b",), ("b",))
    assert join_standings(a, b) == Standing(1, 1, 0, Rank.SUSPECT, ("a", "b"), ("b",))


def test_an_accusation_alone_does_not_lose_the_address() -> None:
    said = Statement("x", 1, 1, Address("h", 1), b"meta")
    accused = join(alive(said), Claim("x", standing(Rank.SUSPECT, incarnation=3), None))
    assert accused.statement == said
    assert accused.standing.incarnation == 3
