"""What nodes believe, and who owns what: looked up now and then in a run that goes on.

Looking changes nothing: it reads the cores between two events, and puts nothing on the world's calendar.
"""

from typing import NamedTuple

from hubless_sim.gossip.run import GossipRun
from hubless_sim.mesh.host import MeshHost
from hubless_sim.mesh.run import MeshRun
from hubless_sim.names import place_of
from hubless_sim.run import Run
from hubless_sim.shards.host import ShardHost

_MOST_LOOKS = 1_200
_LEAST_PAUSE_NS = 2_000_000

UNKNOWN = -1
"""A node that is down, or has not heard of the other, believes nothing of it."""

Owners = tuple[tuple[int, int], ...]


class Belief(NamedTuple):
    """From now on ``observer`` holds ``subject`` to be in this condition (of ``Condition``, or UNKNOWN)."""

    at_ns: int
    observer: int
    subject: int
    condition: int


class Ownership(NamedTuple):
    """From now on these take themselves for the owner of a shard: (node, term), in order of the nodes."""

    at_ns: int
    shard: int
    owners: Owners


class Looks:
    """What was seen, as changes in order of time. ``shards`` is 0 for a system without any."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self.has_members = False
        self.beliefs: list[Belief] = []
        self.ownerships: list[Ownership] = []


class Onlooker:
    """Looks at all nodes of a run every now and then, and whenever something has just been broken."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pause_ns = max(_LEAST_PAUSE_NS, run.tape.duration_ms * 1_000_000 // _MOST_LOOKS)
        self._due_ns = self._last_ns = 0
        self._noticed = 0
        self.looks = Looks(getattr(run.tape.system, "shards", 0))
        self.looks.has_members = isinstance(run, GossipRun | MeshRun)
        self._beliefs: dict[int, dict[int, int]] = {}
        self._owners: dict[int, Owners] = {}

    def before(self, now_ns: int) -> None:
        """Something will happen now: look at what there is if it is time to, or if the last event broke something."""
        noticed = self._run.noticed()
        if noticed > self._noticed:
            self._noticed = noticed
            self.look(self._last_ns)
        if now_ns >= self._due_ns:
            self.look(now_ns)
        self._last_ns = now_ns

    def look(self, now_ns: int) -> None:
        """Note what has changed since the last look."""
        self._due_ns = now_ns + self._pause_ns
        if self.looks.has_members:
            for node in range(self._run.tape.nodes):
                self._look_at_beliefs(now_ns, node)
        if self.looks.shards:
            self._look_at_owners(now_ns)

    def _look_at_beliefs(self, now_ns: int, node: int) -> None:
        host = self._run.world.host(node)
        now: dict[int, int] = {}
        if host is not None:
            core = host.gossip if isinstance(host, MeshHost) else host.core
            for member in core.members():
                now[place_of(member.node)] = int(member.condition)
        before = self._beliefs.get(node, {})
        if now == before:
            return
        self._beliefs[node] = now
        for subject in sorted({*now, *before}):
            condition = now.get(subject, UNKNOWN)
            if condition != before.get(subject, UNKNOWN):
                self.looks.beliefs.append(Belief(now_ns, node, subject, condition))

    def _look_at_owners(self, now_ns: int) -> None:
        owners: dict[int, list[tuple[int, int]]] = {}
        for node in range(self._run.tape.nodes):
            for shard, term in _owned(self._run.world.host(node)):
                owners.setdefault(shard, []).append((node, term))
        for shard in sorted({*owners, *self._owners}):
            now = tuple(owners.get(shard, ()))
            if now != self._owners.get(shard, ()):
                self._owners[shard] = now
                self.looks.ownerships.append(Ownership(now_ns, shard, now))


def _owned(host: object) -> list[tuple[int, int]]:
    """The shards that a process takes itself for the owner of, and in which terms."""
    match host:
        case MeshHost():
            rows = host.node.keeping.shard_rows() if host.node.keeping.owns_any else []
            return [(row["shard"], row["term"]) for row in rows if row["is_owner"]]
        case ShardHost():
            return [(row.shard, row.term) for row in host.replicas.rows() if row.role == "owner"]
        case _:
            return []
