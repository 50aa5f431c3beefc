"""What this node tells the mesh of itself: where it takes work, what it offers, and that it leaves."""

from __future__ import annotations

import msgspec

from hubless.effects import Halt, NodeEffect
from hubless.meta import MetaTooLargeError, offers_of, pack_meta
from hubless.station import Station
from hubless.view import View
from hubless_agents import AgentQuarantined, AgentReleased, Contract
from hubless_gossip import Gossip, MetaChanged


class Description:
    """The node's own `Meta`, as its workers and its departure change it. This node believes what it tells."""

    def __init__(self, station: Station, *, gossip: Gossip, view: View) -> None:
        self._me = station.identity.node
        self._workers = station.workers
        self._meta = msgspec.structs.replace(station.meta, payload_bytes=station.limits.payload_bytes)
        self._aside: set[str] = set()
        self._gossip = gossip
        self._view = view

    def publish(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Tells it as it is.

        Raises:
            MetaTooLargeError: it does not fit into gossip.
        """
        out += self._gossip.handle(now_ns, MetaChanged(pack_meta(self._meta)))
        me = self._gossip.member(self._me)
        if me is not None:
            self._view.learn(me)

    def set_aside(self, notice: AgentQuarantined | AgentReleased) -> None:
        """Keeps in mind what is said beside the next offers, which follow."""
        match notice:
            case AgentQuarantined(agent=agent):
                self._aside.add(agent)
            case AgentReleased(agent=agent):
                self._aside.discard(agent)

    def offer(self, now_ns: int, contracts: tuple[Contract, ...], out: list[NodeEffect]) -> None:
        """The agents that this node runs now; with more of them than can be told it cannot go on."""
        offers = offers_of(contracts, workers=self._workers)
        self._meta = msgspec.structs.replace(self._meta, offers=offers, aside=tuple(sorted(self._aside)))
        try:
            self.publish(now_ns, out)
        except MetaTooLargeError as problem:
            out.append(Halt(str(problem)))

    def leave(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Nothing more is offered here, and nothing more to be kept."""
        self._meta = msgspec.structs.replace(self._meta, weight=0, offers=(), aside=())
        self.publish(now_ns, out)
