"""Who can stand in for whom: the pools that breakers are judged and limited in.

Keeps the breakers themselves (a link per peer, a gate per (peer, agent)), and for every pool which of its peers
are out (not closed) and which are suspect (out, or held in against the rule).
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from hubless.guard.breaker import Breaker
from hubless.guard.config import BreakerConfig
from hubless.guard.permit import Link, PeerAgent, Scope, State
from hubless.guard.window import Latencies
from hubless_gossip.marks import sometimes

_EVEN: Final[Mapping[str, float]] = MappingProxyType({})
_LARGE_POOL: Final = 64


class Gate:
    """What a call of one agent on one peer passes: the link's breaker and its own."""

    __slots__ = ("agent", "latencies", "link")

    def __init__(self, link: Breaker, agent: Breaker, latencies: Latencies) -> None:
        self.link = link
        self.agent = agent
        self.latencies = latencies


class PoolView(msgspec.Struct, frozen=True):
    """One pool as `mesh breakers` shows it; `agent` is "" for the pool of links."""

    agent: str
    peers: int
    out: tuple[str, ...]
    suspects: tuple[str, ...]
    panic: bool
    median_rate: float


class Pool:
    """Peers that can stand in for each other, for one agent, or for links (`agent` None)."""

    __slots__ = ("agent", "median_bucket", "median_rate", "out", "peers", "suspects", "weighed")

    def __init__(self, agent: str | None, peers: Iterable[str]) -> None:
        self.agent = agent
        self.peers = tuple(sorted(set(peers)))
        self.out: set[str] = set()
        self.suspects: set[str] = set()
        self.median_rate = 0.0
        self.median_bucket = -1
        self.weighed: tuple[int, int, Mapping[str, float]] = (-1, -1, _EVEN)


class Pools:
    """Breakers by scope and the pools they are in. Pure bookkeeping: `Breakers` decides and moves."""

    def __init__(self, config: BreakerConfig) -> None:
        self._config = config
        self._links: dict[str, Breaker] = {}
        self.gates: dict[tuple[str, str], Gate] = {}
        self._link_pool = Pool(None, ())
        self._agent_pools: dict[str, Pool] = {}
        self._members: dict[str, dict[str, Pool]] = {}
        self._hints: dict[str, tuple[float, int]] = {}
        self._version = 0
        self.distrust_reason = ""

    # -- membership ------------------------------------------------------------------------------------

    def replace(self, peers: Iterable[str], offers: Mapping[str, Iterable[str]]) -> None:
        """Another view; breakers of those who left stay only while they are open."""
        self._link_pool = Pool(None, peers)
        self._agent_pools = {agent: Pool(agent, offers[agent]) for agent in sorted(offers)}
        self._members = {peer: {"": self._link_pool} for peer in self._link_pool.peers}
        for agent, pool in self._agent_pools.items():
            for peer in pool.peers:
                self._members.setdefault(peer, {})[agent] = pool
        for key, gate in list(self.gates.items()):
            peer, agent = key
            if not self._belongs(gate.agent) and gate.agent.state is not State.OPEN:
                gate.agent.orphan = True
                del self.gates[key]
        still_used = {peer for peer, _ in self.gates}
        for peer, link in list(self._links.items()):
            if not self._belongs(link) and link.state is not State.OPEN and peer not in still_used:
                link.orphan = True
                del self._links[peer]
        self._hints = {peer: hint for peer, hint in self._hints.items() if peer in self._members}
        self._version += 1
        for peer in sorted({breaker.scope.peer for breaker in self.breakers() if breaker.suspect}):
            self.refresh(peer)

    def forget(self, peer: str) -> None:
        """Drops all breakers of a peer; its seat in the pools stays until the next view."""
        link = self._links.pop(peer, None)
        if link is not None:
            link.orphan = True
        for key in [key for key in self.gates if key[0] == peer]:
            self.gates.pop(key).agent.orphan = True
        self._hints.pop(peer, None)
        self.refresh(peer)

    def drop_if_departed(self, breaker: Breaker) -> bool:
        """Drops a breaker whose peer has left its pool (for a link: all pools); True if it did."""
        if self._belongs(breaker):
            return False
        match breaker.scope:
            case PeerAgent(peer=peer, agent=agent):
                del self.gates[peer, agent]
                breaker.orphan = True
            case Link(peer=peer):
                self.forget(peer)
        return True

    # -- breakers --------------------------------------------------------------------------------------

    def link(self, peer: str, now_ns: int, serial: int) -> Breaker | None:
        """The breaker of a peer's link, made if it is new; None if there are too many. `serial`: newest permit."""
        breaker = self._links.get(peer)
        if breaker is None and len(self._links) < self._config.max_scopes:
            breaker = self._links[peer] = Breaker(Link(peer), self._config, now_ns, serial)
        return breaker

    def gate(self, peer: str, agent: str, now_ns: int, serial: int) -> Gate | None:
        """A new gate for (peer, agent), None if there are too many."""
        link = self.link(peer, now_ns, serial)
        if link is None or len(self.gates) >= self._config.max_scopes:
            return None
        config = self._config
        gate = Gate(
            link,
            Breaker(PeerAgent(peer, agent), config, now_ns, serial),
            Latencies(factor=config.age_factor, floor_ns=config.age_floor_ns),
        )
        self.gates[peer, agent] = gate
        return gate

    def breakers(self) -> Iterator[Breaker]:
        """All of them: links by peer, then (peer, agent) in order."""
        for _, link in sorted(self._links.items()):
            yield link
        for _, gate in sorted(self.gates.items()):
            yield gate.agent

    # -- what the pool says ----------------------------------------------------------------------------

    def pool_of(self, scope: Scope) -> Pool | None:
        """The pool that judges a scope; None if it is in none."""
        pools = self._members.get(scope.peer, {})
        return pools.get(scope.agent if isinstance(scope, PeerAgent) else "")

    def refresh(self, peer: str) -> None:
        """Brings the pools of a peer up to date after one of its breakers changed."""
        self._version += 1
        link = self._links.get(peer)
        link_out = link is not None and link.state is not State.CLOSED
        link_suspect = link is not None and link.suspect
        for agent, pool in self._members.get(peer, {}).items():
            gate = None if pool.agent is None else self.gates.get((peer, agent))
            _put(pool.out, peer, link_out or (gate is not None and gate.agent.state is not State.CLOSED))
            _put(pool.suspects, peer, link_suspect or (gate is not None and gate.agent.suspect))

    def in_panic(self, pool: Pool | None) -> bool:
        """More suspects than can be true, or this node doubts itself."""
        if self.distrust_reason:
            return True
        return pool is not None and len(pool.suspects) > self._config.panic_share * len(pool.peers)

    def lets_through(self, scope: Scope, agent: str) -> bool:
        """Whether panic overrides a breaker on a call's way: its own pool's, or that of the agent called."""
        pools = self._members.get(scope.peer, {})
        return self.in_panic(pools.get(agent)) or (isinstance(scope, Link) and self.in_panic(pools.get("")))

    def hindrance(self, pool: Pool, peer: str) -> str:
        """Why the pool cannot spare the peer: "panic", "last", "share"; "" if it can."""
        if self.in_panic(pool):
            return "panic"
        out = len(pool.out) + (peer not in pool.out)
        if out >= len(pool.peers):
            return "last"
        return "share" if out > self._config.max_open_share * len(pool.peers) else ""

    def exceeds_median(self, pool: Pool, excess: float, now_ns: int) -> bool:
        """Whether `excess` lies above the pool's median failure rate now.

        Working the median out costs about 0.3 us a peer. In a large pool one from the same bucket may say no,
        so that a common failure does not cost that at every call; a yes is always checked against a fresh one.
        """
        bucket = now_ns // self._config.bucket_ns
        if len(pool.peers) > _LARGE_POOL and pool.median_bucket == bucket and excess <= pool.median_rate:
            return False
        pool.median_bucket = bucket
        pool.median_rate = self._median(pool, now_ns)
        return excess > pool.median_rate

    def _median(self, pool: Pool, now_ns: int) -> float:
        rates: list[float] = []
        for peer in pool.peers:
            if pool.agent is None:
                breaker = self._links.get(peer)
            else:
                gate = self.gates.get((peer, pool.agent))
                breaker = None if gate is None else gate.agent
            rates.append(0.0 if breaker is None else breaker.rate(now_ns))
        rates.sort()
        size = len(rates)
        return (rates[(size - 1) // 2] + rates[size // 2]) / 2 if size else 0.0

    # -- weights ---------------------------------------------------------------------------------------

    def distrust(self, reason: str) -> None:
        """Sets or, with "", lifts the doubt in this node itself."""
        self.distrust_reason = reason
        self._version += 1

    def hint(self, peer: str, weight: float, now_ns: int) -> bool:
        """Keeps a hint about a member; False for a stranger."""
        if peer not in self._members:
            return False
        sometimes("a degraded link lowered a peer's weight")
        self._hints[peer] = (max(self._config.min_weight, weight), now_ns + self._config.hint_ttl_ns)
        self._version += 1
        return True

    def weights(self, agent: str, now_ns: int) -> Mapping[str, float]:
        """Weights below 1 of an agent's pool; the mapping is shared and must not be changed."""
        pool = self._agent_pools.get(agent)
        if pool is None:
            return _EVEN
        panic = self.in_panic(pool) or self.in_panic(self._link_pool)
        if not panic and not self._hints:
            return _EVEN
        bucket = now_ns // self._config.bucket_ns
        version, weighed_bucket, weights = pool.weighed
        if version == self._version and weighed_bucket == bucket:
            return weights
        every = ((peer, self._weight(peer, agent, panic, now_ns)) for peer in pool.peers)
        weights = MappingProxyType({peer: weight for peer, weight in every if weight < 1.0})
        pool.weighed = (self._version, bucket, weights)
        return weights

    def _weight(self, peer: str, agent: str, panic: bool, now_ns: int) -> float:
        least = self._config.min_weight
        hinted, until_ns = self._hints.get(peer, (1.0, 0))
        weight = hinted if now_ns < until_ns else 1.0
        if panic:
            gate = self.gates.get((peer, agent))
            for breaker in (self._links.get(peer), None if gate is None else gate.agent):
                if breaker is None:
                    continue
                doomed = breaker.state is State.OPEN or breaker.evidence is not None
                weight = min(weight, least if doomed else 1.0 - breaker.rate(now_ns))
        return max(least, weight)

    def views(self, now_ns: int) -> tuple[PoolView, ...]:
        """All pools, that of the links first."""
        return tuple(
            PoolView(
                agent=pool.agent or "",
                peers=len(pool.peers),
                out=tuple(sorted(pool.out)),
                suspects=tuple(sorted(pool.suspects)),
                panic=self.in_panic(pool),
                median_rate=self._median(pool, now_ns),
            )
            for pool in (self._link_pool, *self._agent_pools.values())
        )

    def _belongs(self, breaker: Breaker) -> bool:
        match breaker.scope:
            case Link(peer=peer):
                return peer in self._members
            case PeerAgent(peer=peer, agent=agent):
                return agent in self._members.get(peer, {})


def _put(names: set[str], name: str, there: bool) -> None:
    if there:
        names.add(name)
    else:
        names.discard(name)
