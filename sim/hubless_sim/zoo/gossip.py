"""Bugs in membership: who wins of two claims, what is evidence, who is told, who is tried again."""

from __future__ import annotations

from msgspec.structs import replace

from hubless.view import View
from hubless_gossip import Member, evidence
from hubless_gossip import claims as claims_module
from hubless_gossip.claims import Claim, Rank, Standing, Statement
from hubless_gossip.core import Gossip
from hubless_gossip.events import Remembered
from hubless_gossip.healing import Healer
from hubless_gossip.links import Links
from hubless_gossip.member import Address
from hubless_gossip.memory import Memory
from hubless_gossip.messages import IndirectPing
from hubless_gossip.own import Own
from hubless_gossip.pushpull import PushPull
from hubless_gossip.relay import Relays
from hubless_gossip.rumours import RumourKey, Rumours
from hubless_gossip.suspicion import Suspicions
from hubless_gossip.view import View as GossipView
from hubless_sim.zoo.planting import Bed, Swaps

BED = Bed("gossip")


@BED.plant("gossip", first=0)
def refutes_in_the_same_incarnation(swaps: Swaps) -> None:
    """A refutation does not raise the incarnation, so that it is not news to those who hold the accusation."""

    def flat(self: Own, now_ns: int, meta: bytes, above: int, rank: Rank) -> None:
        said = self.statement
        if rank is Rank.ALIVE and meta == said.meta:
            above = said.incarnation - 1
            self.statement = replace(said, incarnation=above)
        say(self, now_ns, meta, above, rank)

    say = swaps.put(Own, "_say", flat)


@BED.plant("gossip", first=0)
def believes_others_about_itself(swaps: Swaps) -> None:
    """A node that hears an accusation against itself does not refute it."""
    swaps.put(Own, "hear", lambda _self, _now_ns, _claim: False)


@BED.plant("gossip", first=0)
def lets_the_first_statement_win(swaps: Swaps) -> None:
    """Of two statements of a member the earlier one is kept: what it says of itself never changes for others."""

    def first(a: Statement | None, b: Statement | None) -> Statement | None:
        if a is None or b is None or a.boot != b.boot:
            return join(a, b)
        return a if a.incarnation <= b.incarnation else b

    join = swaps.put(claims_module, "join_statements", first)


@BED.plant("gossip", first=1)
def believes_no_restart_of_the_dead(swaps: Swaps) -> None:
    """A process that starts after a death is held for the dead one, whatever its boot is."""

    def once_dead(a: Standing, b: Standing) -> Standing:
        return a if a.rank is Rank.DEAD and b.boot > a.boot else join(a, b)

    join = swaps.put(claims_module, "join_standings", once_dead)


@BED.plant("gossip", first=2)
def lets_no_suspicion_end(swaps: Swaps) -> None:
    """A suspicion runs for ever."""

    def never(self: Suspicions, _now_ns: int) -> list[str]:
        return []

    swaps.put(Suspicions, "expired", never)
    swaps.put(Suspicions, "next_ns", lambda _self: None)


@BED.plant("gossip", first=97)
def never_tries_the_dead_again(swaps: Swaps) -> None:
    """Who is held dead is neither gossiped to nor tried: two halves of a mesh never meet again."""

    def nobody(self: Healer, now_ns: int) -> Address | None:
        run(self, now_ns)
        return None

    def the_living(self: Gossip, now: int) -> list[str]:
        self._view.recent_dead.clear()
        return audience(self, now)

    run = swaps.put(Healer, "run", nobody)
    swaps.put(Gossip, "_meet", lambda _self, _node: None)
    audience = swaps.put(Gossip, "_audience", the_living)


@BED.plant("gossip", first=1)
def starts_with_incarnation_zero(swaps: Swaps) -> None:
    """A process does not remember the incarnation of the one before it."""

    def blank(self: Memory) -> Remembered:
        kept = remembered(self)
        return Remembered(0, kept.peers)

    remembered = swaps.put(Memory, "remembered", blank)


@BED.plant("gossip", first=9)
def takes_silence_of_a_busy_process_for_death(swaps: Swaps) -> None:
    """A link that is up says nothing of a process that does not answer."""
    swaps.put(Links, "up", lambda _self, _node, _boot: False)


@BED.plant("accused", first=1)
def believes_a_single_accuser(swaps: Swaps) -> None:
    """One node's word is enough for a death, however many others there are to ask."""
    swaps.put(evidence, "accusers_needed", lambda _reachable: 1)


@BED.plant("hushed", first=0)
def takes_a_push_pull_merge_for_a_confirmation(swaps: Swaps) -> None:
    """Accusers that a push-pull brought end a suspicion sooner, as if their rumours had come."""

    def confirming(
        self: GossipView, now_ns: int, claim: Claim, *, merged: bool = False, spread: bool = True
    ) -> bool:
        is_news = hear(self, now_ns, claim, merged=merged, spread=spread)
        self._suspicions.confirm(now_ns, claim.node, claim.standing)
        return is_news

    hear = swaps.put(GossipView, "hear", confirming)


@BED.plant("gossip", first=1)
def compares_no_views(swaps: Swaps) -> None:
    """Whoever is asked whether both hold the same says nothing, as if they did."""
    swaps.put(PushPull, "hear_digest", lambda *_: None)


@BED.plant("cramped", first=0)
def keeps_all_rumours(swaps: Swaps) -> None:
    """A new rumour is kept beside the others, however many there are."""

    def hoard(self: Rumours, key: RumourKey, packed: bytes, factor: float = 1.0) -> None:
        most, self._most = self._most, len(self) + 1
        add(self, key, packed, factor)
        self._most = most

    add = swaps.put(Rumours, "add", hoard)


@BED.plant("cramped", first=0)
def does_all_errands(swaps: Swaps) -> None:
    """A node pings for everybody who asks it to, however many errands it has already."""

    def willing(self: Relays, now_ns: int, seq: int, request: IndirectPing, origin: Address) -> bool:
        config = self._config
        self._config = replace(config, relays_max=len(self) + 1)
        is_taken = accept(self, now_ns, seq, request, origin)
        self._config = config
        return is_taken

    accept = swaps.put(Relays, "accept", willing)


@BED.plant("mesh", first=0)
def gives_no_seat_to_who_comes_late(swaps: Swaps) -> None:
    """A node that has four members on its ring places no work by those that it hears of later."""

    def closed(self: View, member: Member) -> None:
        is_stale = self.ring_is_stale
        learn(self, member)
        if len(self.preferences.ring) >= 4:
            self.ring_is_stale = is_stale

    learn = swaps.put(View, "learn", closed)
