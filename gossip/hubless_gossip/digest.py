"""A hash of the whole view that is kept up to date member by member.

The hash of a set is the sum of its members' 64-bit fingerprints modulo 2^64: order does not matter and one
change costs two additions. Members fall into 64 buckets by the point of their id, so that two nodes whose
totals differ find the differing part in one more exchange. Only live members count: who has forgotten a
dead one sooner than others does not differ from them.
"""

from __future__ import annotations

from hubless_gossip.claims import node_point
from hubless_gossip.messages import BUCKETS

_MASK = 2**64 - 1


def bucket_of(node: str) -> int:
    return node_point(node) & (BUCKETS - 1)


class ViewHash:
    """Sums of fingerprints, by bucket and in total."""

    __slots__ = ("sums", "total")

    def __init__(self) -> None:
        self.sums: list[int] = [0] * BUCKETS
        self.total = 0

    def add(self, node: str, fingerprint: int) -> None:
        bucket = bucket_of(node)
        self.sums[bucket] = (self.sums[bucket] + fingerprint) & _MASK
        self.total = (self.total + fingerprint) & _MASK

    def remove(self, node: str, fingerprint: int) -> None:
        self.add(node, -fingerprint)

    def differing(self, sums: tuple[int, ...]) -> int:
        """The buckets in which another view differs, as a bit mask."""
        return sum(1 << k for k, (own, other) in enumerate(zip(self.sums, sums, strict=True)) if own != other)
