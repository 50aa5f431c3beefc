"""The members this node knows, each with the winning claim about it. Storage and counts, no judgement."""

from __future__ import annotations

from collections.abc import Iterator

from hubless_gossip.claims import Claim, Rank, Statement, fingerprint
from hubless_gossip.digest import ViewHash
from hubless_gossip.member import Address, Condition, Member
from hubless_gossip.ring import Ring

_CONDITIONS = tuple(Condition(rank) for rank in range(5))


class Table:
    """Claims by node, every one with its statement. Claims are shared, immutable values; what differs
    per observer (when, load) is kept beside them."""

    __slots__ = ("_busy", "_claims", "_finals", "_loads", "_since", "digest", "ring", "suspects", "troubled")

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._since: dict[str, int] = {}
        self._loads: dict[str, int] = {}
        self._busy: set[str] = set()
        self._finals: dict[str, int] = {}
        self.ring = Ring()
        self.digest = ViewHash()
        self.suspects = 0
        self.troubled: dict[str, None] = {}
        """Live members held busy or suspect, the longest first."""

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, node: str) -> bool:
        return node in self._claims

    def get(self, node: str) -> Claim | None:
        return self._claims.get(node)

    def claims(self) -> Iterator[Claim]:
        """All claims, the oldest known member first."""
        return iter(self._claims.values())

    def finals(self) -> dict[str, int]:
        """The dead and the left with the moment (ns) they became so, in that order. Read only."""
        return self._finals

    def is_live(self, node: str) -> bool:
        claim = self._claims.get(node)
        return claim is not None and claim.standing.rank < Rank.DEAD

    def put(self, claim: Claim, now_ns: int) -> None:
        """Store the winning claim. It must have a statement."""
        node, new = claim.node, claim.standing
        if claim.statement is None:
            raise ValueError(f"claim about {node} has no statement: the table keeps where members are")
        held = self._claims.get(node)
        if held is not None:
            self._retire(held)
        self._claims[node] = claim
        old = held.standing if held is not None else None
        if old is None or (old.rank, old.boot) != (new.rank, new.boot):
            self._since[node] = now_ns
        if old is not None and old.boot != new.boot:
            self._forget_load(node)
        was_live = old is not None and old.rank < Rank.DEAD
        if new.rank < Rank.DEAD:
            self.digest.add(node, fingerprint(claim))
            self.suspects += new.rank == Rank.SUSPECT
            if new.rank != Rank.ALIVE:
                self.troubled.setdefault(node)
            self._finals.pop(node, None)
            if not was_live:
                self.ring.add(node)
            return
        self._finals.setdefault(node, now_ns)
        if was_live:
            self.ring.remove(node)
            self._forget_load(node)

    def drop(self, node: str) -> None:
        """Forget a dead or left member."""
        del self._claims[node], self._since[node], self._finals[node]
        self._forget_load(node)

    def hear_load(self, node: str, load: int, busy: bool) -> bool:
        """What a member told of itself directly. Returns whether its shown condition changed."""
        if load:
            self._loads[node] = load
        else:
            self._loads.pop(node, None)
        if busy == (node in self._busy):
            return False
        if busy:
            self._busy.add(node)
        else:
            self._busy.discard(node)
        claim = self._claims.get(node)
        return claim is not None and claim.standing.rank == Rank.ALIVE

    def address(self, node: str) -> Address | None:
        claim = self._claims.get(node)
        return None if claim is None or claim.statement is None else claim.statement.address

    def condition(self, node: str) -> Condition | None:
        """As shown to users: the winning claim, or busy if an alive member says so itself."""
        claim = self._claims.get(node)
        if claim is None:
            return None
        rank = claim.standing.rank
        return Condition.BUSY if rank == Rank.ALIVE and node in self._busy else _CONDITIONS[rank]

    def member(self, node: str) -> Member | None:
        claim = self._claims.get(node)
        condition = self.condition(node)
        if claim is None or condition is None:
            return None
        said = _said(claim)
        return Member(
            node,
            claim.standing.boot,
            claim.standing.incarnation,
            condition,
            said.address,
            said.meta,
            self._loads.get(node, 0),
            self._since[node],
        )

    def members(self) -> tuple[Member, ...]:
        """Everybody known, the remembered dead included, by node id."""
        found = (self.member(node) for node in sorted(self._claims))
        return tuple(member for member in found if member is not None)

    def _retire(self, held: Claim) -> None:
        if held.standing.rank < Rank.DEAD:
            self.digest.remove(held.node, fingerprint(held))
            self.suspects -= held.standing.rank == Rank.SUSPECT
            self.troubled.pop(held.node, None)

    def _forget_load(self, node: str) -> None:
        self._loads.pop(node, None)
        self._busy.discard(node)


def _said(claim: Claim) -> Statement:
    if claim.statement is None:
        raise ValueError(f"claim about {claim.node} has no statement")
    return claim.statement
