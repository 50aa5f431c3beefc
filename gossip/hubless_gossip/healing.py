"""Finding others: joining through addresses, and trying failed peers again for as long as they are remembered.

No seed is special. A node keeps the peers it knew (on disk through `Persist`), tries one of those that it
does not hold live per heal interval, and compares views with whoever answers.
"""

from __future__ import annotations

import random

from hubless_gossip.claims import Rank
from hubless_gossip.config import GossipConfig
from hubless_gossip.marks import sometimes
from hubless_gossip.member import Address, Peer
from hubless_gossip.table import Table

JOIN_ADDRESSES_MAX = 64
REMEMBERED_AT_ONCE = 3
_MS = 1_000_000


class Joiner:
    """Asks to join until somebody answers: first the requested addresses, else a few remembered peers."""

    __slots__ = ("_addresses", "_config", "_due_ns", "_remembered", "_rng", "_tries")

    def __init__(
        self, config: GossipConfig, peers: tuple[Peer, ...], *, now_ns: int, rng: random.Random
    ) -> None:
        self._config = config
        self._rng = rng
        self._addresses: tuple[Address, ...] = ()
        self._remembered = [peer.address for peer in peers]
        rng.shuffle(self._remembered)
        self._tries = 0
        self._due_ns: int | None = now_ns if peers else None

    def request(self, now_ns: int, addresses: tuple[Address, ...]) -> None:
        self._addresses = tuple(dict.fromkeys(addresses))[:JOIN_ADDRESSES_MAX]
        self._tries = 0
        self._due_ns = now_ns if self._addresses else self._due_ns

    def answered(self) -> None:
        """Somebody let this node in."""
        self._due_ns = None

    def next_ns(self) -> int | None:
        return self._due_ns

    def run(self, now_ns: int) -> list[Address]:
        """The addresses to ask now: join_retry * 1.6^k later, at most join_retry_max, the next round."""
        if self._due_ns is None or now_ns < self._due_ns:
            return []
        wait_ms = min(
            self._config.join_retry_max_ms, self._config.join_retry_ms * 1.6 ** min(self._tries, 32)
        )
        self._due_ns = now_ns + int(wait_ms * (0.8 + 0.4 * self._rng.random()) * _MS)
        self._tries += 1
        remembered = self._remembered[:REMEMBERED_AT_ONCE]
        self._remembered = self._remembered[REMEMBERED_AT_ONCE:] + remembered
        return list(dict.fromkeys((*self._addresses, *remembered)))


class Healer:
    """One try per heal interval, jittered by a half, in random order over all failed peers."""

    __slots__ = ("_config", "_due_ns", "_queue", "_remembered", "_rng", "_table")

    def __init__(
        self, config: GossipConfig, peers: tuple[Peer, ...], *, now_ns: int, table: Table, rng: random.Random
    ) -> None:
        self._config = config
        self._table = table
        self._rng = rng
        self._remembered = {peer.node: peer for peer in peers}
        self._queue: list[str] = []
        self._due_ns = now_ns
        self._wait(now_ns)

    def next_ns(self) -> int | None:
        return self._due_ns if self._remembered or self._table.finals() else None

    def is_due(self, now_ns: int) -> bool:
        """Whether it is time to try one."""
        return now_ns >= self._due_ns

    def run(self, now_ns: int) -> Address | None:
        """The address of the failed peer to try now, if there is one. Call it when it is time."""
        self._wait(now_ns)
        if not self._queue:
            dead = [node for node in self._table.finals() if self._is_failed(node)]
            missing = [node for node in self._remembered if node not in self._table]
            self._remembered = {node: self._remembered[node] for node in missing}
            self._queue = dead + missing
            self._rng.shuffle(self._queue)
        while self._queue:
            node = self._queue.pop()
            if self._is_failed(node):
                sometimes("tried a failed peer again")
                return self._table.address(node)
            if node not in self._table and node in self._remembered:
                sometimes("tried a remembered peer that was never met in this life")
                return self._remembered[node].address
        return None

    def failed(self) -> list[Peer]:
        """Remembered peers that were not met since the start."""
        return [peer for node, peer in self._remembered.items() if node not in self._table]

    def _is_failed(self, node: str) -> bool:
        claim = self._table.get(node)
        return claim is not None and claim.standing.rank == Rank.DEAD

    def _wait(self, now_ns: int) -> None:
        self._due_ns = now_ns + int(self._config.heal_interval_ms * (0.5 + self._rng.random()) * _MS)
