"""This node's picture of the mesh: who is there, what they offer, who owns which shard.

Fed by the membership events of gossip and by finished rings. It is a local opinion and may lag behind another
node's: whoever acts on it must do so in a way that a second opinion does not break.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass

from hubless.meta import Meta, Offer, unpack_meta
from hubless.placement import AgentRing, Preferences, Ring, RingMember
from hubless_gossip import Address, Condition, Member
from hubless_gossip.marks import sometimes

REPLICAS = 3
_NOBODY: frozenset[str] = frozenset()
_DEFAULT_DEADLINE_MS = 30_000
PRESENT = frozenset({Condition.ALIVE, Condition.BUSY, Condition.SUSPECT})
"""Conditions of a member that may still answer."""


@dataclass(slots=True)
class Known:
    """A member with its description decoded; `meta` is None until it has published a readable one.

    `is_replaced`: it has been dead for so long that others take its place.
    """

    member: Member
    meta: Meta | None
    is_replaced: bool = False


class View:
    """Members, offers and ownership as this node sees them.

    Args:
        me: this node's id.
        shards: number of shards of the mesh.
    """

    def __init__(self, *, me: str, shards: int) -> None:
        self._me = me
        self._shards = shards
        self._known: dict[str, Known] = {}
        self._takers: set[str] = set()
        self._cut_off: dict[str, set[str]] = {}
        self._preferences = Preferences(Ring.built(()), shards=shards, replicas=REPLICAS)
        self._owners: dict[int, tuple[int, str]] = {}
        self._agents: dict[str, dict[str, Offer]] = {}
        self._offers: dict[str, Offer] = {}
        self._agent_rings: dict[str, AgentRing] = {}
        self._least_payload_bytes = 2**53
        self.ring_is_stale = True
        self.pools_are_stale = True

    def __len__(self) -> int:
        return len(self._known)

    # -- feeding ----------------------------------------------------------------------------------------

    def learn(self, member: Member) -> None:
        """Takes in the newest record of a member."""
        before = self._known.get(member.node)
        if before is not None and before.member.meta == member.meta:
            meta = before.meta
        else:
            meta = unpack_meta(member.meta) if member.meta else None
        is_replaced = (
            before is not None and before.is_replaced and member.condition is before.member.condition
        )
        self._known[member.node] = Known(member, meta, is_replaced)
        if member.condition not in PRESENT or (before is not None and before.member.boot != member.boot):
            self._cut_off.pop(member.node, None)
        if meta is not None:
            self._least_payload_bytes = min(self._least_payload_bytes, meta.payload_bytes)
        if member.condition is Condition.ALIVE:
            self._takers.add(member.node)
        else:
            self._takers.discard(member.node)
        if before is None or _seat(before) != _seat(self._known[member.node]):
            self.ring_is_stale = True
        if before is None or _offers(before) != _offers(self._known[member.node]):
            self._index_offers()
        if before is None or (before.member.condition in PRESENT) != (member.condition in PRESENT):
            self.pools_are_stale = True

    def learn_link(self, reporter: str, target: str, *, degraded: bool) -> None:
        """One node reaches another no more but through others, or does so again; only links of this node matter."""
        if self._me not in (reporter, target):
            return
        other = target if reporter == self._me else reporter
        reporters = self._cut_off.setdefault(other, set())
        if degraded and self.is_present(other):
            reporters.add(reporter)
        else:
            reporters.discard(reporter)
        if not reporters:
            del self._cut_off[other]

    def learn_links(self, degraded: Iterable[tuple[str, str]]) -> None:
        """All links, of a reporter to a target, that are degraded just now."""
        self._cut_off.clear()
        for reporter, target in degraded:
            self.learn_link(reporter, target, degraded=True)

    def replace_dead(self, now_ns: int, after_ns: int) -> None:
        """Gives up the seats of the members that have been dead for so long."""
        for known in self._known.values():
            is_dead = known.member.condition is Condition.DEAD
            if is_dead and not known.is_replaced and now_ns - known.member.since_ns >= after_ns:
                known.is_replaced = True
                self.ring_is_stale = True

    def conditions(self) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """The members that are well, those that are in doubt (busy, suspect), and those that are gone."""
        well, doubtful, gone = set(), set(), set()
        for node, known in self._known.items():
            condition = known.member.condition
            if condition is Condition.ALIVE:
                well.add(node)
            elif condition in PRESENT:
                doubtful.add(node)
            else:
                gone.add(node)
        return frozenset(well), frozenset(doubtful), frozenset(gone)

    def draining(self) -> frozenset[str]:
        """The present members that leave, or want no part in keeping anything."""
        return frozenset(
            node
            for node, known in self._known.items()
            if known.meta is not None and known.meta.weight == 0 and self.is_present(node)
        )

    def has_other_seats(self) -> bool:
        """Whether any other present member could keep what this one keeps."""
        return any(
            node != self._me and known.meta is not None and known.meta.weight > 0 and self.is_present(node)
            for node, known in self._known.items()
        )

    def absent(self) -> list[str]:
        """The members that are dead or have left, as long as they are remembered."""
        return [node for node in sorted(self._known) if not self.is_present(node)]

    def forget(self, node: str) -> None:
        """Drops an absent member, whose tombstone gossip has given up: names of the dead must not pile up."""
        if not self.is_present(node):
            self._known.pop(node, None)

    def ring_members(self) -> tuple[RingMember, ...]:
        """What the ring of this view is to be built from.

        A dead member keeps its seat for a while, since its shards should not move for a mere restart.
        """
        self.ring_is_stale = False
        seats = (_seat(known) for _, known in sorted(self._known.items()))
        return tuple(seat for seat in seats if seat is not None)

    def pools(self) -> tuple[list[str], dict[str, list[str]]]:
        """The other present members, and per agent the nodes that offer it: among whom a breaker compares."""
        self.pools_are_stale = False
        peers = [node for node in sorted(self._known) if node != self._me and self.is_present(node)]
        return peers, {agent: sorted(offers) for agent, offers in sorted(self._agents.items())}

    @property
    def preferences(self) -> Preferences:
        """The newest finished ring and who should have which shard by it; they may be one view behind."""
        return self._preferences

    def ring_built(self, preferences: Preferences) -> None:
        """Takes a finished ring into use."""
        self._preferences = preferences
        self._agent_rings.clear()

    # -- members ----------------------------------------------------------------------------------------

    def known(self) -> Iterable[Known]:
        """Every member there is a record of, by node id."""
        return (known for _, known in sorted(self._known.items()))

    def member(self, node: str) -> Member | None:
        """The newest record of a node; None if it was never heard of."""
        known = self._known.get(node)
        return None if known is None else known.member

    def label(self, node: str) -> str:
        """How people call a node: its name and id, as far as known."""
        known = self._known.get(node)
        name = known.meta.name if known is not None and known.meta is not None else ""
        return f"{name} ({node})" if name else node

    def is_alive(self, node: str) -> bool:
        """Whether a node may be given new work."""
        return node in self._takers

    @property
    def takers(self) -> Container[str]:
        """The nodes that may be given new work; a live view."""
        return self._takers

    def is_present(self, node: str) -> bool:
        """Whether a node is a member that may still answer: alive, busy or suspect."""
        known = self._known.get(node)
        return known is not None and known.member.condition in PRESENT

    def is_silent(self, node: str) -> bool:
        """Whether a node is suspected: it answers nobody."""
        known = self._known.get(node)
        return known is not None and known.member.condition is Condition.SUSPECT

    @property
    def cut_off(self) -> Collection[str]:
        """The nodes that are there, and that this node does not reach, or not be reached by; a live view."""
        return self._cut_off

    def is_out_of_reach(self, node: str) -> bool:
        """Whether no answer is to be expected from a node: it is suspected, or cut off from this one."""
        return node in self._cut_off or self.is_silent(node)

    def has_others(self) -> bool:
        """Whether any other member is present."""
        return any(node != self._me and self.is_present(node) for node in self._known)

    def work_address(self, node: str) -> Address | None:
        """Where a present member takes work; None while that is unknown.

        Nothing is sent to the dead: it would wait in a queue for the next process at that address.
        """
        known = self._known.get(node)
        if known is None or known.meta is None or known.member.condition not in PRESENT:
            return None
        return known.meta.work

    def work_addresses(self) -> tuple[Address, ...]:
        """Work addresses of the live members, this node's first."""
        order = sorted(self._known, key=lambda node: (node != self._me, node))
        addresses = (self.work_address(node) for node in order if self.is_alive(node))
        return tuple(address for address in addresses if address is not None)

    def find(self, node_or_name: str) -> str | None:
        """The id of the present member with that id or name, or an id that begins so; None if not exactly one."""
        if not node_or_name:
            return None
        if self.is_present(node_or_name):
            return node_or_name
        present = [known for known in self.known() if known.member.condition in PRESENT]
        named = [known for known in present if known.meta is not None and known.meta.name == node_or_name]
        found = named or [known for known in present if known.member.node.startswith(node_or_name)]
        return found[0].member.node if len(found) == 1 else None

    # -- ownership --------------------------------------------------------------------------------------

    def preference(self, shard: int) -> tuple[str, ...]:
        """The preference list of a shard on the newest ring."""
        return self._preferences.of_shard(shard)

    def spares(self, shard: int) -> tuple[str, ...]:
        """Who comes after the preference list of a shard on the newest ring."""
        return self._preferences.spares(shard)

    def learn_owner(self, shard: int, term: int, node: str) -> bool:
        """Takes in who is said to own a shard in a term; whether that was news. Terms tell old news from new."""
        if not node or not 0 <= shard < self._shards:
            return False
        known = self._owners.get(shard)
        if known is not None and term <= known[0]:
            return False
        if known is not None and known[1] not in ("", node) and self.is_present(known[1]):
            sometimes("two owners of a shard known at once")
        self._owners[shard] = (term, node)
        return True

    def doubt_owner(self, shard: int, node: str) -> None:
        """The node itself says that it does not own the shard, or not yet."""
        term, owner = self._owners.get(shard, (0, ""))
        if owner == node:
            self._owners[shard] = (term - 1, "")  # it may come to own the shard in that very term

    def term_of_shard(self, shard: int) -> int:
        """The newest term in which an owner of the shard was heard of; 0 if none was."""
        return self._owners.get(shard, (0, ""))[0]

    def owner_of_shard(self, shard: int) -> str | None:
        """The node last said to own the shard, if it is present. Nobody may, for a moment after its death."""
        _, node = self._owners.get(shard, (0, ""))
        return node if node and self.is_present(node) else None

    def owned(self, node: str) -> tuple[int, ...]:
        """The shards that a node is said to own."""
        return tuple(shard for shard in range(self._shards) if self.owner_of_shard(shard) == node)

    def reachable(self) -> tuple[int, ...]:
        """The shards whose owner is present and answers."""
        owners = ((shard, self.owner_of_shard(shard)) for shard in range(self._shards))
        return tuple(shard for shard, owner in owners if owner is not None and not self.is_silent(owner))

    def too_small_for(self, payload: bytes) -> frozenset[str]:
        """The nodes that do not take a payload of this size."""
        size = len(payload)
        if size <= self._least_payload_bytes:
            return _NOBODY
        return frozenset(
            node
            for node, known in self._known.items()
            if known.meta is not None and known.meta.payload_bytes < size
        )

    # -- offers -----------------------------------------------------------------------------------------

    def agents(self) -> list[str]:
        """Names of all agents that present members offer."""
        return sorted(self._agents)

    def is_offered(self, agent: str) -> bool:
        return agent in self._agents

    def set_aside_by(self, agent: str) -> list[str]:
        """The present nodes that run an agent, and do not offer it just now, as it cost too many workers."""
        return [
            node
            for node, known in sorted(self._known.items())
            if known.meta is not None and agent in known.meta.aside and known.member.condition in PRESENT
        ]

    def offer(self, agent: str) -> Offer | None:
        """Any present member's offer of an agent: deadline and retries are the same wherever the code is."""
        return self._offers.get(agent)

    def offered_by(self, node: str) -> list[str]:
        """Names of the agents that one node offers."""
        return [agent for agent in self.agents() if node in self._agents[agent]]

    def own_slots(self, agent: str) -> int:
        """How many tasks of an agent this node runs at the same time."""
        offer = self._agents.get(agent, {}).get(self._me)
        return 0 if offer is None else offer.slots

    def default_deadline_ms(self, agent: str) -> int:
        """How long a caller waits who did not say: the agent's own deadline for each attempt it allows."""
        offer = self.offer(agent)
        return _DEFAULT_DEADLINE_MS if offer is None else offer.deadline_ms * (offer.retries + 1)

    def agent_ring(self, agent: str) -> AgentRing:
        """The order of executors of an agent."""
        ring = self._agent_rings.get(agent)
        if ring is None:
            ring = AgentRing(self._preferences.ring, agent, self._agents.get(agent, {}))
            self._agent_rings[agent] = ring
        return ring

    def _index_offers(self) -> None:
        agents: dict[str, dict[str, Offer]] = {}
        for node, known in sorted(self._known.items()):
            for offer in _offers(known):
                agents.setdefault(offer.name, {})[node] = offer
        self._agents = agents
        self._offers = {agent: next(iter(offers.values())) for agent, offers in agents.items()}
        self._agent_rings.clear()
        self.pools_are_stale = True


def _seat(known: Known) -> RingMember | None:
    """A member's place on the ring."""
    if known.meta is None or known.meta.weight == 0 or known.is_replaced:
        return None
    if known.member.condition is Condition.LEFT:
        return None
    return RingMember(known.member.node, known.meta.weight, known.meta.zone, known.meta.since_ms)


def _offers(known: Known) -> tuple[Offer, ...]:
    return known.meta.offers if known.meta is not None and known.member.condition in PRESENT else ()
