"""Quorum arithmetic (dissertation, 3.4, 3.6.2 and 4.3). Pure functions of a `Config` and nothing else.

A joint configuration decides when a majority of its new voters and a majority of its old ones do. No voters, no
decision: an empty configuration never has a quorum.
"""

from collections.abc import Collection, Mapping

from hubless.wire.replication import Config


def majority(count: int) -> int:
    """Fewest of `count` voters that are more than half of them."""
    return count // 2 + 1


def committed_index(config: Config, matched: Mapping[str, int]) -> int:
    """Highest index that a quorum has on disk; voters without an entry in `matched` have nothing (3.6.2)."""
    index = _majority_index(config.voters, matched)
    if config.outgoing:
        index = min(index, _majority_index(config.outgoing, matched))
    return index


def has_quorum(config: Config, nodes: Collection[str]) -> bool:
    """Whether `nodes` hold a majority of each half of the configuration."""
    return _has_majority(config.voters, nodes) and (
        not config.outgoing or _has_majority(config.outgoing, nodes)
    )


def outcome(config: Config, votes: Mapping[str, bool]) -> bool | None:
    """True when the votes elect, False when they no longer can, None while it depends on those still out (3.4)."""
    result = _majority_outcome(config.voters, votes)
    if not config.outgoing:
        return result
    other = _majority_outcome(config.outgoing, votes)
    if result is False or other is False:
        return False
    return True if result and other else None


def is_voter(config: Config, node: str) -> bool:
    """Whether a node has a vote in either half of the configuration."""
    return node in config.voters or node in config.outgoing


def members(config: Config) -> tuple[str, ...]:
    """All who receive the log, in ascending order."""
    return tuple(sorted({*config.voters, *config.outgoing, *config.learners}))


def _majority_index(voters: tuple[str, ...], matched: Mapping[str, int]) -> int:
    if not voters:
        return 0
    indexes = sorted([matched.get(voter, 0) for voter in voters])
    return indexes[(len(indexes) - 1) >> 1]


def _has_majority(voters: tuple[str, ...], nodes: Collection[str]) -> bool:
    return sum([voter in nodes for voter in voters]) >= majority(len(voters))


def _majority_outcome(voters: tuple[str, ...], votes: Mapping[str, bool]) -> bool | None:
    granted = sum([votes.get(voter) is True for voter in voters])
    refused = sum([votes.get(voter) is False for voter in voters])
    needed = majority(len(voters))
    if granted >= needed:
        return True
    return False if len(voters) - refused < needed else None
