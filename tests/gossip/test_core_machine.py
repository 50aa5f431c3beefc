"""One core among puppets: whatever they say in whatever order, a dumb model knows what must hold."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hubless_gossip import (
    Address,
    Condition,
    DeadlineReached,
    Gossip,
    GossipConfig,
    Identity,
    LeaveRequested,
    LinkDown,
    LinkRefused,
    LinkUp,
    LoadChanged,
    MemberChanged,
    MetaChanged,
    PacketReceived,
    Persist,
    SendPacket,
    Tell,
    WatchLinks,
)
from hubless_gossip.claims import Rank, Standing, Statement
from hubless_gossip.codec import (
    Envelope,
    pack_header,
    pack_message,
    pack_packet,
    pack_statement,
    unpack_packet,
)
from hubless_gossip.messages import Accuses, Ack, Entries, Entry, Join, Message, Ping, RelayAnswer, Says

MESH = b"testmesh"
MS = 1_000_000
puppets = st.sampled_from(["p0", "p1", "p2", "p3", "p4"])
anybody = st.sampled_from(["me", "p0", "p1", "p2", "p3", "p4"])
low = st.integers(0, 3)


def address(node: str) -> Address:
    return Address(node, 7000)


class CoreAmongPuppets(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 999))
    def begin(self, seed: int) -> None:
        self.now = 0
        identity = Identity(MESH, "me", 1, address("me"))
        self.core = Gossip(identity, config=GossipConfig.local(), rng=random.Random(seed), now_ns=0)
        self.said: dict[str, tuple[int, int, bytes]] = {}
        self.versions: dict[str, tuple[int, int]] = {}
        self.told: dict[str, Condition] = {"me": Condition.ALIVE}
        self.asked: list[tuple[str, int]] = []
        self.on_disk = 0
        self.left = False
        self.meta = b""

    def give(self, event: Any) -> None:
        for effect in self.core.handle(self.now, event):
            match effect:
                case SendPacket(to, packet):
                    self.look_at(to, packet)
                case Persist(remembered):
                    assert remembered.incarnation >= self.on_disk
                    self.on_disk = remembered.incarnation
                case Tell(MemberChanged(member, previous)):
                    assert self.told.get(member.node) == previous
                    self.told[member.node] = member.condition
                case WatchLinks(peers):
                    assert "me" not in [peer.node for peer in peers]
                    assert all(self.core.member(peer.node).condition < Condition.DEAD for peer in peers)

    def look_at(self, to: Address, packet: bytes) -> None:
        envelope = unpack_packet(packet, MESH)
        assert isinstance(envelope, Envelope)
        assert (envelope.sender, envelope.boot, envelope.unknown, envelope.malformed) == ("me", 1, 0, 0)
        assert to != address("me")
        assert len(packet) <= 1400 or len(envelope.messages) == 1
        for message in envelope.messages:
            if isinstance(message, Ping):
                self.asked.append((to.host, message.seq))

    def hear(self, sender: str, boot: int, *messages: Message) -> None:
        packed = [pack_message(message) for message in messages]
        self.give(PacketReceived(pack_packet(pack_header(MESH, sender, boot), packed)))

    def is_stale(self, sender: str, boot: int) -> bool:
        member = self.core.member(sender)
        return member is not None and member.boot > boot

    @rule(sender=puppets, boot=low, node=puppets, of=low, incarnation=low, how=st.integers(0, 2))
    def state(self, sender: str, boot: int, node: str, of: int, incarnation: int, how: int) -> None:
        """A statement about a puppet arrives as a rumour, in a push-pull, or as its own request to join."""
        subject = sender if how == 2 else node
        meta = f"{of}/{incarnation}".encode()
        if not self.is_stale(sender, boot):
            held = self.said.get(subject, (-1, -1, b""))
            self.said[subject] = max(held, (of, incarnation, meta))
        blob = pack_statement(Statement(subject, of, incarnation, address(subject), meta))
        message: Message = (Says(blob), Entries((Entry(blob),)), Join(blob))[how]
        self.hear(sender, boot, message)

    @rule(
        sender=puppets,
        node=anybody,
        incarnation=low,
        rank=st.sampled_from(list(Rank)[1:]),
        round_=low,
        accusers=st.sets(puppets, max_size=3),
        gone=st.sets(puppets, max_size=2),
    )
    def accuse(
        self,
        sender: str,
        node: str,
        incarnation: int,
        rank: Rank,
        round_: int,
        accusers: set[str],
        gone: set[str],
    ) -> None:
        standing = Standing(1, incarnation, round_, rank, tuple(sorted(accusers)), tuple(sorted(gone)))
        self.hear(sender, 9, Accuses(node, standing))

    @rule(sender=puppets, answer=st.booleans())
    def answer_pings(self, sender: str, answer: bool) -> None:
        for node, seq in self.asked:
            member = self.core.member(node)
            if node == sender and answer and member is not None:
                self.hear(node, member.boot, Ack(seq, 3, False))
            self.hear(sender, 9, RelayAnswer(seq, seq % 3))
        self.asked.clear()

    @rule(node=puppets, boot=low, kind=st.sampled_from([LinkUp, LinkDown, LinkRefused]))
    def link(self, node: str, boot: int, kind: Any) -> None:
        self.give(kind(node, boot))

    @rule(steps=st.integers(1, 20))
    def wait(self, steps: int) -> None:
        for _ in range(steps):
            due = self.core.next_deadline_ns()
            if due is not None:
                self.now = max(self.now, due)
            self.give(DeadlineReached())

    @rule(late_ms=st.integers(1, 100_000))
    def sleep(self, late_ms: int) -> None:
        self.now += late_ms * MS
        self.give(DeadlineReached())

    @rule(number=low)
    def publish(self, number: int) -> None:
        if not self.left:
            self.meta = bytes([number])
        self.give(MetaChanged(bytes([number])))

    @rule(load=st.integers(0, 255), busy=st.booleans())
    def be_busy(self, load: int, busy: bool) -> None:
        self.give(LoadChanged(load, busy))

    @rule(chance=st.integers(0, 9))
    def leave(self, chance: int) -> None:
        if chance == 0:
            self.left = True
            self.give(LeaveRequested())

    @rule(raw=st.binary(max_size=60))
    def garbage(self, raw: bytes) -> None:
        assert self.core.handle(self.now, PacketReceived(raw)) is not None

    @invariant()
    def versions_never_fall(self) -> None:
        for member in self.core.members():
            version = (member.boot, member.incarnation)
            assert version >= self.versions.get(member.node, version)
            self.versions[member.node] = version

    @invariant()
    def everybody_is_shown_by_its_newest_statement(self) -> None:
        for member in self.core.members():
            if member.node != "me":
                assert member.meta == self.said[member.node][2]
                assert (member.boot, member.incarnation) >= self.said[member.node][:2]

    @invariant()
    def this_node_speaks_for_itself(self) -> None:
        me = self.core.member("me")
        assert me is not None
        assert me.condition in ({Condition.LEFT} if self.left else {Condition.ALIVE, Condition.BUSY})
        assert me.boot == 1
        assert me.meta == self.meta
        assert me.incarnation == self.on_disk

    @invariant()
    def a_deadline_is_never_in_the_far_past(self) -> None:
        due = self.core.next_deadline_ns()
        assert due is None or due >= 0


TestCore = CoreAmongPuppets.TestCase
TestCore.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
