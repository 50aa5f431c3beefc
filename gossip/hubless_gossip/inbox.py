"""What packets say, handed to those it concerns. The only way in; nothing in here decides anything."""

from __future__ import annotations

from collections.abc import Sequence

from hubless_gossip.claims import Claim, Rank, Standing
from hubless_gossip.codec import Envelope, Fault, tidy, unpack_packet, unpack_statement
from hubless_gossip.counters import Counters
from hubless_gossip.healing import Joiner
from hubless_gossip.links import Links
from hubless_gossip.marks import sometimes
from hubless_gossip.member import Address, Identity
from hubless_gossip.messages import (
    Accuses,
    Ack,
    Buckets,
    Digest,
    Entries,
    IndirectPing,
    Join,
    JoinAnswer,
    LinkReport,
    Message,
    Ping,
    RelayAnswer,
    Says,
    Summaries,
)
from hubless_gossip.outbox import Outbox
from hubless_gossip.paths import Paths
from hubless_gossip.probe import Prober
from hubless_gossip.pushpull import PushPull
from hubless_gossip.relay import Relays
from hubless_gossip.view import View

_INTRODUCTIONS = (Join, Digest, Buckets, Entries)
"""Messages whose own answer makes two strangers known to each other."""


class Inbox:
    """Decodes packets and dispatches their messages. `load` and `busy` ride on what it answers."""

    __slots__ = (
        "_counters",
        "_identity",
        "_joiner",
        "_links",
        "_me",
        "_outbox",
        "_paths",
        "_prober",
        "_push_pull",
        "_relays",
        "_table",
        "_view",
        "busy",
        "load",
    )

    def __init__(
        self,
        identity: Identity,
        *,
        view: View,
        prober: Prober,
        relays: Relays,
        links: Links,
        paths: Paths,
        push_pull: PushPull,
        joiner: Joiner,
        outbox: Outbox,
        counters: Counters,
    ) -> None:
        self._identity = identity
        self._me = identity.node
        self._view = view
        self._table = view.table
        self._prober = prober
        self._relays = relays
        self._links = links
        self._paths = paths
        self._push_pull = push_pull
        self._joiner = joiner
        self._outbox = outbox
        self._counters = counters
        self.load = 0
        self.busy = False

    def receive(self, now: int, packet: bytes, source: Address | None) -> None:
        """A packet of whatever quality from wherever."""
        counters = self._counters
        counters.packets_in += 1
        envelope = unpack_packet(packet, self._identity.mesh)
        match envelope:
            case Fault.MALFORMED:
                counters.malformed_packets += 1
                return
            case Fault.OTHER_VERSION:
                counters.other_version += 1
                return
            case Fault.OTHER_MESH:
                counters.other_mesh += 1
                return
            case Envelope(sender, boot, messages, unknown, malformed):
                counters.unknown_messages += unknown
                counters.malformed_messages += malformed
        if sender == self._me:
            counters.own_echoes += 1
            return
        claim = self._table.get(sender)
        if claim is not None and claim.standing.boot > boot:
            counters.stale_boots += 1
            sometimes("dropped a packet of a process that another has outlived")
            for message in messages:
                if isinstance(message, Ack):
                    self.displaced(now, sender, boot, message.seq)
            return
        for message in messages:
            self._message(now, sender, boot, message, source)
        self._greet(sender, boot, messages, source)
        self._ask_for_news(sender, boot, messages, source)

    def _greet(self, sender: str, boot: int, messages: list[Message], source: Address | None) -> None:
        """Tell a sender that is held dead so that it can refute; compare views with one that is not known."""
        claim = self._table.get(sender)
        if claim is not None and claim.standing.boot == boot:
            if claim.standing.rank == Rank.DEAD and claim.statement is not None:
                sometimes("heard from a member that is held dead, and told it so")
                self._tell(sender, claim.statement.address)
            return
        address = self._reply_address(sender, messages, source)
        if address is None:
            self._counters.unknown_senders += 1
        elif not any(type(message) in _INTRODUCTIONS for message in messages):
            self._push_pull.begin(address)

    def _ask_for_news(self, sender: str, boot: int, messages: list[Message], source: Address | None) -> None:
        """Asks a member for its statement, if a later one than is held: its rumour may have run out during a cut."""
        told = max((each.incarnation for each in messages if isinstance(each, Ping | Ack)), default=0)
        claim = self._table.get(sender) if told else None
        if claim is None or claim.statement is None:
            return
        address = self._reply_address(sender, messages, source)
        if (claim.statement.boot, claim.statement.incarnation) < (boot, told) and address is not None:
            sometimes("asked a member for a statement whose rumour had not come")
            self._push_pull.want(sender, address)

    def _reply_address(
        self, sender: str, messages: Sequence[Message], source: Address | None
    ) -> Address | None:
        """Where to answer: what the message says of its sender, else the table, else where it came from."""
        for message in messages:
            if isinstance(message, Ping | Digest):
                return message.address
        return self._table.address(sender) or source

    def _message(self, now: int, sender: str, boot: int, message: Message, source: Address | None) -> None:
        match message:
            case Ping(seq, address):
                self._outbox.send(
                    address, Ack(seq, self.load, self.busy, self._view.own.statement.incarnation)
                )
                self._hear_load(now, sender, boot, message)
                self._tell(sender, address)
            case Ack():
                self._ack(now, sender, boot, message)
            case RelayAnswer(seq, outcome):
                self._prober.hear_relay(seq, outcome)
            case Says(blob):
                self._says(now, blob)
            case Accuses(node, standing):
                self._accuses(now, sender, node, standing)
            case LinkReport():
                self._paths.hear(now, message)
            case Join():
                self._push_pull.hear_join(now, sender, message)
            case JoinAnswer():
                self._push_pull.hear_join_answer(now, message)
                self._joiner.answered()
            case Entries():
                self._push_pull.hear_entries(now, self._reply_address(sender, (), source), message)
            case IndirectPing() | Digest() | Buckets() | Summaries():
                address_ = self._reply_address(sender, (message,), source)
                if address_ is not None:
                    self._answerable(now, address_, message)

    def _answerable(
        self,
        now: int,
        address: Address,
        message: IndirectPing | Digest | Buckets | Summaries,
    ) -> None:
        match message:
            case IndirectPing():
                seq = self._prober.sequence()
                if self._relays.accept(now, seq, message, address):
                    self.ping(seq, message.target, message.address)
            case Digest():
                self._push_pull.hear_digest(address, message)
            case Buckets():
                self._push_pull.hear_buckets(address, message)
            case Summaries():
                self._push_pull.hear_summaries(address, message)

    def _says(self, now: int, blob: bytes) -> None:
        claim = unpack_statement(blob)
        if claim is None:
            self._counters.malformed_messages += 1
        else:
            self._view.hear(now, claim)

    def _accuses(self, now: int, sender: str, node: str, standing: Standing) -> None:
        """An accusation. Whoever holds an old one against this node missed the refutation: tell it again."""
        self._view.hear(now, Claim(node, tidy(standing), None))
        own = self._view.own.statement
        stale = (standing.boot, standing.incarnation) < (own.boot, own.incarnation)
        if node == self._me and stale and self._view.lifeguard:
            address = self._table.address(sender)
            if address is not None:
                sometimes("repeated a refutation to somebody who had missed it")
                self._outbox.send_packed(address, self._view.own.words)

    def displaced(self, now: int, sender: str, boot: int, seq: int) -> None:
        """An ack from another process than the one that was pinged is news of the latter. A later start of the
        same node is not: it speaks for itself."""
        if self._view.own.leaving or not self._view.lifeguard:
            return
        asked = self._relays.asked(seq) or self._prober.asked(seq)
        if asked is None or (asked[0] == sender and asked[1] <= boot):
            return
        self._prober.give_up(seq)
        self._view.displaced(now, *asked)

    def _ack(self, now: int, sender: str, boot: int, ack: Ack) -> None:
        self.displaced(now, sender, boot, ack.seq)
        if self._relays.hear_ack(ack.seq, sender, boot):
            return
        if self._prober.hear_ack(ack.seq, sender, boot):
            self._paths.direct(now, sender)
            self._links.answered(sender, boot)
        self._hear_load(now, sender, boot, ack)

    def _hear_load(self, now: int, sender: str, boot: int, told: Ping | Ack) -> None:
        claim = self._table.get(sender)
        if claim is not None and claim.standing.boot == boot:
            self._view.hear_load(now, sender, told.load, told.busy)

    def _tell(self, node: str, address: Address) -> None:
        """What is held against a node, to itself, so that it can refute (Lifeguard's buddy system)."""
        words = self._view.words_to(node)
        if words is not None:
            self._outbox.send_packed(address, words)

    def ping(self, seq: int, node: str, address: Address) -> None:
        """Ping `node` under this number."""
        incarnation = self._view.own.statement.incarnation
        self._outbox.send(address, Ping(seq, self._identity.address, self.load, self.busy, incarnation))
        self._tell(node, address)
