"""Which of two claims about a member wins: one function, `join`, used everywhere.

A claim has two parts, and each part is a join-semilattice, so that the claim is one as well:

* the **statement**: what the member says of itself (address, metadata). The one with the higher
  (boot, incarnation) wins.
* the **standing**: what is held of the member's condition. Ordered lexicographically by

      (boot, incarnation, final, round, rank)        rank: alive < busy < suspect < dead < left

  `boot` and `incarnation` are raised by the member alone, which is how it refutes. `final` (dead, left)
  ends an incarnation: no third party's evidence brings it back, only its owner can. Within an incarnation
  the evidence `round` lets a third party speak against a suspicion without the owner: whoever holds a
  monitored link to a silent suspect answers "suspect, round r" with "busy, round r + 1"; a later silence
  of the link is "suspect, round r + 1" again. Equal keys unite their evidence: `accusers` (nodes whose
  probes failed) and `gone` (nodes whose kernel saw the process gone), both cut to the smallest few names,
  which keeps the union associative.
"""

from __future__ import annotations

import enum
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated

from msgspec import Meta, Struct

from hubless_gossip.member import Address, Count, MetaBytes, NodeId

ACCUSERS_MAX = 4
"""Evidence kept: K = 3 confirmations and the first accusation."""
GONE_MAX = 3
ROUND_MAX = 65_535


class Rank(enum.IntEnum):
    """Order of claims within one incarnation and round. Not what users see: that is Condition."""

    ALIVE = 0
    BUSY = 1
    SUSPECT = 2
    DEAD = 3
    LEFT = 4


class Statement(Struct, frozen=True, array_like=True, gc=False):
    """What a node says of itself in one incarnation."""

    node: NodeId
    boot: Count
    incarnation: Count
    address: Address
    meta: MetaBytes


class Standing(Struct, frozen=True, array_like=True):
    """What is held of a node's condition. `accusers` and `gone` are sorted and without repetition."""

    boot: Count
    incarnation: Count
    round: Annotated[int, Meta(ge=0, le=ROUND_MAX)]
    rank: Rank
    accusers: Annotated[tuple[NodeId, ...], Meta(max_length=ACCUSERS_MAX)] = ()
    gone: Annotated[tuple[NodeId, ...], Meta(max_length=GONE_MAX)] = ()

    @property
    def final(self) -> bool:
        return self.rank >= Rank.DEAD


class Claim(Struct, frozen=True):
    """All that is held about one node. `statement` is None in an accusation on its own."""

    node: str
    standing: Standing
    statement: Statement | None


Key = tuple[int, int, bool, int, int]


def standing_key(standing: Standing) -> Key:
    """The total order of standings; equal keys differ at most in their evidence."""
    rank = standing.rank
    return (standing.boot, standing.incarnation, rank >= 3, standing.round, rank)


def alive(statement: Statement) -> Claim:
    """The claim a statement makes: its subject is alive."""
    return Claim(statement.node, Standing(statement.boot, statement.incarnation, 0, Rank.ALIVE), statement)


def join_standings(a: Standing, b: Standing) -> Standing:
    """The least standing above both. Returns `a` itself when `b` adds nothing."""
    key_a, key_b = standing_key(a), standing_key(b)
    if key_a != key_b:
        return a if key_a > key_b else b
    accusers = _united(a.accusers, b.accusers, ACCUSERS_MAX)
    gone = _united(a.gone, b.gone, GONE_MAX)
    if accusers == a.accusers and gone == a.gone:
        return a
    return Standing(a.boot, a.incarnation, a.round, a.rank, accusers, gone)


def join_statements(a: Statement | None, b: Statement | None) -> Statement | None:
    """The newer statement. Two different ones of one incarnation (a broken owner) go by their bytes."""
    if a is None or b is None:
        return b if a is None else a
    if a is b:
        return a
    key_a, key_b = (a.boot, a.incarnation), (b.boot, b.incarnation)
    if key_a == key_b:
        key_a, key_b = (a.address, a.meta), (b.address, b.meta)  # type: ignore[assignment]
    return a if key_a >= key_b else b


def join(a: Claim, b: Claim) -> Claim:
    """The least claim above both: commutative, associative, idempotent.

    Both must be about the same node. Returns `a` itself when `b` adds nothing.
    """
    standing = join_standings(a.standing, b.standing)
    statement = join_statements(a.statement, b.statement)
    if standing is a.standing and statement is a.statement:
        return a
    return Claim(a.node, standing, statement)


def _united(a: tuple[str, ...], b: tuple[str, ...], most: int) -> tuple[str, ...]:
    if a == b or not b:
        return a
    return tuple(sorted({*a, *b})[:most])


@lru_cache(maxsize=65_536)
def node_point(node: str) -> int:
    """Where a node stands on the 64-bit ring of hashed ids. The same on every machine."""
    return int.from_bytes(blake2b(node.encode(), digest_size=8).digest(), "big")


@lru_cache(maxsize=65_536)
def _fingerprint(node: str, numbers: tuple[int, int, int, int, int, int]) -> int:
    return int.from_bytes(blake2b(f"{numbers}{node}".encode(), digest_size=8).digest(), "big") or 1


def fingerprint(claim: Claim) -> int:
    """64 bits, never 0, that differ whenever key or statement differ (evidence apart).

    The same on every machine.
    """
    of, said = claim.standing, claim.statement
    version = (said.boot, said.incarnation) if said is not None else (0, 0)
    return _fingerprint(claim.node, (of.boot, of.incarnation, of.round, int(of.rank), *version))
