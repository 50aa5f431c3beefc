"""What this node says of itself. Only here is its incarnation raised: to say something new or to refute."""

from __future__ import annotations

import random

from hubless_gossip.claims import Claim, Rank, Standing, Statement, alive
from hubless_gossip.codec import pack_message, pack_statement
from hubless_gossip.config import GossipConfig
from hubless_gossip.counters import Counters
from hubless_gossip.health import Health, WakingClock
from hubless_gossip.marks import sometimes
from hubless_gossip.member import NUMBER_MAX, Identity
from hubless_gossip.messages import Accuses, Says
from hubless_gossip.outbox import Outbox
from hubless_gossip.rumours import Rumours
from hubless_gossip.table import Table


class Own:
    """This node's statement, in its own table like everybody else's."""

    __slots__ = (
        "_clock",
        "_config",
        "_counters",
        "_health",
        "_identity",
        "_outbox",
        "_rng",
        "_rumours",
        "_table",
        "leaving",
        "raised",
        "statement",
        "words",
    )

    def __init__(
        self,
        identity: Identity,
        config: GossipConfig,
        statement: Statement,
        *,
        now_ns: int,
        table: Table,
        rumours: Rumours,
        outbox: Outbox,
        health: Health,
        clock: WakingClock,
        counters: Counters,
        rng: random.Random,
    ) -> None:
        self._identity = identity
        self._config = config
        self._table = table
        self._rumours = rumours
        self._outbox = outbox
        self._health = health
        self._clock = clock
        self._counters = counters
        self._rng = rng
        self.statement = statement
        self.words = pack_message(Says(pack_statement(statement)))
        """The statement as a packed message."""
        self.leaving = False
        self.raised = False
        """The incarnation rose and has not been persisted yet; whoever persists it resets this."""
        table.put(alive(statement), clock.to_driver(now_ns))
        rumours.add(("says", identity.node), self.words)

    def state(self, now_ns: int, *, meta: bytes | None = None, above: int = 0) -> None:
        """Say something new, in an incarnation above the last one and above `above`."""
        self._say(now_ns, self.statement.meta if meta is None else meta, above, Rank.ALIVE)

    def leave(self, now_ns: int) -> None:
        """Say goodbye, to a few at once."""
        self.leaving = True
        self._say(now_ns, self.statement.meta, 0, Rank.LEFT)
        goodbye = self._goodbye()
        me = self._identity.node
        self._rumours.add(("accuses", me), goodbye, self._config.refutation_factor)
        for node in self._table.ring.draw(self._rng, 2 * self._config.eager_fanout, {me}):
            address = self._table.address(node)
            if address is not None:
                self._outbox.send_packed(address, self.words)
                self._outbox.send_packed(address, goodbye)

    def hear(self, now_ns: int, claim: Claim) -> bool:
        """Somebody else's claim about this node: refute what is wrong. True if it was news."""
        said, own = claim.standing, self.statement
        newest = max(said.incarnation, claim.statement.incarnation if claim.statement is not None else 0)
        if said.boot > own.boot or newest >= NUMBER_MAX:
            self._counters.displaced += 1
            return False
        if said.boot < own.boot or newest < own.incarnation or self.leaving:
            return False
        if newest == own.incarnation and said.rank == Rank.ALIVE:
            return False
        self.state(now_ns, above=newest)
        self._counters.refutations += 1
        if said.rank in {Rank.SUSPECT, Rank.DEAD}:
            sometimes("refuted a suspicion or a death of itself")
            self._health.worse()
            if self._config.lifeguard:
                self._protest(said.accusers)
        return True

    def _protest(self, accusers: tuple[str, ...]) -> None:
        """Send the refutation at once to the accusers and a few more."""
        drawn = self._table.ring.draw(self._rng, self._config.eager_fanout, {self._identity.node})
        for node in sorted({*accusers, *drawn}):
            address = self._table.address(node)
            if address is not None:
                self._outbox.send_packed(address, self.words)

    def _say(self, now_ns: int, meta: bytes, above: int, rank: Rank) -> None:
        identity = self._identity
        incarnation = max(self.statement.incarnation, above) + 1
        said = Statement(identity.node, identity.boot, incarnation, identity.address, meta)
        self.statement = said
        self.words = pack_message(Says(pack_statement(said)))
        claim = Claim(identity.node, Standing(identity.boot, incarnation, 0, rank), said)
        self._table.put(claim, self._clock.to_driver(now_ns))
        self.raised = True
        self._rumours.add(("says", identity.node), self.words, self._config.refutation_factor)

    def _goodbye(self) -> bytes:
        said = self.statement
        return pack_message(Accuses(said.node, Standing(said.boot, said.incarnation, 0, Rank.LEFT)))
