"""What must survive a restart, and when it is written down."""

from __future__ import annotations

from hubless_gossip.claims import Rank
from hubless_gossip.config import GossipConfig
from hubless_gossip.events import REMEMBERED_PEERS_MAX, Remembered
from hubless_gossip.healing import Healer
from hubless_gossip.member import Peer
from hubless_gossip.own import Own
from hubless_gossip.table import Table
from hubless_gossip.view import View


class Memory:
    """A raised incarnation is written at once, before anybody hears of it; changed peers now and then."""

    __slots__ = ("_healer", "_interval_ns", "_own", "_table", "_written_ns")

    def __init__(self, config: GossipConfig, *, now_ns: int, table: Table, own: Own, healer: Healer) -> None:
        self._table = table
        self._own = own
        self._healer = healer
        self._interval_ns = config.persist_interval_ms * 1_000_000
        self._written_ns = now_ns - self._interval_ns

    def is_due(self, now_ns: int, view: View) -> bool:
        """Whether to write now. Taken as written if so."""
        rested = now_ns - self._written_ns >= self._interval_ns
        if not self._own.raised and not (view.peers_changed and rested):
            return False
        self._own.raised = view.peers_changed = False
        self._written_ns = now_ns
        return True

    def remembered(self) -> Remembered:
        """Own incarnation; live peers first, then the failed ones, then those not met yet."""
        live: list[Peer] = []
        failed: list[Peer] = []
        for claim in self._table.claims():
            said = claim.statement
            if said is None or claim.node == self._own.statement.node or claim.standing.rank == Rank.LEFT:
                continue
            peer = Peer(claim.node, claim.standing.boot, said.address)
            (failed if claim.standing.final else live).append(peer)
        peers = (live + failed + self._healer.failed())[:REMEMBERED_PEERS_MAX]
        return Remembered(self._own.statement.incarnation, tuple(peers))
