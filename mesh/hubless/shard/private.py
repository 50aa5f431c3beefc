"""The one log of a node that is nobody else's: what it takes on while no shard is within reach.

It is a group like the others, in the same journal and the same commits, whose only voter is this node for ever. No
message can name it: the numbers of shards that peers send begin at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

PRIVATE: Final = -1
"""Its number where others have that of their shard."""


def with_own(me: str, preferences: Callable[[int], Sequence[str]]) -> Callable[[int], Sequence[str]]:
    """Preference lists of the shards, and beside them that of this node's own log: it belongs here and nowhere else."""
    own = (me,)
    return lambda shard: own if shard == PRIVATE else preferences(shard)
