"""Where work goes: rings by which nodes place it, and whom they take for the owners of shards."""

from collections.abc import Iterator, Mapping

from hubless_sim.verdict import Violation


def unlike_rings(rings: Mapping[str, Mapping[str, object]]) -> Iterator[Violation]:
    """After the calm all who run have the same seats for each other. ``rings`` are theirs: by member, its seat.

    A member's own ring says what its seat is; who leaves has none. Seats of the dead may differ: they are given up
    some time after each node has heard of the death.
    """
    for node, ring in rings.items():
        wrong = sorted(other for other in rings if ring.get(other) != rings[other].get(other))
        if wrong:
            text = f"{node} places by a ring on which {', '.join(wrong)} have other seats than on their own"
            yield Violation("ring agreement", text, nodes=(node,))


Known = Mapping[int, tuple[int, str]]
"""By shard, the term and the owner that a node has heard of."""


def two_owners(known: Mapping[str, Known]) -> Iterator[Violation]:
    """Of one term of a shard all nodes know the same owner. Some may not have heard of the last term yet."""
    owners: dict[tuple[int, int], tuple[str, str]] = {}
    for node, shards in known.items():
        for shard, (term, owner) in shards.items():
            first, other = owners.setdefault((shard, term), (node, owner))
            if other != owner:
                text = f"{first} takes {other} for the owner of shard {shard} in term {term}, {node} takes {owner}"
                yield Violation("one owner known", text, nodes=(first, node))
