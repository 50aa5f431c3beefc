"""Which shards a member declines, so that it takes at most 1.2 times its fair share of the places when it joins.

A consistent hash ring is fair on average only: one newcomer in four would get more than that (64 shards, 20 nodes).
So members take their shards in order of age, oldest first, and each looks at the older ones alone:

* It *wants* a shard if it would be in its preference list, of those who are older and have not declined the shard.
* Its bound is 1.2 times its fair share among those who are as old: of the places (shards x replicas), in proportion to
  weights, but nobody has a shard twice. It is rounded down, and at least 1.
* What it wants beyond that it declines, the shards farthest before it on the ring first: it is the last in most of
  their lists, and few others lose or gain a place with it.
* It never declines a shard that it brings another zone to: being spread outranks being fair.
* Who does not say how old it is (a node of an earlier release) declines nothing.

What follows:

* A newcomer is the youngest, so nobody else's declines change with it: a join moves to it what it takes, and no more.
* `replicas` members or more have not declined a shard, if there are so many at all.
* A leave changes a few declines of younger members besides what it must move.

Only the order of ages counts. Where clocks disagree a newcomer may pass for older than it is: it looks at fewer members
then, so that its bound is a larger one, and declines of those that pass for younger change with it.
"""

from bisect import bisect_right, insort

from hubless.placement.ring import RING_SIZE, Ring, RingMember, ring_hash

_NUMERATOR, _DENOMINATOR = 6, 5
"""1.2 as a ratio: floating point has no place where all nodes must find the same."""

_NOBODY: frozenset[str] = frozenset()


def shard_key(shard: int) -> str:
    """What is hashed to find a shard's place on the ring."""
    return f"shard-{shard}"


def decliners(ring: Ring, *, shards: int, replicas: int) -> tuple[frozenset[str], ...]:
    """By shard, the members that have declined it."""
    found: list[set[str]] = [set() for _ in range(shards)]
    keys = [ring_hash(shard_key(shard)) for shard in range(shards)]
    takers = [_Takers(replicas) for _ in range(shards)]
    fair = _Fairness(shards, replicas)
    points: dict[str, list[int]] = {node: [] for node in ring.members}
    for point, node in ring.points():
        points[node].append(point)
    for member in sorted(ring.members.values(), key=_age):
        fair.count(member.weight)
        distances = _distances(points[member.node], keys)
        wanted = [
            shard for shard, distance in enumerate(distances) if takers[shard].want(distance, member.zone)
        ]
        surplus = len(wanted) - fair.bound(member.weight)
        if surplus > 0 and member.since_ms:
            spare = [shard for shard in wanted if not takers[shard].lack(member.zone)]
            spare.sort(key=distances.__getitem__, reverse=True)
            for shard in spare[:surplus]:
                found[shard].add(member.node)
        for shard in wanted:
            if member.node not in found[shard]:
                takers[shard].add(distances[shard], member.zone)
    return tuple(frozenset(nodes) if nodes else _NOBODY for nodes in found)


def _age(member: RingMember) -> tuple[int, str]:
    return member.since_ms, member.node


def _distances(points: list[int], keys: list[int]) -> list[int]:
    """How far clockwise from each key a member's next point is."""
    last = len(points)
    first = points[0] + RING_SIZE
    return [(points[index] if (index := bisect_right(points, key)) < last else first) - key for key in keys]


class _Takers:
    """Who has one shard so far: by zone its nearest member, and the nearest of the others for the places left."""

    __slots__ = ("_firsts", "_others", "_replicas")

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self._firsts: dict[str, int] = {}
        self._others: list[int] = []

    def lack(self, zone: str) -> bool:
        """Whether a member of the zone spreads the shard over one zone more."""
        return zone not in self._firsts and len(self._firsts) < self._replicas

    def want(self, distance: int, zone: str) -> bool:
        """Whether a member of the zone, so far from the shard, is in the preference list of these and itself."""
        firsts, others = self._firsts, self._others
        if len(firsts) + len(others) < self._replicas:
            return True
        first = firsts.get(zone)
        if first is None:
            return len(firsts) < self._replicas or distance < max(firsts.values())
        return distance < first or (len(others) > 0 and distance < others[-1])

    def add(self, distance: int, zone: str) -> None:
        """Takes a member in that is wanted; who has no place any more goes."""
        firsts, others = self._firsts, self._others
        first = firsts.get(zone)
        if first is None:
            firsts[zone] = distance
        else:
            firsts[zone] = min(first, distance)
            insort(others, max(first, distance))
        if len(firsts) > self._replicas:
            del firsts[max(firsts, key=firsts.__getitem__)]
        del others[self._replicas - len(firsts) :]


class _Fairness:
    """The fair shares of a growing number of members."""

    __slots__ = ("_heaviest", "_replicas", "_shards", "_weights")

    def __init__(self, shards: int, replicas: int) -> None:
        self._shards = shards
        self._replicas = replicas
        self._weights = 0
        self._heaviest: list[int] = []
        """Negative, so that the heaviest is first. Only as many as there are replicas can have every shard."""

    def count(self, weight: int) -> None:
        """There is one member more."""
        self._weights += weight
        insort(self._heaviest, -weight)
        del self._heaviest[self._replicas :]

    def bound(self, weight: int) -> int:
        """1.2 times the fair share of a member. Whose part of the places is every shard leaves the rest to others."""
        places, weights = self._shards * self._replicas, self._weights
        for negative in self._heaviest:
            if -negative * places < self._shards * weights:
                break
            places -= self._shards
            weights += negative
        if weight * places >= self._shards * weights:
            return self._shards
        return max(1, _NUMERATOR * weight * places // (_DENOMINATOR * weights))
