"""What this node believes: every claim, from whatever source, goes through `View.hear`.

`hear` weighs a claim (`evidence.py`), joins it with what is held (`claims.py`), and draws the consequences:
timers, rumours, the ring, membership events, a second opinion, a refutation when it is about this node.
All times are waking time (`health.WakingClock`).
"""

from __future__ import annotations

import math
import random

from hubless_gossip import evidence
from hubless_gossip.claims import Claim, Rank, Standing, join
from hubless_gossip.codec import pack_message, pack_statement
from hubless_gossip.config import GossipConfig
from hubless_gossip.counters import Counters
from hubless_gossip.damping import Damper, EventQueue
from hubless_gossip.events import MetaUpdated
from hubless_gossip.health import Health, WakingClock
from hubless_gossip.links import Links
from hubless_gossip.marks import sometimes
from hubless_gossip.member import Address, Condition
from hubless_gossip.messages import Accuses, Says
from hubless_gossip.outbox import Outbox
from hubless_gossip.own import Own
from hubless_gossip.rumours import Rumours
from hubless_gossip.suspicion import Suspicions
from hubless_gossip.table import Table


class View:
    """The member table and the rules that change it."""

    __slots__ = (
        "_clock",
        "_config",
        "_counters",
        "_damper",
        "_health",
        "_links",
        "_me",
        "_outbox",
        "_queue",
        "_rng",
        "_rumours",
        "_suspicions",
        "arrived",
        "departed",
        "doubted",
        "lifeguard",
        "own",
        "peers_changed",
        "recent_dead",
        "table",
    )

    def __init__(
        self,
        own: Own,
        config: GossipConfig,
        *,
        table: Table,
        links: Links,
        rumours: Rumours,
        outbox: Outbox,
        queue: EventQueue,
        health: Health,
        clock: WakingClock,
        counters: Counters,
        rng: random.Random,
    ) -> None:
        self.own = own
        self._me = own.statement.node
        self._config = config
        self._links = links
        self._rumours = rumours
        self._outbox = outbox
        self._queue = queue
        self._health = health
        self._clock = clock
        self._counters = counters
        self._rng = rng
        self._suspicions = Suspicions(config)
        self._damper = Damper(config)
        self.table = table
        self.lifeguard = config.lifeguard
        """False: plain SWIM, see GossipConfig.lifeguard."""
        self.arrived: list[str] = []
        """Members that became live since the prober last looked."""
        self.departed: list[str] = []
        """Members that died or left since the core last looked."""
        self.doubted: list[str] = []
        """Members that this node should probe at once, for a second opinion."""
        self.recent_dead: dict[str, int] = {}
        """The dead that are still gossiped to, and until when."""
        self.peers_changed = False

    # --- claims -------------------------------------------------------------------------------

    def hear(self, now_ns: int, claim: Claim, *, merged: bool = False, spread: bool = True) -> bool:
        """Weigh and adopt a claim; returns whether it was news. `merged`: it came by push-pull, which confirms
        nothing. `spread` False: do not make rumours of it (it is one of very many)."""
        if claim.node == self._me:
            return self.own.hear(now_ns, claim)
        held = self.table.get(claim.node)
        if held is None:
            return self._hear_of_stranger(now_ns, claim, merged=merged, spread=spread)
        live = len(self.table.ring)
        if self.lifeguard:
            claim = evidence.admitted(
                claim,
                held,
                merged=merged,
                link_up=self._links.up(claim.node, claim.standing.boot),
                live=live,
                reachable=live - self.table.suspects + 1,
            )
        new = join(held, claim)
        if new is not held:
            if new.standing.rank == Rank.SUSPECT:
                new = self._proven(new, live)
            self._adopt(now_ns, held, new, spread=spread)
        if not merged:
            self._suspicions.confirm(now_ns, claim.node, claim.standing)
        return new is not held

    def accuse(self, now_ns: int, node: str, boot: int, incarnation: int) -> bool:
        """This node's probe of that process failed, and no relay and no link spoke for it. False if it has said
        something since the probe began, in a later `incarnation`: it was silent before that, if at all."""
        held = self.table.get(node)
        if held is None or held.standing.final or held.standing.boot != boot or self.own.leaving:
            return True
        if held.standing.incarnation > incarnation:
            return False
        gone = self._links.gone(node, boot)
        accusation = evidence.suspected_by(held.standing, self._me, gone=gone)
        self.hear(now_ns, Claim(node, accusation, None))
        self._suspicions.own(node)
        return True

    def vouch(self, now_ns: int, node: str, boot: int) -> None:
        """The process is silent, but its I/O thread answers: it is busy."""
        held = self.table.get(node)
        if held is None or held.standing.boot != boot or held.standing.rank not in {Rank.ALIVE, Rank.SUSPECT}:
            return
        if held.standing.rank == Rank.SUSPECT:
            sometimes("a link spoke for a suspect")
        if held.standing.round < 60_000:
            self.hear(now_ns, Claim(node, evidence.busy_of(held.standing), None))

    def witness(self, now_ns: int, node: str, boot: int) -> None:
        """This node's kernel saw that process gone: tell the other witnesses without delay."""
        held = self.table.get(node)
        if held is None or held.standing.boot != boot or held.standing.final or self.own.leaving:
            return
        self.hear(now_ns, Claim(node, evidence.suspected_by(held.standing, self._me, gone=True), None))
        self._shout(node)

    def displaced(self, now_ns: int, node: str, boot: int, address: Address) -> None:
        """Another process of the mesh answered a ping to that one: whoever was at `address` is there no more,
        and a link to it speaks for its successor. As good as a refused connection, and a failed probe too."""
        held = self.table.get(node)
        if (
            held is None
            or held.statement is None
            or (held.statement.boot, held.statement.address) != (boot, address)
        ):
            return
        self._links.taken(node, boot)
        if self._me not in held.standing.gone:
            self._counters.displacements += 1
            sometimes("found a process gone, as another one answered at its address")
            self.witness(now_ns, node, boot)
        self._suspicions.own(node)

    def leave(self, now_ns: int) -> None:
        """Say goodbye to everybody."""
        if not self.own.leaving:
            before = self.table.condition(self._me)
            self.own.leave(now_ns)
            boot = self.own.statement.boot
            self._tell_change(now_ns, (boot, before or Condition.ALIVE), certain=True, node=self._me)

    # --- others -------------------------------------------------------------------------------

    def _hear_of_stranger(self, now_ns: int, claim: Claim, *, merged: bool, spread: bool) -> bool:
        if claim.statement is None:
            self._counters.unknown_subjects += 1
            sometimes("heard somebody accused whom it does not know")
            return False
        if claim.standing.final and not merged:
            return False
        if len(self.table) >= self._config.members_max and not self._make_room():
            self._counters.members_refused += 1
            sometimes("refused a member, as the table is full of live ones")
            return False
        self._adopt(now_ns, None, claim, spread=spread)
        return True

    def _make_room(self) -> bool:
        """Forget whoever has been dead or gone the longest."""
        oldest = next((node for node in self.table.finals() if node != self._me), None)
        if oldest is None:
            return False
        sometimes("forgot who has been dead the longest, to make room")
        self._forget(oldest)
        return True

    def _forget(self, node: str) -> None:
        self.table.drop(node)
        self.recent_dead.pop(node, None)
        self.peers_changed = True

    def _proven(self, claim: Claim, live: int) -> Claim:
        """A suspicion with kernels enough behind it is a death."""
        standing = claim.standing
        if len(standing.gone) < evidence.witnesses_needed(live) or self._links.up(claim.node, standing.boot):
            return claim
        sometimes("kernels enough saw a process gone")
        return Claim(claim.node, evidence.dead_of(standing), claim.statement)

    def _adopt(self, now_ns: int, held: Claim | None, new: Claim, *, spread: bool) -> None:
        node, standing = new.node, new.standing
        old = held.standing if held is not None else None
        shown = self.table.condition(node)
        before = None if old is None or shown is None else (old.boot, shown)
        self.table.put(new, self._clock.to_driver(now_ns))
        was_live = old is not None and old.rank < Rank.DEAD
        live = standing.rank < Rank.DEAD
        if live and not was_live:
            self.arrived.append(node)
        moved = held is None or held.statement is not new.statement
        if live != was_live or moved:
            self._links.dirty = True
            self.peers_changed = True
        if was_live and not live:
            self.departed.append(node)
        if live and self._links.gone(node, standing.boot) and self._me not in standing.gone:
            self.doubted.append(node)
        if spread:
            self._spread(held, new)
        if standing.rank == Rank.SUSPECT:
            self._suspect(now_ns, old, new)
        else:
            self._suspicions.cancel(node)
        self.recent_dead.pop(node, None)
        if standing.rank == Rank.DEAD and held is not None:
            self._bury(now_ns, new)
        changed = before is None or before != (standing.boot, self.table.condition(node))
        if changed and (live or held is not None):
            certain = bool(standing.gone) or standing.rank == Rank.LEFT
            self._tell_change(now_ns, before, certain=certain, node=node)
        elif moved and held is not None and live:
            member = self.table.member(node)
            self._queue.add(MetaUpdated(member) if member is not None else None)

    def _suspect(self, now_ns: int, old: Standing | None, new: Claim) -> None:
        """Run the timer, and ask for a second opinion: the watchers of a suspect probe it at once."""
        node, standing = new.node, new.standing
        if node not in self._suspicions:
            self._counters.suspicions += 1
        fresh = old is None or (old.boot, old.incarnation, old.round, old.rank) != (
            standing.boot,
            standing.incarnation,
            standing.round,
            standing.rank,
        )
        self._suspicions.begin(now_ns, node, standing, len(self.table.ring))
        asked = self.lifeguard and self._links.watches(node)
        if fresh and asked and self._me not in standing.accusers:
            self.doubted.append(node)

    def _bury(self, now_ns: int, claim: Claim) -> None:
        self.recent_dead[claim.node] = now_ns + self._config.gossip_to_dead_ms * 1_000_000
        if len(claim.standing.gone) >= evidence.witnesses_needed(len(self.table.ring) + 1):
            self._counters.deaths_by_kernel += 1
            self._shout(claim.node)
        else:
            self._counters.deaths_by_suspicion += 1

    def _spread(self, held: Claim | None, new: Claim) -> None:
        """Make rumours of what is new in a claim; an older rumour about the same node is over."""
        node, standing, said = new.node, new.standing, new.statement
        if said is not None and (held is None or said is not held.statement):
            self._rumours.add(("says", node), pack_message(Says(pack_statement(said))))
        if standing.rank == Rank.ALIVE:
            self._rumours.remove(("accuses", node))
            return
        old = held.standing if held is not None else None
        if (
            old is None
            or (old.boot, old.incarnation, old.round, old.rank)
            != (standing.boot, standing.incarnation, standing.round, standing.rank)
            or len(old.accusers) < len(standing.accusers)
            or len(old.gone) < len(standing.gone)
        ):
            self._rumours.add(("accuses", node), self._accusation(new))

    @staticmethod
    def _accusation(claim: Claim) -> bytes:
        return pack_message(Accuses(claim.node, claim.standing))

    def standing_words(self, node: str) -> bytes | None:
        """What is held against a node, to be told to others, or None."""
        claim = self.table.get(node)
        if claim is None or claim.standing.rank == Rank.ALIVE:
            return None
        return self._accusation(claim)

    def words_to(self, node: str) -> bytes | None:
        """What is held against a node, to be told to itself (Lifeguard's buddy system), or None."""
        return self.standing_words(node) if self.lifeguard else None

    def _shout(self, node: str) -> None:
        """Pass on what is held of a crashed node now, to its other watchers and a few more."""
        words = self.standing_words(node)
        if words is None:
            return
        away = {self._me, node}
        near = self._links.watchers_of(node)
        for peer in sorted({*near, *self.table.ring.draw(self._rng, self._config.eager_fanout, away)} - away):
            address = self.table.address(peer)
            if address is not None:
                self._outbox.send_packed(address, words)

    # --- time ---------------------------------------------------------------------------------

    def next_ns(self) -> int | None:
        """When a suspicion expires or a held-back event has lasted."""
        first, second = self._suspicions.next_ns(), self._damper.next_ns()
        if first is None or second is None:
            return second if first is None else first
        return min(first, second)

    def run(self, now_ns: int) -> None:
        """End what has expired."""
        for node in self._suspicions.expired(now_ns):
            self._expire(now_ns, node)
        for event in self._damper.settled(now_ns, self.table.member):
            self._queue.add(event)

    def _expire(self, now_ns: int, node: str) -> None:
        """A suspicion has run out. Death needs accusers enough, this node's own failed probe among the
        evidence (what missed a refutation finds out by it), and a mesh that is not mostly silent at once."""
        held = self.table.get(node)
        if held is None or held.standing.rank != Rank.SUSPECT:
            self._suspicions.cancel(node)
            return
        standing, live, suspects = held.standing, len(self.table.ring), self.table.suspects
        if self._links.up(node, standing.boot) and standing.round < 60_000:
            self.vouch(now_ns, node, standing.boot)
        elif not self.lifeguard:
            self._die(now_ns, held)
        elif self.own.leaving or len(standing.accusers) < evidence.accusers_needed(live - suspects + 1):
            self._counters.deaths_withheld += 1
            sometimes("withheld a death for want of another accuser")
            self._suspicions.prolong(now_ns, node)
            self.doubted.append(node)
            if not self.own.leaving:  # others may lack just this one, and equal views are not exchanged
                self._rumours.add(("accuses", node), self._accusation(held))
        elif not self._suspicions.is_own(node):
            self._await_proof(now_ns, node)
        elif evidence.in_panic(suspects, live) and not self._suspicions.prolonged(node):
            self._counters.panics += 1
            sometimes("prolonged a suspicion, as most of the mesh was silent at once")
            self._suspicions.prolong(now_ns, node)
        else:
            self._die(now_ns, held)

    def _await_proof(self, now_ns: int, node: str) -> None:
        """Everybody's timers end at about the same time: leave the word to those whose own probes failed for as
        long as a rumour needs to get around, then probe for oneself."""
        stay_ms = self._config.gossip_interval_ms * 2 * math.log2(len(self.table.ring) + 1)
        stay_ms += self._config.probe_interval_ms * self._health.multiplier * (1.1 + self._rng.random())
        if self._suspicions.stay(now_ns, node, int(stay_ms * 1_000_000)) > 1:
            sometimes("probed a suspect for itself, as nobody had decided about it")
            self.doubted.append(node)

    def _die(self, now_ns: int, held: Claim) -> None:
        sometimes("a suspicion ran out into a death")
        dead = Claim(held.node, evidence.dead_of(held.standing), held.statement)
        self._adopt(now_ns, held, dead, spread=True)

    def forget_old(self, now_ns: int) -> None:
        """Drop tombstones whose time is over, the oldest first."""
        keep_ns = self._config.forget_after_ms * 1_000_000
        driver_ns = self._clock.to_driver(now_ns)
        while (node := next((n for n in self.table.finals() if n != self._me), None)) is not None:
            if driver_ns - self.table.finals()[node] < keep_ns:
                return
            sometimes("dropped a tombstone whose time was over")
            self._forget(node)

    # --- events -------------------------------------------------------------------------------

    def hear_load(self, now_ns: int, node: str, load: int, busy: bool) -> None:
        """What a live member said of its own load."""
        claim = self.table.get(node)
        before = self.table.condition(node)
        if claim is not None and before is not None and self.table.hear_load(node, load, busy):
            self._tell_change(now_ns, (claim.standing.boot, before), certain=False, node=node)

    def _tell_change(
        self,
        now_ns: int,
        before: tuple[int, Condition] | None,
        *,
        certain: bool,
        node: str,
    ) -> None:
        member = self.table.member(node)
        if member is not None:
            self._queue.add(self._damper.changed(now_ns, member, before, certain=certain))
