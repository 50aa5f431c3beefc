"""The membership core: one object, no I/O, no clock, no chance of its own.

    effects = core.handle(now_ns, event)
    due = core.next_deadline_ns()

It wires the rooms together: packets to the codec, claims to the view, probes to the prober, timers to whoever
owns them. Every call handles one event, then whatever has become due, then packs what is to be sent.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from hubless_gossip.claims import Rank, Statement
from hubless_gossip.config import GossipConfig
from hubless_gossip.counters import Counters
from hubless_gossip.damping import EventQueue
from hubless_gossip.events import (
    REMEMBERED_PEERS_MAX,
    DeadlineReached,
    Effect,
    Event,
    JoinRequested,
    LeaveRequested,
    LinkDown,
    LinkRefused,
    LinkUp,
    LoadChanged,
    MetaChanged,
    PacketReceived,
    Persist,
    Tell,
    WatchLinks,
    WatchRequested,
)
from hubless_gossip.healing import Healer, Joiner
from hubless_gossip.health import Health, WakingClock
from hubless_gossip.inbox import Inbox
from hubless_gossip.links import Links, LinkState
from hubless_gossip.marks import sometimes
from hubless_gossip.member import META_MAX_BYTES, NUMBER_MAX, Condition, Identity, Member, Peer
from hubless_gossip.memory import Memory
from hubless_gossip.outbox import Outbox
from hubless_gossip.own import Own
from hubless_gossip.paths import Paths
from hubless_gossip.probe import Probe, Prober, Verdict
from hubless_gossip.pushpull import PushPull
from hubless_gossip.relay import Relays
from hubless_gossip.rumours import Rumours
from hubless_gossip.table import Table
from hubless_gossip.view import View

_MS = 1_000_000


class Gossip:
    """Who is there, as this node sees it.

    `incarnation` and `peers` are what the node remembers from its last start (`Persist`). With `peers` it
    looks for its mesh by itself; without, it waits for JoinRequested or for somebody else to join it.
    The first `handle` call may already bring effects; `next_deadline_ns` asks for it at once.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        config: GossipConfig,
        rng: random.Random,
        now_ns: int,
        incarnation: int = 0,
        meta: bytes = b"",
        peers: Sequence[Peer] = (),
    ) -> None:
        _check_meta(meta)
        if not 0 <= incarnation < NUMBER_MAX:
            raise ValueError(
                f"incarnation must be 0..2**63-2, not {incarnation}: pass the persisted one, or 0"
            )
        seed = rng.getrandbits(64)
        chance, probing = random.Random(f"{seed}:gossip"), random.Random(f"{seed}:probe")
        me = identity.node
        known = tuple(peer for peer in peers if peer.node != me)[:REMEMBERED_PEERS_MAX]
        self._identity = identity
        self._config = config
        self._rng = chance
        self._asked_ns: int | None = None
        self._gossip_ns: int | None = None
        self.counters = Counters()
        self._clock = WakingClock(tolerance_ns=config.lag_ms * _MS, grace_ns=config.probe_timeout_ms * _MS)
        self._health = Health(config.health_max)
        self._queue = EventQueue(config.events_max)
        self._table = Table()
        self._links = Links(me=me, table=self._table, neighbours=config.watched_neighbours)
        self._rumours = Rumours(most=config.rumours_max, retransmit_mult=config.retransmit_mult)
        self._outbox = Outbox(identity, config, self._rumours, self.counters)
        said = Statement(me, identity.boot, incarnation, identity.address, bytes(meta))
        self._own = Own(
            identity,
            config,
            said,
            now_ns=now_ns,
            table=self._table,
            rumours=self._rumours,
            outbox=self._outbox,
            health=self._health,
            clock=self._clock,
            counters=self.counters,
            rng=chance,
        )
        self._view = View(
            self._own,
            config,
            table=self._table,
            links=self._links,
            rumours=self._rumours,
            outbox=self._outbox,
            queue=self._queue,
            health=self._health,
            clock=self._clock,
            counters=self.counters,
            rng=chance,
        )
        self._relays = Relays(config, self._links, self._outbox, self.counters)
        self._paths = Paths(
            identity,
            after=config.degraded_after,
            renew_ns=config.push_pull_interval_ms * _MS,
            rumours=self._rumours,
            queue=self._queue,
            counters=self.counters,
        )
        self._prober = Prober(
            me,
            config,
            now_ns=now_ns,
            table=self._table,
            links=self._links,
            health=self._health,
            outbox=self._outbox,
            counters=self.counters,
            rng=probing,
        )
        self._push_pull = PushPull(
            me,
            identity.address,
            config,
            now_ns=now_ns,
            view=self._view,
            outbox=self._outbox,
            counters=self.counters,
            rng=chance,
        )
        self._joiner = Joiner(config, known, now_ns=now_ns, rng=chance)
        self._healer = Healer(config, known, now_ns=now_ns, table=self._table, rng=chance)
        self._inbox = Inbox(
            identity,
            view=self._view,
            prober=self._prober,
            relays=self._relays,
            links=self._links,
            paths=self._paths,
            push_pull=self._push_pull,
            joiner=self._joiner,
            outbox=self._outbox,
            counters=self.counters,
        )
        self._memory = Memory(config, now_ns=now_ns, table=self._table, own=self._own, healer=self._healer)
        self._first_ns: int | None = now_ns

    # --- the interface ------------------------------------------------------------------------

    def handle(self, now_ns: int, event: Event) -> list[Effect]:
        """Apply one event and whatever is due by now; the effects, in the order in which to perform them."""
        now, slept = self._clock.read(now_ns, self._asked_ns)
        self._first_ns = None
        if slept:
            self.counters.lags += 1
            sometimes("woke from a sleep that it held against nobody")
            self._health.worse(1 + min(3, slept // (self._config.probe_interval_ms * _MS)))
        self._apply(now, event)
        self._run(now)
        effects = self._effects(now)
        self._asked_ns = self._due_ns()
        return effects

    def next_deadline_ns(self) -> int | None:
        """When `handle` must be called with DeadlineReached if nothing happens before. Costs nothing."""
        return self._asked_ns if self._first_ns is None else self._first_ns

    def members(self) -> tuple[Member, ...]:
        """Everybody known by node id, this node and the remembered dead included."""
        return self._table.members()

    def member(self, node: str) -> Member | None:
        return self._table.member(node)

    def degraded_links(self) -> tuple[tuple[str, str], ...]:
        """Known (reporter, target) pairs between which only relays get through."""
        return self._paths.degraded()

    @property
    def settled(self) -> bool:
        """No rumour waits to be spread, or nobody is left to hear it: after LeaveRequested the process may stop now."""
        return not self._rumours or not self._has_audience()

    def fill(self) -> dict[str, tuple[int, int]]:
        """How much there is of what is bounded, and how much there may be: (now, most), by what it is."""
        config = self._config
        return {
            "members": (len(self._table), config.members_max),
            "rumours": (len(self._rumours), config.rumours_max),
            "errands": (len(self._relays), config.relays_max),
        }

    @property
    def health_score(self) -> int:
        """Lifeguard's local health score: 0 is well, `health_max` distrusts itself most."""
        return self._health.score

    # --- events -------------------------------------------------------------------------------

    def _apply(self, now: int, event: Event) -> None:
        match event:
            case PacketReceived(packet, source):
                self._inbox.receive(now, packet, source)
            case DeadlineReached():
                pass
            case LinkUp() | LinkDown() | LinkRefused():
                self._link(now, event)
            case JoinRequested(addresses):
                own = self._identity.address
                self._joiner.request(now, tuple(address for address in addresses if address != own))
            case LeaveRequested():
                self._view.leave(now)
            case MetaChanged(meta):
                _check_meta(meta)
                if meta != self._own.statement.meta and not self._own.leaving:
                    self._own.state(now, meta=meta)
            case LoadChanged(load, busy):
                if not 0 <= load <= 255:
                    raise ValueError(f"load must be 0..255, not {load}")
                self._inbox.load, self._inbox.busy = load, busy
                self._view.hear_load(now, self._identity.node, load, busy)
            case WatchRequested(nodes):
                self._links.request(nodes)

    def _link(self, now: int, event: LinkUp | LinkDown | LinkRefused) -> None:
        node, boot = event.node, event.boot
        match event:
            case LinkUp():
                if self._links.hear(node, boot, LinkState.UP):
                    self._link_up(node, boot)
            case LinkDown():
                if self._links.hear(node, boot, LinkState.DOWN):
                    self._view.doubted.append(node)
            case LinkRefused():
                if self._links.hear(node, boot, LinkState.GONE):
                    self._view.witness(now, node, boot)

    def _link_up(self, node: str, boot: int) -> None:
        """A handshake with that process. If it is another life than the one held here, compare views."""
        claim = self._table.get(node)
        if claim is None:
            return
        if claim.standing.boot < boot or claim.standing.rank == Rank.DEAD:
            sometimes("a link told of another life of a member before gossip did")
            self._meet(node)
        elif claim.standing.rank == Rank.SUSPECT:
            self._view.doubted.append(node)

    def _meet(self, node: str) -> None:
        address = self._table.address(node)
        if address is not None:
            self._push_pull.begin(address)

    # --- time ---------------------------------------------------------------------------------

    def _run(self, now: int) -> None:
        for probe, verdict in self._prober.run(now):
            self._conclude(now, probe, verdict)
        self._relays.run(now)
        self._view.run(now)
        if not self._own.leaving:
            self._seek(now)
        self._listen_to_view(now)
        if not self._own.leaving:
            target = self._prober.next_target(now)
            if target is not None:
                self._probe(now, target, scheduled=True)
        self._gossip(now)

    def _due_ns(self) -> int | None:
        """When the next of all timers rings, in the driver's clock."""
        wishes = [self._view.next_ns(), self._relays.next_ns(), self._gossip_ns]
        if not self._own.leaving:
            wishes += (
                self._prober.next_ns(),
                self._push_pull.next_ns(),
                self._healer.next_ns(),
                self._joiner.next_ns(),
                self._paths.next_ns(),
            )
        due = min((wish for wish in wishes if wish is not None), default=None)
        return None if due is None else self._clock.to_driver(due)

    def _seek(self, now: int) -> None:
        """Join, heal, compare."""
        for address in self._joiner.run(now):
            self._push_pull.ask_to_join(address)
        if self._healer.is_due(now):
            self._view.forget_old(now)
            failed = self._healer.run(now)
            if failed is not None:
                self._push_pull.begin(failed)
        self._push_pull.run(now)
        self._paths.run(now)

    def _conclude(self, now: int, probe: Probe, verdict: Verdict) -> None:
        node = probe.target
        match verdict:
            case Verdict.SILENT:
                if not self._view.accuse(now, node, probe.boot, probe.incarnation):
                    self._prober.probe_again(node)
            case Verdict.BUSY:
                self._view.vouch(now, node, probe.boot)
            case Verdict.RELAYED:
                if self._paths.relayed(now, node):
                    self._prober.probe_again(node)
                if self._table.condition(node) == Condition.SUSPECT:
                    self._push_pull.catch_up(now)  # it lives: somebody else heard the refutation
            case Verdict.DIRECT:
                pass

    def _listen_to_view(self, now: int) -> None:
        """What changed in the view, for those who keep lists of their own."""
        view = self._view
        for node in view.arrived:
            self._prober.welcome(node)
        if view.arrived:
            self._push_pull.check_soon(now)
        for node in view.departed:
            self._paths.forget(node)
        doubted, view.doubted = view.doubted, []
        view.arrived, view.departed = [], []
        if not self._own.leaving:
            for node in sorted(set(doubted)):
                self._probe(now, node, scheduled=False)

    def _probe(self, now: int, node: str, *, scheduled: bool) -> None:
        started = self._prober.start(now, node, scheduled=scheduled)
        if started is None:
            return
        seq, address = started
        if address == self._identity.address:  # whoever held it before this process does so no more
            self._inbox.displaced(now, self._identity.node, self._identity.boot, seq)
        else:
            self._inbox.ping(seq, node, address)

    def _gossip(self, now: int) -> None:
        """Rumours leave every gossip interval as long as there are any."""
        if self.settled:
            self._gossip_ns = None
            return
        if self._gossip_ns is None:
            self._gossip_ns = now + int(self._config.gossip_interval_ms * _MS * self._rng.random())
        if now < self._gossip_ns:
            return
        self._gossip_ns = now + self._config.gossip_interval_ms * _MS
        for node in self._audience(now):
            address = self._table.address(node)
            if address is not None:
                self._outbox.gossip(address)

    def _has_audience(self) -> bool:
        """Whether anybody is known to gossip to. Who leaves is no longer in the ring itself."""
        others = len(self._table.ring) - (not self._own.leaving)
        return others + len(self._view.recent_dead) > 0

    def _audience(self, now: int) -> list[str]:
        """Whom to gossip to: live members, and now and then one that died a short while ago."""
        fanout = self._config.gossip_fanout
        chosen = self._table.ring.draw(self._rng, fanout, {self._identity.node})
        recent = self._view.recent_dead
        for node in [node for node, until in recent.items() if until <= now]:
            del recent[node]
        if recent and self._rng.random() < fanout * len(recent) / (len(recent) + len(self._table.ring)):
            chosen.append(self._rng.choice(list(recent)))
        return chosen

    # --- effects ------------------------------------------------------------------------------

    def _effects(self, now: int) -> list[Effect]:
        effects: list[Effect] = []
        if self._memory.is_due(now, self._view):
            effects.append(Persist(self._memory.remembered()))
        if self._queue:
            effects.extend(Tell(event) for event in self._queue.drain())
            self.counters.events_lost = self._queue.lost_in_all
        if self._links.dirty:
            watched = self._links.changed()
            if watched is not None:
                effects.append(WatchLinks(watched))
        effects.extend(self._outbox.drain(len(self._table.ring)))
        self.counters.rumours_dropped = self._rumours.dropped
        return effects


def _check_meta(meta: bytes) -> None:
    if len(meta) > META_MAX_BYTES:
        raise ValueError(f"meta must be at most {META_MAX_BYTES} bytes, not {len(meta)}: publish less")
