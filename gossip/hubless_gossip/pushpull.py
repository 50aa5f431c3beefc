"""Push-pull: two nodes compare their views by hash and exchange only what differs.

    Digest    ->                the hash of all that is held live; equal: silence (tens of bytes in all)
              <-  Buckets       the hashes of 64 parts
    Summaries ->                for the parts that differ, who is in them in which version
              <-  Entries       what the other lacks or holds in an older version, and what is wanted in return
    Entries   ->                that, and corrections of what was old news

No step keeps state: each message says all that its answer needs, and merging is safe at any time.
"""

from __future__ import annotations

import math
import random

from hubless_gossip.claims import Claim, Rank, fingerprint, join
from hubless_gossip.codec import claim_of, entry_of, pack_statement, unpack_statement
from hubless_gossip.config import GossipConfig
from hubless_gossip.counters import Counters
from hubless_gossip.digest import bucket_of
from hubless_gossip.marks import sometimes
from hubless_gossip.member import Address, Condition
from hubless_gossip.messages import (
    Buckets,
    Digest,
    Entries,
    Entry,
    Join,
    JoinAnswer,
    Summaries,
)
from hubless_gossip.outbox import Outbox
from hubless_gossip.view import View

SPREAD_MAX = 16
"""News of up to this many members in one message become rumours; more are left to further push-pulls."""
ENTRIES_MAX = 1024
_MS = 1_000_000


class PushPull:
    """Starts exchanges, answers those of others, lets newcomers in."""

    __slots__ = ("_address", "_config", "_counters", "_due_ns", "_me", "_outbox", "_rng", "_view")

    def __init__(
        self,
        me: str,
        address: Address,
        config: GossipConfig,
        *,
        now_ns: int,
        view: View,
        outbox: Outbox,
        counters: Counters,
        rng: random.Random,
    ) -> None:
        self._me = me
        self._address = address
        self._config = config
        self._view = view
        self._outbox = outbox
        self._counters = counters
        self._rng = rng
        self._due_ns = now_ns + int(config.push_pull_interval_ms * _MS * rng.random())

    def next_ns(self) -> int:
        return self._due_ns

    def run(self, now_ns: int) -> None:
        """Compare with a random live member, one that is not suspect if there is any, when it is time."""
        if now_ns < self._due_ns:
            return
        live = len(self._view.table.ring)
        scale = 1 + max(0, math.ceil(math.log2(max(1, live) / 32)))
        jitter = 0.75 + 0.5 * self._rng.random()
        self._due_ns = now_ns + int(self._config.push_pull_interval_ms * scale * jitter * _MS)
        table = self._view.table
        drawn = table.ring.draw(self._rng, 3, {self._me})
        drawn.sort(key=lambda node: table.condition(node) == Condition.SUSPECT)
        address = table.address(drawn[0]) if drawn else None
        if address is not None:
            self.begin(address)

    def begin(self, address: Address) -> None:
        """Compare views with whoever is there."""
        table = self._view.table
        self._outbox.send(address, Digest(table.digest.total, len(table.ring) & 0xFFFF, self._address))

    def want(self, node: str, address: Address) -> None:
        """Ask a member for what it says of itself."""
        self._outbox.send_bulk(address, Entries((), (node,)))

    def catch_up(self, now_ns: int) -> None:
        """There was news: compare with another member soon."""
        soon = now_ns + int(self._config.catch_up_ms * _MS * (0.5 + self._rng.random()))
        self._due_ns = min(self._due_ns, soon)

    def check_soon(self, now_ns: int) -> None:
        """Newcomers were met: compare once their rumours have run out, as some rumour misses somebody."""
        soon = now_ns + int(5 * self._config.catch_up_ms * _MS * (1 + self._rng.random()))
        self._due_ns = min(self._due_ns, soon)

    # --- the steps ----------------------------------------------------------------------------

    def hear_digest(self, address: Address, message: Digest) -> None:
        digest = self._view.table.digest
        if message.total != digest.total:
            self._outbox.send(address, Buckets(tuple(digest.sums)))

    def hear_buckets(self, address: Address, message: Buckets) -> None:
        table = self._view.table
        mask = table.digest.differing(message.sums)
        room = self._outbox.bulk_room_bytes - 64
        asked, nodes, prints, size = 0, [], [], 0
        parts: dict[int, list[Claim]] = {}
        for claim in table.claims():
            bucket = bucket_of(claim.node)
            if mask >> bucket & 1:
                parts.setdefault(bucket, []).append(claim)
        for bucket in range(64):
            if not mask >> bucket & 1:
                continue
            part = parts.get(bucket, [])
            size += sum(len(claim.node.encode()) + 11 for claim in part)
            if size > room:
                break
            asked |= 1 << bucket
            for claim in part:
                nodes.append(claim.node)
                prints.append(0 if claim.standing.final else fingerprint(claim))
        if asked:
            self._outbox.send_bulk(address, Summaries(asked, tuple(nodes), tuple(prints)))

    def hear_summaries(self, address: Address, message: Summaries) -> None:
        if len(message.nodes) != len(message.prints):
            self._counters.malformed_messages += 1
            return
        table = self._view.table
        theirs = dict(zip(message.nodes, message.prints, strict=True))
        gives: list[Claim] = []
        for claim in table.claims():
            if not message.mask >> bucket_of(claim.node) & 1:
                continue
            there = theirs.get(claim.node)
            here = 0 if claim.standing.final else fingerprint(claim)
            if here != there and (here or there):
                gives.append(claim)
        wants = []
        for node, there in theirs.items():
            held = table.get(node)
            here = 0 if held is None or held.standing.final else fingerprint(held)
            if there and here != there:
                wants.append(node)
        self._give(address, gives, tuple(wants[:ENTRIES_MAX]))

    def hear_entries(self, now_ns: int, address: Address | None, message: Entries) -> None:
        """Merge, give what is wanted, and correct what is older than what is held here."""
        better = self._merge(now_ns, message.entries)
        if address is None:
            return
        found = (self._view.table.get(node) for node in message.wants)
        gives = {claim.node: claim for claim in (*better, *found) if claim is not None}
        if gives:
            if better:
                sometimes("corrected old news that a peer had sent")
            self._give(address, list(gives.values()), ())

    def _merge(self, now_ns: int, entries: tuple[Entry, ...]) -> list[Claim]:
        """Hear all entries. Returns the members of which this node holds something better."""
        view, table = self._view, self._view.table
        spread = len(entries) <= SPREAD_MAX
        news = False
        better: list[Claim] = []
        for entry in entries:
            claim = claim_of(entry)
            if claim is None:
                self._counters.malformed_messages += 1
                continue
            if view.hear(now_ns, claim, merged=True, spread=spread):
                news = True
            held = table.get(claim.node)
            if (
                held is not None
                and fingerprint(held) != fingerprint(claim)
                and join(claim, held) is not claim
            ):
                better.append(held)
        if news:
            self.catch_up(now_ns)
        return better

    def _give(self, address: Address, claims: list[Claim], wants: tuple[str, ...]) -> None:
        """Entries in as many packets as they need; the wants travel with the first."""
        first = True
        for part in self._parts(claims, sum(len(node.encode()) + 3 for node in wants)) or [()]:
            if part or (first and wants):
                self._outbox.send_bulk(address, Entries(part, wants if first else ()))
            first = False

    def _parts(self, claims: list[Claim], taken_bytes: int) -> list[tuple[Entry, ...]]:
        room = self._outbox.bulk_room_bytes - 64
        parts: list[tuple[Entry, ...]] = []
        part: list[Entry] = []
        size = taken_bytes
        for claim in claims:
            entry = entry_of(claim)
            weight = _weight(entry)
            if part and (size + weight > room or len(part) >= ENTRIES_MAX):
                sometimes("a view took more than one packet")
                parts.append(tuple(part))
                part, size = [], 0
            part.append(entry)
            size += weight
        if part:
            parts.append(tuple(part))
        return parts

    # --- joining ------------------------------------------------------------------------------

    def ask_to_join(self, address: Address) -> None:
        self._outbox.send(address, Join(pack_statement(self._view.own.statement)))

    def hear_join(self, now_ns: int, sender: str, message: Join) -> None:
        """Let the sender in and show it everything, the remembered dead included."""
        claim = unpack_statement(message.blob)
        if claim is None or claim.statement is None or claim.node != sender:
            self._counters.malformed_messages += 1
            return
        self._view.hear(now_ns, claim)
        parts = self._parts(list(self._view.table.claims()), 0)
        for number, part in enumerate(parts):
            self._outbox.send_bulk(claim.statement.address, JoinAnswer(number, len(parts), part))

    def hear_join_answer(self, now_ns: int, message: JoinAnswer) -> None:
        self._merge(now_ns, message.entries)
        self.catch_up(now_ns)


def _weight(entry: Entry) -> int:
    """An upper bound of an entry's packed size."""
    size = len(entry.blob) + 8 + len(entry.signature)
    standing = entry.standing
    if standing is not None and standing.rank > Rank.ALIVE:
        size += sum(len(name.encode()) + 3 for name in (*standing.accusers, *standing.gone))
    return size + (32 if standing is not None else 0)
