"""Monitored links: which ones this node wants, and what the kernel and the peers' I/O threads said on them."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from hubless_gossip.claims import Rank
from hubless_gossip.member import Peer
from hubless_gossip.table import Table

WATCHED_EXTRA_MAX = 256


class LinkState(enum.Enum):
    """UP: its I/O thread answers. DOWN: reset or silent. GONE: and the kernel refused a fresh connection."""

    UP = "up"
    DOWN = "down"
    GONE = "gone"


class Links:
    """Link evidence per watched process, and the set of processes to watch."""

    __slots__ = ("_extra", "_me", "_neighbours", "_states", "_table", "_taken", "_watched", "dirty")

    def __init__(self, *, me: str, table: Table, neighbours: int) -> None:
        self._me = me
        self._table = table
        self._neighbours = neighbours
        self._extra: tuple[str, ...] = ()
        self._states: dict[str, tuple[int, LinkState]] = {}
        self._taken: dict[str, int] = {}
        self._watched: tuple[Peer, ...] = ()
        self.dirty = True

    def hear(self, node: str, boot: int, state: LinkState) -> bool:
        """Note what a link said. False if it is about nobody that is known, or about an older process."""
        known = self._states.get(node)
        if known is not None and known[0] > boot:
            return False
        if known is None and node not in self._table:
            return False
        self._states[node] = (boot, state)
        return True

    def state(self, node: str, boot: int) -> LinkState | None:
        known = self._states.get(node)
        return known[1] if known is not None and known[0] == boot else None

    def up(self, node: str, boot: int) -> bool:
        """Whether its I/O thread answers. A link to an address that somebody else holds speaks for that one."""
        return self._states.get(node) == (boot, LinkState.UP) and self._taken.get(node) != boot

    def gone(self, node: str, boot: int) -> bool:
        """Whether a kernel refused a connection to it, or another process answered at its address."""
        return self._states.get(node) == (boot, LinkState.GONE) or self._taken.get(node) == boot

    def taken(self, node: str, boot: int) -> None:
        """Another process of the mesh answered at the address of this one."""
        self._taken[node] = boot

    def answered(self, node: str, boot: int) -> None:
        """The process answered a probe sent later: it is not gone, whatever a port said."""
        if self._taken.get(node) == boot:
            del self._taken[node]
        if self.gone(node, boot):
            self._states[node] = (boot, LinkState.DOWN)

    def request(self, nodes: Iterable[str]) -> None:
        self._extra = tuple(sorted(set(nodes)))[:WATCHED_EXTRA_MAX]
        self.dirty = True

    def watches(self, node: str) -> bool:
        """Whether this node is among those that watch `node`."""
        return node in self._extra or self._me in self.watchers_of(node)

    def watchers_of(self, node: str) -> list[str]:
        """The ring neighbours that watch `node` (known to everybody with the same view), nearest first."""
        return self._table.ring.predecessors(node, self._neighbours)

    def changed(self) -> tuple[Peer, ...] | None:
        """The processes to watch from now on if they are others than before. Call it when `dirty`."""
        self.dirty = False
        for node in [node for node in self._taken if not self._table.is_live(node)]:
            del self._taken[node]
        ring = self._table.ring
        wanted = set(ring.successors(self._me, self._neighbours))
        wanted.update(node for node in self._extra if self._table.is_live(node))
        wanted.discard(self._me)
        peers = []
        for node in sorted(wanted):
            claim = self._table.get(node)
            if claim is None or claim.statement is None or claim.standing.rank >= Rank.DEAD:
                continue
            peers.append(Peer(node, claim.standing.boot, claim.statement.address))
        watched = tuple(peers)
        if watched == self._watched:
            return None
        self._watched = watched
        for node in [node for node in self._states if node not in wanted and not self._is_gone(node)]:
            del self._states[node]
        return watched

    def _is_gone(self, node: str) -> bool:
        """Kernel evidence outlives the watching, as long as the node may still be believed alive."""
        return self._states[node][1] is LinkState.GONE and self._table.is_live(node)
