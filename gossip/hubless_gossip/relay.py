"""Probing on behalf of others: the relay's side of indirect probes (SWIM section 3.1, Lifeguard's nack)."""

from __future__ import annotations

import enum
from collections import deque

from hubless_gossip.config import GossipConfig
from hubless_gossip.counters import Counters
from hubless_gossip.links import Links
from hubless_gossip.marks import sometimes
from hubless_gossip.member import Address
from hubless_gossip.messages import IndirectPing, RelayAnswer
from hubless_gossip.outbox import Outbox


class RelayOutcome(enum.IntEnum):
    """What a relay says of the target. NACK: silent to me too. LINK_ALIVE: silent, its I/O thread answers."""

    NACK = 0
    LINK_ALIVE = 1
    ACK = 2


class _Errand:
    __slots__ = ("address", "boot", "expires_ns", "nack_ns", "origin", "origin_seq", "target")

    def __init__(self, request: IndirectPing, origin: Address, nack_ns: int, expires_ns: int) -> None:
        self.origin = origin
        self.origin_seq = request.seq
        self.target = request.target
        self.boot = request.boot
        self.address = request.address
        self.nack_ns = nack_ns
        self.expires_ns = expires_ns


class Relays:
    """Errands by the sequence number of this node's own ping. At most `relays_max`; more are refused."""

    __slots__ = ("_config", "_counters", "_errands", "_expiring", "_links", "_nacking", "_outbox")

    def __init__(self, config: GossipConfig, links: Links, outbox: Outbox, counters: Counters) -> None:
        self._config = config
        self._links = links
        self._outbox = outbox
        self._counters = counters
        self._errands: dict[int, _Errand] = {}
        self._nacking: deque[int] = deque()
        self._expiring: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._errands)

    def accept(self, now_ns: int, seq: int, request: IndirectPing, origin: Address) -> bool:
        """Take an errand whose ping goes out under `seq`. False if there are too many already."""
        if len(self._errands) >= self._config.relays_max:
            self._counters.relays_refused += 1
            sometimes("refused an errand, having too many")
            return False
        timeout_ns = self._config.probe_timeout_ms * 1_000_000
        waits_ns = self._config.probe_interval_ms * 1_000_000 - timeout_ns  # who asks, until its verdict
        nack_ns = now_ns + min(timeout_ns, waits_ns) * self._config.nack_percent // 100
        self._errands[seq] = _Errand(request, origin, nack_ns, now_ns + 2 * timeout_ns)
        self._nacking.append(seq)
        self._expiring.append(seq)
        return True

    def asked(self, seq: int) -> tuple[str, int, Address] | None:
        """Which process (node, boot) was pinged under this number, and where."""
        errand = self._errands.get(seq)
        return None if errand is None else (errand.target, errand.boot, errand.address)

    def hear_ack(self, seq: int, sender: str, boot: int) -> bool:
        """The target answered, late perhaps: pass it on. True if the ack belongs to an errand."""
        errand = self._errands.get(seq)
        if errand is None:
            return False
        if errand.target == sender and errand.boot == boot:
            del self._errands[seq]
            self._outbox.send(errand.origin, RelayAnswer(errand.origin_seq, RelayOutcome.ACK))
        return True

    def next_ns(self) -> int | None:
        while self._nacking and self._nacking[0] not in self._errands:
            self._nacking.popleft()
        while self._expiring and self._expiring[0] not in self._errands:
            self._expiring.popleft()
        if self._nacking:
            nack = self._errands[self._nacking[0]].nack_ns
            return min(nack, self._errands[self._expiring[0]].expires_ns)
        return self._errands[self._expiring[0]].expires_ns if self._expiring else None

    def run(self, now_ns: int) -> None:
        """Send the nacks that are due, forget errands that are over."""
        while (due := self.next_ns()) is not None and due <= now_ns:
            if self._nacking and self._errands[self._nacking[0]].nack_ns <= now_ns:
                errand = self._errands[self._nacking.popleft()]
                up = self._links.up(errand.target, errand.boot)
                outcome = RelayOutcome.LINK_ALIVE if up else RelayOutcome.NACK
                if self._config.lifeguard:
                    self._outbox.send(errand.origin, RelayAnswer(errand.origin_seq, outcome))
            else:
                del self._errands[self._expiring.popleft()]
