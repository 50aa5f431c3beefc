"""Answers to operators' questions: what this node believes, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from hubless.config import format_address
from hubless.guard import Breakers
from hubless.placement import shard_of_key
from hubless.station import Station
from hubless.view import REPLICAS, Known, View
from hubless.wire import Ask, Told
from hubless_agents import Effect, Failure
from hubless_gossip import Member

_QUESTIONS = (
    "members, ring, breakers, node, shards, tasks, dead_letters, "
    "status, result, cancel, retry, fork, leave or drain"
)
_NS_PER_S = 1_000_000_000


class Inspection:
    """Reads the node's cores and changes nothing.

    Args:
        counters: gives the counters of all cores, by name.
        members: gives the members as gossip knows them at this moment: loads change without being told as news.
    """

    def __init__(
        self,
        *,
        station: Station,
        view: View,
        breakers: Breakers,
        counters: Callable[[], dict[str, object]],
        members: Callable[[], Iterable[Member]],
    ) -> None:
        self._station = station
        self._view = view
        self._breakers = breakers
        self._counters = counters
        self._now = members

    def told(self, now_ns: int, ask: Ask) -> Told:
        """The answer to a question; an unknown one is answered with what can be asked."""
        match ask.what:
            case "members":
                body = self._members(now_ns)
            case "ring":
                body = self._ring_of_key(ask.argument) if ask.argument else self._ring()
            case "breakers":
                body = self._open_breakers(now_ns)
            case "node":
                body = self._node()
            case "leave" | "drain":
                node = self._view.find(ask.argument)
                if node is None:
                    text = f"no single member has the id or name {ask.argument[:80]!r}: see `mesh members`"
                    return self._refused(ask, text)
                body = {"node": node}
            case _:
                return self._refused(ask, f"ask for {_QUESTIONS}")
        return Told(ask.request, msgspec.json.encode(body))

    def _refused(self, ask: Ask, text: str) -> Told:
        failure = Failure(
            code="bad_input", message=text, where=self._station.identity.node, effect=Effect.NONE
        )
        return Told(ask.request, b"", failure)

    def _members(self, now_ns: int) -> dict[str, Any]:
        loads = {member.node: member.load for member in self._now()}
        return {
            "mesh": self._station.identity.mesh.hex(),
            "node": self._station.identity.node,
            "members": [
                _member_row(known, loads.get(known.member.node, 0), now_ns) for known in self._view.known()
            ],
        }

    def _ring(self) -> dict[str, Any]:
        shards = self._station.shards
        return {
            "shards": shards,
            "replicas": REPLICAS,
            "owners": {str(shard): list(self._view.preference(shard)) for shard in range(shards)},
        }

    def _ring_of_key(self, key: str) -> dict[str, Any]:
        shard = shard_of_key(key, self._station.shards)
        return {
            "key": key,
            "shard": shard,
            "preference": list(self._view.preference(shard)),
            "owner": self._view.owner_of_shard(shard),
        }

    def _open_breakers(self, now_ns: int) -> dict[str, Any]:
        pools = self._breakers.pools(now_ns)
        return {
            "breakers": msgspec.to_builtins(self._breakers.snapshot(now_ns)),
            "pools": msgspec.to_builtins(pools),
            "panic": any(pool.panic for pool in pools),
        }

    def _node(self) -> dict[str, Any]:
        identity = self._station.identity
        return {
            "node": identity.node,
            "name": self._station.meta.name,
            "boot": identity.boot,
            "mesh": identity.mesh.hex(),
            "work": format_address(self._station.meta.work),
            "gossip": format_address(identity.address),
            "agents": self._view.offered_by(identity.node),
            "counters": msgspec.to_builtins(self._counters()),
        }


def _member_row(known: Known, load: int, now_ns: int) -> dict[str, Any]:
    member, meta = known.member, known.meta
    return {
        "node": member.node,
        "name": meta.name if meta else "",
        "condition": member.condition.name.lower(),
        "boot": member.boot,
        "incarnation": member.incarnation,
        "gossip": format_address(member.address),
        "work": format_address(meta.work) if meta else "",
        "zone": meta.zone if meta else "",
        "weight": meta.weight if meta else 0,
        "load": load,
        "agents": [
            {"name": offer.name, "version": offer.version, "slots": offer.slots}
            for offer in (meta.offers if meta else ())
        ],
        "since_s": round(max(0, now_ns - member.since_ns) / _NS_PER_S, 3),
    }
