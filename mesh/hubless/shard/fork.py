"""Lineages of a shard: what an operator begins when a majority of its voters is lost for ever.

A fork is no step of Raft. It makes one survivor the only voter, by a configuration that nobody else has agreed to, and
is safe only as far as the others never speak for the shard again. So a term says of which lineage it is, in its upper
bits, and three rules hold wherever a term comes in:

* A replica with a log enters no term of a later lineage than its own (`is_outlived`): it falls silent instead, neither
  votes nor campaigns nor acknowledges, and owns nothing.
* Once an owner of the later lineage has said so, what it has is dropped, and its node may come back as a learner, with
  nothing. Its log cannot be repaired as Raft would do it: entries that it holds to be committed are not in the new one.
* What says a later lineage is the new lineage's: nothing that an old one committed comes back to life.

Two operators may fork a shard on both sides of a partition. The lineages differ by their founders, and the greater one
outlives the other.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

_TERM_BITS: Final = 32
_FOUNDER_BITS: Final = 18
_MOST_FORKS: Final = (1 << 12) - 1


def lineage_of(term: int) -> int:
    """The lineage of a term; 0 until the shard is forked."""
    return term >> _TERM_BITS


def is_outlived(own_term: int, term: int) -> bool:
    """Whether a replica in `own_term` is of an earlier lineage than `term`."""
    return lineage_of(own_term) < lineage_of(term)


def forks_of(term: int) -> int:
    """How many forks led to the lineage of a term."""
    return lineage_of(term) >> _FOUNDER_BITS


def term_within(term: int) -> int:
    """The number of a term in its lineage."""
    return term & ((1 << _TERM_BITS) - 1)


def first_term(latest: int, founder: str) -> int | None:
    """The first term of the lineage that a node founds after `latest`; None when there were too many forks."""
    forks = forks_of(latest) + 1
    if forks > _MOST_FORKS:
        return None
    name = crc32(founder.encode()) & ((1 << _FOUNDER_BITS) - 1)
    return ((forks << _FOUNDER_BITS) | name) << _TERM_BITS
