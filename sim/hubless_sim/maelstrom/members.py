"""Which of the cluster's nodes are there: the membership core, its packets in Maelstrom's messages."""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from collections.abc import Sequence

from hubless_gossip import (
    Address,
    Condition,
    DeadlineReached,
    Event,
    Gossip,
    GossipConfig,
    Identity,
    JoinRequested,
    PacketReceived,
    SendPacket,
)
from hubless_sim.maelstrom.protocol import Body, Envelope

MESH = b"malstrom"
_PORT = 1
"""Nobody listens there: an address is a node's name."""


class Members:
    """One node's picture of the others."""

    def __init__(self, me: str, nodes: Sequence[str], *, boot: int, rng: random.Random, now_ns: int) -> None:
        self._me = me
        self._others = tuple(node for node in nodes if node != me)
        identity = Identity(mesh=MESH, node=me, boot=boot, address=Address(me, _PORT))
        self._gossip = Gossip(identity, config=GossipConfig.lan(), rng=rng, now_ns=now_ns)

    def start(self, now_ns: int) -> list[Envelope]:
        """Joins the others."""
        addresses = tuple(Address(node, _PORT) for node in self._others)
        return self._handled(now_ns, JoinRequested(addresses)) if addresses else []

    def receive(self, now_ns: int, body: Body) -> list[Envelope]:
        """A packet of another node; what is none is dropped."""
        try:
            packet = b64decode(body["packet"], validate=True)
        except (KeyError, TypeError, ValueError):
            return []
        return self._handled(now_ns, PacketReceived(packet))

    def tick(self, now_ns: int) -> list[Envelope]:
        """Does what is due."""
        due_ns = self._gossip.next_deadline_ns()
        return self._handled(now_ns, DeadlineReached()) if due_ns is not None and due_ns <= now_ns else []

    def next_deadline_ns(self) -> int | None:
        return self._gossip.next_deadline_ns()

    def conditions(self) -> dict[str, Condition]:
        """Every node of the cluster; one that was never heard of is doubtful."""
        known = {member.node: member.condition for member in self._gossip.members()}
        nodes = (self._me, *self._others)
        return {node: known.get(node, Condition.SUSPECT) for node in nodes}

    def _handled(self, now_ns: int, event: Event) -> list[Envelope]:
        return [
            Envelope(
                self._me, effect.to.host, {"type": "gossip", "packet": b64encode(effect.packet).decode()}
            )
            for effect in self._gossip.handle(now_ns, event)
            if isinstance(effect, SendPacket)
        ]
