"""The clients of one node: who is welcome yet, who is sent elsewhere, and what they are told of the node."""

from __future__ import annotations

from hubless.config import format_address
from hubless.departure import Departure
from hubless.effects import NodeEffect, ToClient
from hubless.keeping import Keeping
from hubless.placement import is_task_id
from hubless.station import Station
from hubless.view import View
from hubless.wire import Durability, Hello, Refused, Submit, Welcome
from hubless_gossip.marks import sometimes

_MOST_EARLY = 1_000
_MOST_GUIDED = 4_096
_GUIDE_EVERY_NS = 200_000_000


class Clientele:
    """Until a node serves it knows neither the members nor what they offer, and would refuse work that the mesh can do.

    Args:
        keeping: knows which shards this node owns.
        departure: while it has begun, clients are sent elsewhere.
    """

    def __init__(self, station: Station, *, view: View, keeping: Keeping, departure: Departure) -> None:
        self._station = station
        self._view = view
        self._keeping = keeping
        self._departure = departure
        self._is_serving = False
        self._early: list[tuple[bytes, Hello]] = []
        self._guided_ns: dict[bytes, int] = {}

    def hello(self, route: bytes, hello: Hello, out: list[NodeEffect]) -> None:
        """Welcomes a client, at once or when the node serves."""
        if hello.role == "client" and not self._is_serving and len(self._early) < _MOST_EARLY:
            self._early.append((route, hello))
        else:
            out.append(ToClient(route, self._welcome(hello.request)))

    def serve(self, out: list[NodeEffect]) -> None:
        """The node is in the mesh: clients that came earlier are welcome now."""
        self._is_serving = True
        out += (ToClient(route, self._welcome(hello.request)) for route, hello in self._early)
        self._early.clear()

    def refusal(self, submit: Submit) -> Refused | None:
        """Why another node should be asked, or None. A node that is alone yet does not know what others offer."""
        if self._departure.has_begun:
            sometimes("a leaving node sent a client elsewhere")
            return Refused("leaving", "this node is leaving: ask another one", submit.task)
        if not self._is_serving and not self._view.is_offered(submit.agent):
            sometimes("a node that had not found its mesh sent a client elsewhere")
            return Refused("starting", "this node has not found its mesh yet: ask another one", submit.task)
        return None

    def guide(self, now_ns: int, route: bytes, submit: Submit, out: list[NodeEffect]) -> None:
        """Tells a client which shards this node owns by now, if it has put a task of its own choice into another."""
        is_chosen = not submit.key and not submit.again and submit.durability is not Durability.NONE
        if not is_chosen or not is_task_id(submit.task, self._station.shards):
            return
        if self._keeping.owns(submit.task) or not self._keeping.owns_any:
            return
        if now_ns >= self._guided_ns.get(route, 0) + _GUIDE_EVERY_NS:
            if len(self._guided_ns) >= _MOST_GUIDED:
                self._guided_ns.clear()
            self._guided_ns[route] = now_ns
            out.append(ToClient(route, self._welcome(0)))

    def _welcome(self, request: int) -> Welcome:
        identity = self._station.identity
        return Welcome(
            request=request,
            mesh=identity.mesh,
            node=identity.node,
            boot=identity.boot,
            gossip=format_address(identity.address),
            shards=self._station.shards,
            peers=tuple(format_address(address) for address in self._view.work_addresses()),
            owned=self._keeping.owned,
            payload_bytes=self._station.limits.payload_bytes,
            reachable=self._view.reachable(),
        )
