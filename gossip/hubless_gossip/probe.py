"""Probing: whom to ping next, when a silence is one, and what relays and links say about it.

SWIM section 3.1 and 4.3 (round robin over a shuffled list, newcomers at random places), Lifeguard section IV-A
(interval and timeout grow with the local health score, nacks). A probe's life: ping; after the timeout indirect
probes through relays, of which up to two watch the target through a monitored link; at the end of the interval
the verdict. Beside the one round-robin probe per interval there are a bounded number of second opinions, which
ask one relay only: whoever accused first has asked several.
"""

from __future__ import annotations

import enum
import random

from hubless_gossip.claims import Claim, Rank
from hubless_gossip.config import GossipConfig
from hubless_gossip.counters import Counters
from hubless_gossip.health import Health
from hubless_gossip.links import Links
from hubless_gossip.marks import sometimes
from hubless_gossip.member import Address
from hubless_gossip.messages import IndirectPing
from hubless_gossip.outbox import Outbox
from hubless_gossip.relay import RelayOutcome
from hubless_gossip.table import Table

SECOND_OPINIONS_MAX = 32
TROUBLED_SHARE = 0.1
"""Share of the probes that goes to members held busy or suspect: whoever missed a refutation learns it so."""
_MS = 1_000_000


class Verdict(enum.Enum):
    """How a probe ended: DIRECT ack, RELAYED (only through others), BUSY (a link answers), SILENT."""

    DIRECT = "direct"
    RELAYED = "relayed"
    BUSY = "busy"
    SILENT = "silent"


class Probe:
    """One probe on its way, of a process (`boot`) that had last said something in `incarnation`."""

    __slots__ = (
        "address",
        "asked",
        "boot",
        "ends_ns",
        "heard",
        "incarnation",
        "indirect_ns",
        "link_alive",
        "relayed",
        "scheduled",
        "target",
    )

    def __init__(
        self, claim: Claim, address: Address, indirect_ns: int, ends_ns: int, *, scheduled: bool
    ) -> None:
        self.target = claim.node
        self.boot = claim.standing.boot
        self.incarnation = claim.standing.incarnation
        self.address = address
        self.indirect_ns: int | None = indirect_ns
        self.ends_ns = ends_ns
        self.scheduled = scheduled
        self.asked = 0
        self.heard = 0
        self.link_alive = False
        self.relayed = False


class Prober:
    """All of this node's probes. Sends through `ping`, which the core gives it; verdicts come from `run`."""

    __slots__ = (
        "_again",
        "_config",
        "_counters",
        "_health",
        "_links",
        "_me",
        "_next_seq",
        "_outbox",
        "_probes",
        "_rest",
        "_rng",
        "_starts_ns",
        "_table",
    )

    def __init__(
        self,
        me: str,
        config: GossipConfig,
        *,
        now_ns: int,
        table: Table,
        links: Links,
        health: Health,
        outbox: Outbox,
        counters: Counters,
        rng: random.Random,
    ) -> None:
        self._me = me
        self._config = config
        self._table = table
        self._links = links
        self._health = health
        self._outbox = outbox
        self._counters = counters
        self._rng = rng
        self._rest: list[str] = []
        """Who is still to be probed in this round."""
        self._again: list[str] = []
        self._probes: dict[int, Probe] = {}
        self._next_seq = rng.getrandbits(16)
        self._starts_ns = now_ns + int(config.probe_interval_ms * _MS * rng.random())

    def sequence(self) -> int:
        """A fresh number for a ping (32 bits, wraps)."""
        self._next_seq = (self._next_seq + 1) & 0xFFFF_FFFF
        return self._next_seq

    def welcome(self, node: str) -> None:
        """A member became live: it has one place, at random, in what is left of this round."""
        if node not in self._rest:
            self._rest.insert(self._rng.randint(0, len(self._rest)), node)

    def probe_again(self, node: str) -> None:
        """Let the next scheduled probe be of this node."""
        if node not in self._again and len(self._again) < SECOND_OPINIONS_MAX:
            self._again.append(node)

    def next_ns(self) -> int:
        due = self._starts_ns
        for probe in self._probes.values():
            step = probe.ends_ns if probe.indirect_ns is None else probe.indirect_ns
            due = min(due, step)
        return due

    def next_target(self, now_ns: int) -> str | None:
        """The member to probe now if the interval is over: the caller follows with `start`."""
        if now_ns < self._starts_ns:
            return None
        self._starts_ns = now_ns + self._config.probe_interval_ms * _MS * self._health.multiplier
        if self._table.troubled and self._rng.random() < TROUBLED_SHARE:
            return self._rng.choice(list(self._table.troubled))
        while self._again:
            node = self._again.pop(0)
            if self._table.is_live(node):
                return node
        for _ in range(2):
            while self._rest:
                node = self._rest.pop()
                if self._table.is_live(node):
                    return node
            self._rest = [node for node in self._table.ring.nodes() if node != self._me]
            self._rng.shuffle(self._rest)
        return None

    def start(self, now_ns: int, target: str, *, scheduled: bool) -> tuple[int, Address] | None:
        """Begin a probe; the caller sends the ping under this number to this address. None: not now."""
        claim = self._table.get(target)
        if claim is None or claim.statement is None or claim.standing.rank >= Rank.DEAD:
            return None
        if not scheduled:
            if any(probe.target == target for probe in self._probes.values()):
                return None
            if len(self._probes) >= SECOND_OPINIONS_MAX:
                self._counters.probes_refused += 1
                return None
        seq = self.sequence()
        factor = self._health.multiplier * _MS
        self._probes[seq] = Probe(
            claim,
            claim.statement.address,
            now_ns + self._config.probe_timeout_ms * factor,
            now_ns + self._config.probe_interval_ms * factor,
            scheduled=scheduled,
        )
        self._counters.probes += 1
        return seq, claim.statement.address

    def asked(self, seq: int) -> tuple[str, int, Address] | None:
        """Which process (node, boot) was pinged under this number, and where."""
        probe = self._probes.get(seq)
        return None if probe is None else (probe.target, probe.boot, probe.address)

    def give_up(self, seq: int) -> None:
        """End a probe without a verdict: another process answers there."""
        self._probes.pop(seq, None)

    def hear_ack(self, seq: int, sender: str, boot: int) -> bool:
        """A direct ack. True if it ends a probe: the verdict is DIRECT."""
        probe = self._probes.get(seq)
        if probe is None or probe.target != sender or probe.boot != boot:
            return False
        del self._probes[seq]
        if probe.scheduled:
            self._health.better()
        return True

    def hear_relay(self, seq: int, outcome: int) -> None:
        """A relay's nack, link-alive or ack. A relay may first nack and later pass on a late ack."""
        probe = self._probes.get(seq)
        if probe is None:
            return
        if outcome == RelayOutcome.ACK:
            probe.relayed = True
        elif outcome == RelayOutcome.LINK_ALIVE:
            sometimes("a relay's link spoke for a silent member")
            probe.link_alive = True
        probe.heard = min(probe.asked, probe.heard + 1)

    def run(self, now_ns: int) -> list[tuple[Probe, Verdict]]:
        """Send the indirect probes that are due; the probes that end now, and how."""
        if all(
            now_ns < (p.ends_ns if p.indirect_ns is None else p.indirect_ns) for p in self._probes.values()
        ):
            return []
        verdicts: list[tuple[Probe, Verdict]] = []
        for seq, probe in list(self._probes.items()):
            if probe.indirect_ns is not None and probe.indirect_ns <= now_ns:
                probe.indirect_ns = None
                self._ask_relays(seq, probe)
            if probe.ends_ns <= now_ns:
                del self._probes[seq]
                verdicts.append((probe, self._judge(probe)))
        return verdicts

    def _ask_relays(self, seq: int, probe: Probe) -> None:
        target = self._table.get(probe.target)
        if target is None or target.statement is None or target.standing.boot != probe.boot:
            sometimes("the target of a probe was another process before relays were asked")
            return
        request = IndirectPing(seq, probe.target, probe.boot, target.statement.address)
        wanted = self._config.indirect_probes if probe.scheduled else min(1, self._config.indirect_probes)
        for relay in self._relays_for(probe.target, wanted):
            address = self._table.address(relay)
            if address is not None:
                self._outbox.send(address, request)
                probe.asked += 1
                self._counters.indirect_probes += 1

    def _relays_for(self, target: str, wanted: int) -> list[str]:
        """Some that watch the target, the rest at random; members not known as alive only if there are no others."""
        watching = [
            node for node in self._links.watchers_of(target) if node != self._me and self._sound(node)
        ]
        self._rng.shuffle(watching)
        relays = watching[: min(2, wanted)]
        drawn = self._table.ring.draw(self._rng, 2 * wanted, {self._me, target, *relays})
        drawn.sort(key=lambda node: not self._sound(node))
        return relays + drawn[: wanted - len(relays)]

    def _sound(self, node: str) -> bool:
        claim = self._table.get(node)
        return claim is not None and claim.standing.rank == Rank.ALIVE

    def _judge(self, probe: Probe) -> Verdict:
        link_up = self._links.up(probe.target, probe.boot)
        if probe.scheduled:
            self._mind(probe, link_up=link_up)
        if probe.relayed:
            return Verdict.RELAYED
        return Verdict.BUSY if probe.link_alive or link_up else Verdict.SILENT

    def _mind(self, probe: Probe, *, link_up: bool) -> None:
        """Lifeguard: a failed probe is one's own fault as far as the relays were silent as well."""
        if probe.relayed:
            self._health.better()
        elif probe.asked:
            if probe.heard < probe.asked:
                sometimes("distrusted itself, as its relays were silent too")
            self._health.worse(probe.asked - probe.heard)
        elif not link_up:
            self._health.worse()
