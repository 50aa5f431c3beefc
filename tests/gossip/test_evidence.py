"""What counts as proof of a death."""

from __future__ import annotations

import pytest

from hubless_gossip import Address
from hubless_gossip.claims import Claim, Rank, Standing, Statement, join
from hubless_gossip.evidence import accusers_needed, admitted, busy_of, in_panic, witnesses_needed

SAID = Statement("x", 1, 1, Address("h", 1), b"")


def held(rank: Rank, round_: int = 0) -> Claim:
    return Claim("x", Standing(1, 1, round_, rank, ("a",) if rank == Rank.SUSPECT else ()), SAID)


def dead(*accusers: str, gone: tuple[str, ...] = (), incarnation: int = 1) -> Claim:
    return Claim("x", Standing(1, incarnation, 0, Rank.DEAD, accusers, gone), None)


def admit(claim: Claim, own: Claim, **changes: object) -> Rank:
    context = {"merged": False, "link_up": False, "live": 10, "reachable": 10} | changes
    return join(own, admitted(claim, own, **context)).standing.rank  # type: ignore[arg-type]


def test_two_accusers_from_four_members_on() -> None:
    assert [accusers_needed(n) for n in (1, 2, 3, 4, 5, 100)] == [1, 1, 1, 2, 2, 2]


def test_two_kernels_unless_there_are_only_two_nodes() -> None:
    assert [witnesses_needed(n) for n in (1, 2, 3, 100)] == [1, 1, 2, 2]


def test_a_death_with_two_accusers_is_believed_by_whoever_suspects_already() -> None:
    assert admit(dead("a", "b"), held(Rank.SUSPECT)) == Rank.DEAD


@pytest.mark.parametrize("rank", [Rank.ALIVE, Rank.BUSY])
def test_to_whom_it_is_news_a_death_is_a_suspicion_first(rank: Rank) -> None:
    assert admit(dead("a", "b"), held(rank, round_=3)) == Rank.SUSPECT


def test_one_accuser_does_not_kill() -> None:
    assert admit(dead("a"), held(Rank.SUSPECT)) == Rank.SUSPECT
    assert admit(dead("a"), held(Rank.SUSPECT), reachable=3) == Rank.DEAD


def test_a_merged_death_is_never_believed_at_once() -> None:
    assert admit(dead("a", "b"), held(Rank.SUSPECT), merged=True) == Rank.SUSPECT


def test_two_kernels_are_believed_by_everybody_and_merged_too() -> None:
    assert admit(dead(gone=("a", "b")), held(Rank.ALIVE), merged=True) == Rank.DEAD
    assert admit(dead(gone=("a",)), held(Rank.ALIVE)) == Rank.SUSPECT
    assert admit(dead(gone=("a",)), held(Rank.ALIVE), live=2) == Rank.DEAD


def test_a_link_that_is_up_disputes_every_death() -> None:
    assert admit(dead("a", "b", gone=("a", "b")), held(Rank.SUSPECT), link_up=True) == Rank.SUSPECT


def test_what_is_older_than_the_held_incarnation_changes_nothing() -> None:
    own = Claim("x", Standing(1, 5, 0, Rank.ALIVE), SAID)
    assert join(own, admitted(dead("a", "b"), own, merged=False, link_up=False, live=9, reachable=9)) is own


def test_a_departure_needs_no_evidence() -> None:
    left = Claim("x", Standing(1, 2, 0, Rank.LEFT), None)
    assert admit(left, held(Rank.ALIVE), merged=True) == Rank.LEFT


def test_busy_answers_a_suspicion_in_the_next_round() -> None:
    suspected = held(Rank.SUSPECT, round_=4)
    assert join(suspected, Claim("x", busy_of(suspected.standing), None)).standing.rank == Rank.BUSY
    assert busy_of(held(Rank.ALIVE, round_=4).standing).round == 4


def test_panic_is_a_silent_majority_of_some_size() -> None:
    assert not in_panic(2, 3)
    assert not in_panic(5, 10)
    assert in_panic(6, 10)
