"""Deaths by suspicion that come sooner than those who confirmed the suspicion let them (Lifeguard section IV-B).

A second opinion on the core's timers. It knows who was named by accusations that reached a process as rumours, and when
that process told of the suspicion, and no more; a doubt is always in favour of the core.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hubless_gossip import Condition, Effect, Gossip, GossipConfig, Member, MemberChanged, Tell
from hubless_gossip.claims import Rank, Standing
from hubless_gossip.codec import Envelope, pack_message, unpack_packet
from hubless_gossip.messages import Accuses
from hubless_sim.verdict import Violation

_SLACK_NS = 1_000
"""For what was rounded on the way."""
_BEGINNING = pack_message(Accuses("n0", Standing(0, 0, 0, Rank.SUSPECT)))[:2]
"""Of the bytes of every accusation: most packets have none, and need not be opened."""


class Hasty(NamedTuple):
    """A death by suspicion that came too early: ``after_ns``, and not ``least_ns`` as ``confirmed`` others allow."""

    member: str
    after_ns: int
    least_ns: int
    confirmed: int


class _Suspicion(NamedTuple):
    """When a process told of one, of which (boot, incarnation), among how many at least, and whether others told it
    so by a push-pull: then nobody who was heard is the first accuser, who does not confirm."""

    began_ns: int
    life: tuple[int, int]
    live: int
    is_merged: bool


class Haste:
    """Watches one process: every event that its core handled, and what came of it."""

    def __init__(self, me: str, mesh: bytes, config: GossipConfig) -> None:
        self._me = me
        self._mesh = mesh
        self._config = config
        self._named: dict[str, tuple[tuple[int, int], set[str]]] = {}
        self._suspicions: dict[str, _Suspicion] = {}
        self._kernel_deaths = 0

    def watch(
        self, now_ns: int, packet: bytes | None, effects: Iterable[Effect], core: Gossip
    ) -> Iterator[Hasty]:
        """What was too early of what the core has just told. ``packet`` is what it was given, if it was one."""
        accused = self._accusations(packet) if packet is not None and _BEGINNING in packet else {}
        by_kernel = core.counters.deaths_by_kernel != self._kernel_deaths
        self._kernel_deaths = core.counters.deaths_by_kernel
        changes = [
            each.event for each in effects if isinstance(each, Tell) and isinstance(each.event, MemberChanged)
        ]
        for member in (change.member for change in changes):
            if member.condition is Condition.SUSPECT:
                live = sum(each.condition < Condition.DEAD for each in core.members()) - len(changes)
                is_merged = packet is not None and member.node not in accused
                self._suspicions[member.node] = _Suspicion(now_ns, _life(member), live, is_merged)
                continue
            is_told_so = by_kernel or Rank.DEAD in accused.get(member.node, ())
            if member.condition is Condition.DEAD and not is_told_so:
                yield from self._too_early(now_ns, member)

    def _accusations(self, packet: bytes) -> dict[str, set[Rank]]:
        """Who is accused of what in a packet's rumours; remembers by whom."""
        envelope = unpack_packet(packet, self._mesh)
        accused: dict[str, set[Rank]] = {}
        for message in envelope.messages if isinstance(envelope, Envelope) else ():
            if isinstance(message, Accuses):
                accused.setdefault(message.node, set()).add(message.standing.rank)
                self._remember(message.node, message.standing)
        return accused

    def _remember(self, node: str, said: Standing) -> None:
        life = (said.boot, said.incarnation)
        known = self._named.get(node)
        if known is None or known[0] < life:
            known = self._named[node] = (life, set())
        if known[0] == life:
            known[1].update(said.accusers)

    def _too_early(self, now_ns: int, member: Member) -> Iterator[Hasty]:
        began = self._suspicions.get(member.node)
        if began is None or began.life != _life(member):
            return
        life, named = self._named.get(member.node, (began.life, set()))
        heard = named | {self._me} if life == began.life else {self._me}
        confirmed = len(heard) - (not began.is_merged)
        least_ns = self._least_ns(began.live, confirmed)
        after_ns = now_ns - began.began_ns
        if after_ns + _SLACK_NS < least_ns:
            yield Hasty(member.node, after_ns, least_ns, confirmed)

    def _least_ns(self, live: int, confirmed: int) -> int:
        """Max - (Max - Min) log(C + 1) / log(K + 1), but at least Min."""
        config = self._config
        least = config.suspicion_mult * max(1.0, math.log10(max(1, live))) * config.probe_interval_ms * 1e6
        most = least * config.suspicion_max_mult
        wanted = min(config.confirmations, live - 2)
        if wanted < 1:
            return int(least)
        return int(max(least, most - (most - least) * math.log(confirmed + 1) / math.log(wanted + 1)))


def _life(member: Member) -> tuple[int, int]:
    return member.boot, member.incarnation


def hasty(found: Iterable[tuple[int, str, Hasty]]) -> Iterator[Violation]:
    """What was found, and when and where."""
    for at_ns, node, each in found:
        text = (
            f"{node} holds {each.member} dead {each.after_ns / 1e9:.2f} s after it was suspected: with "
            f"{each.confirmed} that confirmed it by rumours it takes {each.least_ns / 1e9:.2f} s"
        )
        yield Violation("suspicions last", text, at_ns, (node, each.member))
