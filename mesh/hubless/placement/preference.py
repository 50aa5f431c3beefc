"""Who should hold a shard, which shard a key or task belongs to, and in which order executors are asked.

A preference list is the first n distinct nodes clockwise on the ring (Dynamo, SOSP 2007, section 4.3), zones
first: as long as there is a zone without a replica, a second node of a zone is passed over; places that are
left are filled with the nodes passed over, in ring order. Those who have declined the shard (see `shares`) come after
all others, in ring order. Choosing greedily keeps these promises:

* a list of n is a prefix of the list of n + 1;
* one node joining, as the youngest, puts at most that node in and at most one other out; its leaving, while it is the
  youngest, undoes just that;
* as a list of the mesh's replicas it is spread over as many zones as it would be if nobody declined anything.
"""

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

from hubless.placement.ring import Ring, RingMember
from hubless.placement.shares import decliners, shard_key

MAX_SHARDS = 1 << 16
TASK_ID_BYTES = 16
_SHARD_BYTES = 2

POSITIONS = 256
"""Starting points of an agent's ring. Bounded load evens out what 256 arcs leave uneven."""

SPARES = 3
"""Nodes after a shard's preference list that may have to stand in for those of it."""

ORDER_LIMIT = 16
"""Executors listed per position; beyond them the least loaded of all serves better than the next."""


def shard_of_key(key: bytes | str, shards: int) -> int:
    """Shard of an idempotency or agent key; the same in every process and for the life of the mesh."""
    _check_shards(shards)
    raw = key if isinstance(key, bytes) else key.encode()
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big") % shards


def mint_task_id(shard: int, random_bytes: bytes) -> bytes:
    """A task id of 16 bytes: the shard (2, big endian), then the 14 given random ones."""
    if not 0 <= shard < MAX_SHARDS:
        raise ValueError(f"shard must be 0..{MAX_SHARDS - 1}, got {shard}")
    if len(random_bytes) != TASK_ID_BYTES - _SHARD_BYTES:
        raise ValueError(
            f"random_bytes must hold {TASK_ID_BYTES - _SHARD_BYTES} bytes, got {len(random_bytes)}"
        )
    return shard.to_bytes(_SHARD_BYTES, "big") + random_bytes


def shard_of_task(task: bytes) -> int:
    """Shard that a task id was minted for. It may exceed the mesh's shard count if the id is foreign."""
    if len(task) != TASK_ID_BYTES:
        raise ValueError(f"a task id has {TASK_ID_BYTES} bytes, got {len(task)}")
    return int.from_bytes(task[:_SHARD_BYTES], "big")


def is_task_id(task: bytes, shards: int) -> bool:
    """Whether bytes are the id of a task in a mesh of so many shards."""
    return len(task) == TASK_ID_BYTES and int.from_bytes(task[:_SHARD_BYTES], "big") < shards


def preference_list(
    ring: Ring, key: str | bytes, count: int, declined: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """`count` distinct nodes for a key, spread over zones; fewer if the ring has fewer members.

    The members that have `declined` are in it only if there are too few others, and then at its end.
    """
    if len(ring.zones) <= 1 and not declined:
        return ring.owners(key, count)
    members = ring.members
    wanted = min(count, len(members))
    places = min(wanted, len(members) - len(declined))
    room = places - min(places, _taking_zones(ring, declined))
    zones: set[str] = set()
    chosen: list[str] = []
    passed_over: list[str] = []
    last: list[str] = []
    for node in ring.walk(key):
        zone = members[node].zone
        if node in declined:
            last.append(node)
        elif zone not in zones:
            zones.add(zone)
            chosen.append(node)
        elif len(passed_over) < room:
            passed_over.append(node)
        if len(chosen) + len(passed_over) == places and len(last) >= wanted - places:
            break
    return tuple((chosen + passed_over + last)[:wanted])


def _taking_zones(ring: Ring, declined: frozenset[str]) -> int:
    """How many zones have a member that has not declined."""
    lost = Counter(ring.members[node].zone for node in declined)
    return len(ring.zones) - sum(count == ring.zones[zone] for zone, count in lost.items())


class Preferences:
    """Preference lists of all shards in one view.

    Who declines what is worked out at once (30 ms for 1,000 nodes, 64 shards), each list when first asked for. To build
    them touches no shared state: a shell may do it in a thread.
    """

    __slots__ = ("_declined", "_lists", "_replicas", "_ring", "_shards", "_spares")

    def __init__(self, ring: Ring, *, shards: int = 64, replicas: int = 3) -> None:
        _check_shards(shards)
        if replicas < 1:
            raise ValueError(f"replicas must be at least 1, got {replicas}")
        self._ring = ring
        self._shards = shards
        self._replicas = replicas
        self._declined = decliners(ring, shards=shards, replicas=replicas)
        self._lists: dict[int, tuple[str, ...]] = {}
        self._spares: dict[int, tuple[str, ...]] = {}

    def changed(self, members: Iterable[RingMember]) -> "Preferences":
        """The preferences of another view: these, if it has the same members."""
        ring = self._ring.changed(members)
        if ring is self._ring:
            return self
        return Preferences(ring, shards=self._shards, replicas=self._replicas)

    @property
    def ring(self) -> Ring:
        """The ring these lists were read from."""
        return self._ring

    @property
    def shards(self) -> int:
        """Number of shards of the mesh."""
        return self._shards

    def of_shard(self, shard: int) -> tuple[str, ...]:
        """Preference list of a shard, preferred owner first; empty on an empty ring.

        Raises ValueError for a shard that the mesh does not have.
        """
        known = self._lists.get(shard)
        if known is not None:
            return known
        if not 0 <= shard < self._shards:
            raise ValueError(f"shard must be 0..{self._shards - 1}, got {shard}")
        fresh = self._listed(shard, self._replicas)
        self._lists[shard] = fresh
        return fresh

    def spares(self, shard: int) -> tuple[str, ...]:
        """Who comes after the list of a shard, to stand in for nodes of it: at most SPARES nodes.

        Raises ValueError for a shard that the mesh does not have.
        """
        known = self._spares.get(shard)
        if known is None:
            listed = self.of_shard(shard)
            longer = self._listed(shard, self._replicas + SPARES)
            known = self._spares[shard] = longer[len(listed) :]
        return known

    def of_key(self, key: bytes | str) -> tuple[str, ...]:
        """Preference list of the shard that a key belongs to."""
        return self.of_shard(shard_of_key(key, self._shards))

    def owned_by(self, node: str) -> tuple[int, ...]:
        """Shards, ascending, whose preferred owner is the node."""
        return tuple(shard for shard in range(self._shards) if self.of_shard(shard)[:1] == (node,))

    def _listed(self, shard: int, count: int) -> tuple[str, ...]:
        return preference_list(self._ring, shard_key(shard), count, self._declined[shard])


class AgentRing:
    """Order in which executors of one agent are asked, for one set of nodes that offer it.

    Made anew whenever the view or the set of offering nodes changes: making one is cheap, orders are worked
    out when first asked for. Nodes that offer the agent but are not on the ring are left out.
    """

    __slots__ = ("_agent", "_limit", "_nodes", "_orders", "_ring")

    def __init__(self, ring: Ring, agent: str, offering: Iterable[str], *, limit: int = ORDER_LIMIT) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self._ring = ring
        self._agent = agent
        self._nodes = frozenset(node for node in offering if node in ring)
        self._limit = min(limit, len(self._nodes))
        self._orders: list[tuple[str, ...] | None] = [None] * POSITIONS

    @property
    def agent(self) -> str:
        """Name of the agent."""
        return self._agent

    @property
    def nodes(self) -> frozenset[str]:
        """Members of the ring that offer the agent."""
        return self._nodes

    def order(self, key: bytes) -> tuple[str, ...]:
        """Executors for a task id or an agent key, first choice first, at most `limit` of them."""
        position = blake2b(key, digest_size=1).digest()[0]
        known = self._orders[position]
        if known is not None:
            return known
        fresh = self._walked(position)
        self._orders[position] = fresh
        return fresh

    def _walked(self, position: int) -> tuple[str, ...]:
        found: list[str] = []
        if not self._limit:
            return ()
        for node in self._ring.walk(f"{self._agent}/{position}"):
            if node in self._nodes:
                found.append(node)
                if len(found) == self._limit:
                    break
        return tuple(found)


def _check_shards(shards: int) -> None:
    if not 1 <= shards <= MAX_SHARDS:
        raise ValueError(f"shards must be 1..{MAX_SHARDS}, got {shards}")
