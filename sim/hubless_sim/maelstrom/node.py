"""A node as Maelstrom wants it: the core behind stdin and stdout.

    answers = node.handle(now_ns, message)        # None for a deadline

One message is one tick. Each workload has the part that it needs: nothing (echo), a counter (unique-ids), lists that
grow (broadcast, g-set, pn-counter), a shard (lin-kv).
"""

from __future__ import annotations

import random
from typing import Literal, get_args

from hubless.deadlines import earliest
from hubless_gossip import Condition
from hubless_sim.maelstrom.additions import Additions
from hubless_sim.maelstrom.members import Members
from hubless_sim.maelstrom.protocol import Body, Envelope, Error
from hubless_sim.maelstrom.shard import Shard

Workload = Literal["echo", "unique-ids", "broadcast", "g-set", "pn-counter", "lin-kv"]
WORKLOADS: tuple[str, ...] = get_args(Workload)

_OF_NODES = frozenset({"gossip", "additions", "digest", "raft", "ask", "told"})


class Node:
    """One node.

    Args:
        boot: the number of this process, higher than that of any earlier one; ids are made of it.
        rng: the chance of everything in it.
    """

    def __init__(self, workload: Workload, *, boot: int, rng: random.Random) -> None:
        if workload not in WORKLOADS:
            raise ValueError(f"workload {workload!r} is unknown; there are {', '.join(WORKLOADS)}")
        self._workload = workload
        self._boot = boot
        self._rng = rng
        self._me = ""
        self._ids = 0
        self._members: Members | None = None
        self._conditions: dict[str, Condition] = {}
        self._additions: Additions | None = None
        self._shard: Shard | None = None

    def handle(self, now_ns: int, message: Envelope | None) -> list[Envelope]:
        """Applies one message, and does what is due."""
        out: list[Envelope] = []
        if message is not None:
            self._receive(now_ns, message, out)
        if self._members is not None:
            out += self._members.tick(now_ns)
            conditions = self._members.conditions()
            if self._additions is not None:
                out += self._additions.tick(
                    now_ns, (node for node, each in conditions.items() if each is Condition.ALIVE)
                )
            if self._shard is not None:
                if conditions != self._conditions:
                    self._conditions = conditions
                    self._shard.conditions_changed(now_ns, conditions)
                self._shard.tick(now_ns)
                out += self._shard.end_tick(now_ns)
        return out

    def next_deadline_ns(self) -> int | None:
        """When it wants to be called without a message."""
        parts = (self._members, self._additions, self._shard)
        return earliest(*(part.next_deadline_ns() for part in parts if part is not None))

    def _receive(self, now_ns: int, message: Envelope, out: list[Envelope]) -> None:
        kind = message.body["type"]
        if kind == "init":
            self._init(now_ns, message, out)
        elif not self._me:
            out.append(message.refusal(Error.TEMPORARILY_UNAVAILABLE, "not initialised yet"))
        elif kind in _OF_NODES:
            self._from_node(now_ns, message.src, message.body, out)
        elif kind == "echo":
            out.append(message.reply({"type": "echo_ok", "echo": message.body.get("echo")}))
        elif kind == "generate":
            self._ids += 1
            out.append(message.reply({"type": "generate_ok", "id": f"{self._me}-{self._boot}-{self._ids}"}))
        elif kind == "topology":
            out.append(message.reply({"type": "topology_ok"}))  # all know all
        elif self._additions is not None and kind in ("broadcast", "add", "read"):
            self._add_or_read(message, self._additions, out)
        elif self._shard is not None and kind in ("read", "write", "cas"):
            self._ask(now_ns, message, self._shard, out)
        elif "in_reply_to" not in message.body:
            text = f"{kind} is not part of the workload {self._workload}"
            out.append(message.refusal(Error.NOT_SUPPORTED, text))

    def _init(self, now_ns: int, message: Envelope, out: list[Envelope]) -> None:
        match message.body:
            case {"node_id": str(me), "node_ids": [str(), *_] as nodes} if me in nodes and not self._me:
                self._me = me
            case _:
                out.append(message.refusal(Error.MALFORMED_REQUEST, "init is wrong, or comes twice"))
                return
        out.append(message.reply({"type": "init_ok"}))
        if self._workload in ("echo", "unique-ids"):
            return
        rng, boot = self._rng, self._boot
        chance = [
            random.Random(f"{rng.getrandbits(64)}:{part}") for part in ("members", "additions", "shard")
        ]
        self._members = Members(me, nodes, boot=boot, rng=chance[0], now_ns=now_ns)
        out += self._members.start(now_ns)
        if self._workload == "lin-kv":
            self._shard = Shard(me, nodes, boot=boot, rng=chance[2], now_ns=now_ns)
        else:
            self._additions = Additions(me, nodes, rng=chance[1], now_ns=now_ns)

    def _from_node(self, now_ns: int, sender: str, body: Body, out: list[Envelope]) -> None:
        if body["type"] == "gossip":
            if self._members is not None:
                out += self._members.receive(now_ns, body)
        elif self._additions is not None:
            out += self._additions.receive(sender, body)
        elif self._shard is not None:
            self._shard.receive(now_ns, sender, body)

    def _add_or_read(self, message: Envelope, additions: Additions, out: list[Envelope]) -> None:
        field = {"broadcast": "message", "g-set": "element", "pn-counter": "delta"}[self._workload]
        body, is_counter = message.body, self._workload == "pn-counter"
        if body["type"] == "read":
            values = additions.values()
            name = "messages" if self._workload == "broadcast" else "value"
            out.append(message.reply({"type": "read_ok", name: sum(values) if is_counter else values}))
        elif field not in body or (is_counter and not isinstance(body[field], int)):
            out.append(message.refusal(Error.MALFORMED_REQUEST, f"{body['type']} has no usable {field!r}"))
        else:
            out += additions.add(body[field])
            out.append(message.reply({"type": f"{body['type']}_ok"}))

    def _ask(self, now_ns: int, message: Envelope, shard: Shard, out: list[Envelope]) -> None:
        if "key" in message.body:
            shard.request(now_ns, message)
        else:
            out.append(message.refusal(Error.MALFORMED_REQUEST, f"{message.body['type']} has no 'key'"))
