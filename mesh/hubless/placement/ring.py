"""The consistent hash ring of one membership view.

uhashring places the points: a node's points come from `uhashring.HashRing`, with the hash below. This module
adds what a mesh needs around it: a ring that never changes once built (one object shared by every shard and
agent), the successor of a view without rehashing the nodes that stayed, and a walk that stops at the n-th
distinct node.

Rules:

* The same members give the same ring on every node, whatever their order of arrival and the hash seed.
* `built(members)` equals a fresh `uhashring.HashRing` over them; `changed` equals `built` of the result.
* A key belongs to the first point whose hash is greater than the key's (uhashring's rule), clockwise.

Points are 128 bits of BLAKE2b: a collision, on which two rings could disagree, costs 2**64 hashes to find,
also for somebody who chooses node ids on purpose. (uhashring's own MD5 falls to a laptop, and is
absent from Python builds that are restricted to approved hashes.)
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from types import MappingProxyType

import msgspec
from uhashring import HashRing

VNODES = 160
"""Points per unit of weight: a node's share strays from fair by about 1/sqrt(160) = 8 % (one sigma)."""

MAX_WEIGHT = 64
MAX_VNODES = 4096
RING_SIZE = 1 << 128


class RingMember(msgspec.Struct, frozen=True, gc=False, order=True):
    """A node's seat on the ring. `weight` (1..64) multiplies its points; `zone` is what fails together.

    `since_ms` is when the node was made, in unix time, 0 if it does not say: the older has the first choice of shards.
    """

    node: str
    weight: int = 1
    zone: str = ""
    since_ms: int = 0


def ring_hash(key: str | bytes) -> int:
    """Position of a key on the ring: 128 bits, the same in every process."""
    raw = key if isinstance(key, bytes) else key.encode()
    return int.from_bytes(blake2b(raw, digest_size=16).digest(), "big")


class Ring:
    """Immutable view of the ring; build with `Ring.built`, follow the view with `changed`.

    Building is pure and touches no shared state, so a shell may run it in a thread and swap the reference.
    """

    __slots__ = ("_at", "_keys", "_members", "_vnodes", "_zones")

    def __init__(
        self, members: Mapping[str, RingMember], keys: list[int], at: list[str], vnodes: int
    ) -> None:
        """Internal: `keys` ascending, `at[i]` the node whose point `keys[i]` is. Use `Ring.built`."""
        self._members = MappingProxyType({node: members[node] for node in sorted(members)})
        self._zones = MappingProxyType(Counter(member.zone for member in members.values()))
        self._keys = keys
        self._at = at
        self._vnodes = vnodes

    @classmethod
    def built(cls, members: Iterable[RingMember], *, vnodes: int = VNODES) -> "Ring":
        """A ring from scratch (0.2 s for 1,000 nodes). All nodes of a mesh must use the same `vnodes`.

        Raises ValueError for a node named twice, an empty name, or a weight or `vnodes` out of range.
        """
        if not 1 <= vnodes <= MAX_VNODES:
            raise ValueError(f"vnodes must be 1..{MAX_VNODES}, got {vnodes}")
        seats = _by_node(members)
        points = _points(seats.values(), vnodes)
        return cls(seats, [key for key, _ in points], [node for _, node in points], vnodes)

    @property
    def members(self) -> Mapping[str, RingMember]:
        """Members by node, in the order of their names."""
        return self._members

    @property
    def zones(self) -> Mapping[str, int]:
        """How many members each zone has."""
        return self._zones

    @property
    def vnodes(self) -> int:
        """Points per unit of weight."""
        return self._vnodes

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, node: object) -> bool:
        return node in self._members

    def points(self) -> Iterator[tuple[int, str]]:
        """(position, node) of every point, ascending: what `uhashring.HashRing.get_points` lists."""
        return zip(self._keys, self._at, strict=True)

    def owners(self, key: str | bytes, count: int) -> tuple[str, ...]:
        """The first `count` distinct nodes clockwise from the key; fewer if there are fewer members."""
        wanted = min(count, len(self._members))
        at = self._at
        size = len(at)
        index = bisect_right(self._keys, ring_hash(key))
        found: list[str] = []
        while len(found) < wanted:
            if index >= size:
                index = 0
            node = at[index]
            if node not in found:
                found.append(node)
            index += 1
        return tuple(found)

    def walk(self, key: str | bytes) -> Iterator[str]:
        """All members, each once, in the order in which a walk clockwise from the key meets them."""
        at = self._at
        size = len(at)
        left = len(self._members)
        start = bisect_right(self._keys, ring_hash(key))
        met: set[str] = set()
        for step in range(size):
            index = start + step
            node = at[index if index < size else index - size]
            if node not in met:
                met.add(node)
                yield node
                left -= 1
                if not left:
                    return

    def with_member(self, member: RingMember) -> "Ring":
        """This ring plus one member, or with that member's seat replaced by this one."""
        return self._replaced({**self._members, **_by_node([member])})

    def without(self, node: str) -> "Ring":
        """This ring minus one member; raises ValueError if it is not on the ring."""
        if node not in self._members:
            raise ValueError(f"node {node!r} is not on the ring; known nodes are in ring.members")
        return self._replaced({name: member for name, member in self._members.items() if name != node})

    def changed(self, members: Iterable[RingMember]) -> "Ring":
        """The ring of another view; hashes only the nodes that came, left, or changed weight."""
        return self._replaced(_by_node(members))

    def _replaced(self, members: Mapping[str, RingMember]) -> "Ring":
        old = self._members
        if members == old:
            return self
        gone = [m for m in old.values() if m.node not in members or members[m.node].weight != m.weight]
        come = [m for m in members.values() if m.node not in old or old[m.node].weight != m.weight]
        keys, at = self._keys, self._at
        if gone:
            keys, at = _cut(keys, at, _points(gone, self._vnodes))
        if come:
            keys, at = _merged(keys, at, _points(come, self._vnodes))
        return Ring(members, keys, at, self._vnodes)


def _by_node(members: Iterable[RingMember]) -> dict[str, RingMember]:
    seats: dict[str, RingMember] = {}
    for member in members:
        if not member.node:
            raise ValueError("a ring member needs a node id, got an empty string")
        if not 1 <= member.weight <= MAX_WEIGHT:
            raise ValueError(f"weight of {member.node!r} must be 1..{MAX_WEIGHT}, got {member.weight}")
        if member.node in seats:
            raise ValueError(f"node {member.node!r} is listed twice; a node has one seat on the ring")
        seats[member.node] = member
    return seats


def _points(members: Iterable[RingMember], vnodes: int) -> list[tuple[int, str]]:
    """Points of some members, ascending, as uhashring places them."""
    weights = {member.node: member.weight for member in members}
    placed: list[tuple[int, str]] = HashRing(weights, vnodes=vnodes, hash_fn=ring_hash).get_points()
    return placed


def _merged(keys: list[int], at: list[str], points: Iterable[tuple[int, str]]) -> tuple[list[int], list[str]]:
    """Both lists with ascending `points` put in; copies runs, so it costs a memcpy and not a sort."""
    new_keys: list[int] = []
    new_at: list[str] = []
    done = 0
    for key, node in points:
        index = bisect_left(keys, key, done)
        new_keys += keys[done:index]
        new_at += at[done:index]
        new_keys.append(key)
        new_at.append(node)
        done = index
    new_keys += keys[done:]
    new_at += at[done:]
    return new_keys, new_at


def _cut(keys: list[int], at: list[str], points: Iterable[tuple[int, str]]) -> tuple[list[int], list[str]]:
    """Both lists with ascending `points` taken out; every one of them is there."""
    new_keys: list[int] = []
    new_at: list[str] = []
    done = 0
    for key, _ in points:
        index = bisect_left(keys, key, done)
        new_keys += keys[done:index]
        new_at += at[done:index]
        done = index + 1
    new_keys += keys[done:]
    new_at += at[done:]
    return new_keys, new_at
