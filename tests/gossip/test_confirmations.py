"""Who confirms a suspicion, seen from outside: by when a silent member is held dead (Lifeguard section IV-B)."""

from __future__ import annotations

import heapq
import math
import random
from typing import Any

import pytest

from hubless_gossip import (
    Address,
    Condition,
    DeadlineReached,
    Gossip,
    GossipConfig,
    Identity,
    MemberChanged,
    PacketReceived,
    SendPacket,
    Tell,
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
from hubless_gossip.messages import (
    Accuses,
    Ack,
    Entries,
    Entry,
    IndirectPing,
    Message,
    Ping,
    RelayAnswer,
    Says,
)

MESH = b"testmesh"
MS = 1_000_000
SILENT = "x"
OTHERS = tuple("abcdefgh")
LEAST_S, MOST_S = 1.25, 6.25
"""The bounds of a suspicion's timeout among ten, in the preset `local`."""
ONE_CONFIRMS_S = MOST_S - (MOST_S - LEAST_S) * math.log(2) / math.log(4)
TWO_CONFIRM_S = MOST_S - (MOST_S - LEAST_S) * math.log(3) / math.log(4)


def statement(node: str, incarnation: int = 1) -> bytes:
    return pack_statement(Statement(node, 1, incarnation, Address(node, 7000), b""))


def suspected(*accusers: str) -> Standing:
    return Standing(1, 1, 0, Rank.SUSPECT, accusers)


class Puppets:
    """One core among nine members that say what they are told to: all but one answer, and that one is silent."""

    def __init__(self) -> None:
        self.now = 0
        self.accused_ns: list[int] = []
        """When an accusation of the silent member left for somebody else."""
        self.suspected_ns: int | None = None
        self.died_ns: int | None = None
        self._answers: list[tuple[int, int, bytes]] = []
        self.core = Gossip(
            Identity(MESH, "me", 1, Address("me", 7000)),
            config=GossipConfig.local(),
            rng=random.Random(1),
            now_ns=0,
        )
        self.hear(Entries(tuple(Entry(statement(node)) for node in (*OTHERS, SILENT))))

    def hear(self, message: Message, sender: str = "h") -> None:
        self._give(PacketReceived(self._packet(sender, message)))

    def merge(self, *accusers: str) -> None:
        """The suspicion and its accusers come in a push-pull."""
        self.hear(Entries((Entry(statement(SILENT), suspected(*accusers)),)))

    def rumour(self, *accusers: str) -> None:
        self.hear(Accuses(SILENT, suspected(*accusers)))

    def seconds_to_death(self, within_s: float = 60) -> float:
        """How long after now the silent member is held dead."""
        start = self.now
        while self.died_ns is None:
            self.step()
            assert self.now - start < within_s * 1000 * MS, "lives for ever"
        return (self.died_ns - start) / (1000 * MS)

    def step(self) -> None:
        """Whatever comes next, an answer or a deadline."""
        due = self.core.next_deadline_ns()
        assert due is not None
        if self._answers and self._answers[0][0] < due:
            self.now, _, packet = heapq.heappop(self._answers)
            self._give(PacketReceived(packet))
        else:
            self.now = max(self.now, due)
            self._give(DeadlineReached())

    @staticmethod
    def _packet(sender: str, message: Message) -> bytes:
        return pack_packet(pack_header(MESH, sender, 1), [pack_message(message)])

    def _give(self, event: Any) -> None:
        for effect in self.core.handle(self.now, event):
            match effect:
                case SendPacket(to, packet) if to.host != SILENT:
                    self._answer(to.host, packet)
                case Tell(MemberChanged(member)) if member.node == SILENT:
                    if member.condition is Condition.DEAD:
                        self.died_ns = self.now
                    elif member.condition is Condition.SUSPECT:
                        self.suspected_ns = self.now

    def _answer(self, node: str, packet: bytes) -> None:
        envelope = unpack_packet(packet, MESH)
        assert isinstance(envelope, Envelope)
        for message in envelope.messages:
            match message:
                case Ping(seq):
                    answer: Message = Ack(seq, 0, False)
                case IndirectPing(seq):
                    answer = RelayAnswer(seq, 0)
                case Accuses(accused) if accused == SILENT:
                    self.accused_ns.append(self.now)
                    continue
                case _:
                    continue
            count = len(self._answers)
            heapq.heappush(self._answers, (self.now + MS, count, self._packet(node, answer)))


def test_accusers_of_push_pulls_stay_without_weight_when_a_rumour_comes() -> None:
    """The first rumour after a merge once had all count that had been merged before it. b and this node confirm."""
    mesh = Puppets()
    mesh.rumour("c")
    mesh.merge("c", "d", "e")
    mesh.rumour("b")
    assert mesh.seconds_to_death() == pytest.approx(TWO_CONFIRM_S)


def test_accusers_whose_rumours_come_after_a_push_pull_confirm() -> None:
    """A rumour that brings no news to the view is one all the same."""
    mesh = Puppets()
    mesh.merge("a", "b", "c", "d")
    for accuser in "abcd":
        mesh.rumour(accuser)
    assert LEAST_S <= mesh.seconds_to_death() < ONE_CONFIRMS_S


def test_a_rumour_confirms_however_many_accusers_are_kept() -> None:
    """Of more accusers than are kept those with the smallest names stay: others are heard no less."""
    mesh = Puppets()
    mesh.merge("a", "b", "c", "d")
    for accuser in "efgh":
        mesh.rumour(accuser)
    assert LEAST_S <= mesh.seconds_to_death() < ONE_CONFIRMS_S


def test_who_learns_all_by_push_pull_is_not_left_waiting() -> None:
    """Merged accusers shorten nothing, not even with this node's own failed probe, which the death needs anyway."""
    mesh = Puppets()
    mesh.merge("a", "b")
    assert ONE_CONFIRMS_S <= mesh.seconds_to_death() < MOST_S


def test_who_merges_a_single_accuser_is_the_second_one() -> None:
    mesh = Puppets()
    mesh.merge("a")
    assert ONE_CONFIRMS_S <= mesh.seconds_to_death() < MOST_S


def test_a_refutation_that_arrives_right_behind_the_second_accusation_is_heard() -> None:
    """To a node that got no messages for a while they come all at once: the accusation, which made its timer end in
    the past, had the member held dead before the refutation was read (seed 20092 of the gossip sweep)."""
    mesh = Puppets()
    while mesh.suspected_ns is None or mesh.now < mesh.suspected_ns + 5000 * MS:
        mesh.step()
    mesh.rumour("a", "me")
    mesh.hear(Says(statement(SILENT, incarnation=2)))
    assert mesh.died_ns is None


def test_who_lacks_another_accuser_says_again_whom_it_accuses() -> None:
    """Four nodes had accused the same member, each by itself, as their rumours were lost; to a push-pull their views
    are equal, so none ever heard of another accuser (seed 21140 of the gossip sweep)."""
    mesh = Puppets()
    while mesh.suspected_ns is None or mesh.now < mesh.suspected_ns + 3 * MOST_S * 1000 * MS:
        mesh.step()
    late = [when for when in mesh.accused_ns if when > mesh.suspected_ns + MOST_S * 1000 * MS]
    assert late
    assert mesh.died_ns is None
