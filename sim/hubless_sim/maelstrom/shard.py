"""Linearizable keys: one shard of the project's replicas, on up to five of the cluster's nodes.

Any node takes requests and passes them on to the shard's owner, which answers through it. What Maelstrom's nodes keep
is in memory: it does not restart them.
"""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from hubless.effects import NodeEffect, ToPeer
from hubless.shard import configs
from hubless.shard.events import Commit, Committed, Disowned, ReadReady, Restored
from hubless.shard.records import Recovered
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.wire import FrameError, Limits, Outbox, decode
from hubless.wire.replication import Config, Entry, ShardMessage
from hubless_gossip import Condition
from hubless_sim.maelstrom.members import MESH
from hubless_sim.maelstrom.protocol import Body, Envelope, Error
from hubless_sim.maelstrom.store import ABSENT, Change, Order, Store, Swap, to_body, to_entry

_SHARD = 0
_PAYLOAD = 1  # kind of the entries that are the machine's own
_MOST_REPLICAS = 5
_MOST_WAITING = 10_000
_LIMITS = Limits()
_ELSEWHERE: Body = {
    "type": "error",
    "code": int(Error.TEMPORARILY_UNAVAILABLE),
    "text": "no owner of the keys is known here",
}
_DOUBT: Body = {
    "type": "error",
    "code": int(Error.TIMEOUT),
    "text": "the keys have another owner now; it may have been done",
}


class Shard:
    """One node's part in keeping the keys."""

    def __init__(self, me: str, nodes: Sequence[str], *, boot: int, rng: random.Random, now_ns: int) -> None:
        self._me = me
        count = min(len(nodes), _MOST_REPLICAS)
        self._target = tuple(nodes[: count - (count > 2 and count % 2 == 0)])
        self._spares = tuple(nodes[len(self._target) :])
        founding = Entry(1, 1, configs.CONFIG, configs.encode(Config(self._target)))
        begun = Recovered(
            shard=_SHARD, term=1, entries=(founding,)
        )  # all begin alike, so that none is needed
        self._replicas = Replicas(
            me,
            1,
            settings=ReplicasSettings.local(),
            rng=rng,
            now_ns=now_ns,
            recovered=(begun,) if me in self._target else (),
        )
        self._outbox: Outbox[str] = Outbox(mesh=MESH, sender=me, boot=boot, limits=_LIMITS)
        self._store = Store()
        self._ticket = 0
        self._requests: dict[int, Envelope] = {}
        """What clients wait for here."""
        self._writes: set[tuple[str, int]] = set()
        self._reads: dict[int, tuple[str, int, Any]] = {}
        """What this node decides as the owner: (who asked, its ticket, the key)."""
        self._out: list[Envelope] = []
        self._effects: list[NodeEffect] = []
        self._replicas.start(now_ns, self._effects)

    def request(self, now_ns: int, envelope: Envelope) -> None:
        """A client's "read", "write" or "cas"."""
        self._ticket += 1
        self._requests[self._ticket] = envelope
        if len(self._requests) > _MOST_WAITING:
            del self._requests[next(iter(self._requests))]  # its client has long stopped waiting
        known = self._replicas.owner(_SHARD)
        if known is None:
            self._tell(self._me, self._ticket, _ELSEWHERE)
        elif known[0] == self._me:
            self._decide(now_ns, self._me, self._ticket, envelope.body)
        else:
            ask = {"type": "ask", "ticket": self._ticket, "request": envelope.body}
            self._out.append(Envelope(self._me, known[0], ask))

    def receive(self, now_ns: int, sender: str, body: Body) -> None:
        """What other nodes say; what makes no sense is dropped."""
        match body:
            case {"type": "raft", "head": str(head), "frame": str(frame)}:
                self._frame(now_ns, head, frame)
            case {
                "type": "ask",
                "ticket": int(ticket),
                "request": {"type": "read" | "write" | "cas", "key": _} as request,
            }:
                self._decide(now_ns, sender, ticket, request)
            case {"type": "told", "ticket": int(ticket), "answer": dict(answer)}:
                self._tell(self._me, ticket, answer)
            case _:
                pass

    def conditions_changed(self, now_ns: int, conditions: Mapping[str, Condition]) -> None:
        """Membership's opinion."""
        held: dict[str, set[str]] = {"well": set(), "doubtful": set(), "gone": set()}
        for node, condition in conditions.items():
            match condition:
                case Condition.ALIVE:
                    held["well"].add(node)
                case Condition.DEAD | Condition.LEFT:
                    held["gone"].add(node)
                case _:
                    held["doubtful"].add(node)
        self._replicas.conditions_changed(
            now_ns,
            well=frozenset(held["well"]),
            doubtful=frozenset(held["doubtful"]),
            gone=frozenset(held["gone"]),
            preferences=lambda _shard: self._target,
            spares=lambda _shard: self._spares,
        )

    def tick(self, now_ns: int) -> None:
        """Does what is due."""
        self._replicas.tick(now_ns, self._effects)

    def next_deadline_ns(self) -> int | None:
        return self._replicas.next_deadline_ns()

    def end_tick(self, now_ns: int) -> list[Envelope]:
        """What all that has led to; nothing waits for a disk."""
        self._perform(now_ns)
        for shard in self._replicas.wants_compaction():
            self._replicas.compact(shard, self._store.to_bytes())
        self._replicas.tick_ended(now_ns, self._effects)
        self._perform(now_ns)
        for node, (head, frame) in self._outbox.frames():
            body = {"type": "raft", "head": b64encode(head).decode(), "frame": b64encode(frame).decode()}
            self._out.append(Envelope(self._me, node, body))
        out, self._out = self._out, []
        return out

    # -- inside -----------------------------------------------------------------------------------------

    def _frame(self, now_ns: int, head: str, frame: str) -> None:
        try:
            parts = [b64decode(head, validate=True), b64decode(frame, validate=True)]
            envelope = decode(parts, _LIMITS)
        except (ValueError, FrameError):
            return
        for message in envelope.messages:
            if isinstance(message, ShardMessage):
                self._replicas.receive(now_ns, envelope.sender, message, self._effects)

    def _decide(self, now_ns: int, node: str, ticket: int, request: Body) -> None:
        if request.get("type") == "read":
            self._ticket += 1
            self._reads[self._ticket] = (node, ticket, request["key"])
            self._replicas.read(now_ns, _SHARD, self._ticket, self._effects)
            return
        entry = _entry(node, ticket, request)
        if self._replicas.propose(now_ns, _SHARD, to_body(entry)):
            self._writes.add((node, ticket))
        else:
            self._tell(node, ticket, _ELSEWHERE)

    def _perform(self, now_ns: int) -> None:
        while self._effects:
            effects, self._effects = self._effects, []
            for effect in effects:
                match effect:
                    case ToPeer(node=node, message=message):
                        self._outbox.add(node, message)
                    case Commit(mark=mark):
                        self._replicas.flushed(now_ns, mark, self._effects)
                    case Committed(entries=entries):
                        for entry in entries:
                            if entry.kind == _PAYLOAD:
                                self._apply(to_entry(entry.body))
                    case Restored(state=state):
                        self._store = Store(state)
                    case Disowned():
                        for node, ticket in sorted(self._writes):
                            self._tell(node, ticket, _DOUBT)
                        self._writes.clear()
                    case ReadReady(ticket=read, is_owner=is_owner):
                        self._read(read, is_owner=is_owner)
                    case _:
                        pass  # Owning and Forgotten change nothing here

    def _apply(self, entry: Order) -> None:
        error = self._store.apply(entry)
        asked = (entry.node, entry.ticket)
        if asked not in self._writes:
            return
        self._writes.remove(asked)
        kind = "cas" if isinstance(entry, Swap) else "write"
        self._tell(*asked, {"type": f"{kind}_ok"} if error is None else _refused(error, entry.key))

    def _read(self, read: int, *, is_owner: bool) -> None:
        node, ticket, key = self._reads.pop(read)
        value = self._store.read(key)
        if not is_owner:
            answer = _ELSEWHERE
        elif value is ABSENT:
            answer = _refused(Error.KEY_DOES_NOT_EXIST, key)
        else:
            answer = {"type": "read_ok", "value": value}
        self._tell(node, ticket, answer)

    def _tell(self, node: str, ticket: int, answer: Body) -> None:
        if node != self._me:
            told = {"type": "told", "ticket": ticket, "answer": answer}
            self._out.append(Envelope(self._me, node, told))
            return
        request = self._requests.pop(ticket, None)
        if request is not None:
            self._out.append(request.reply(answer))


def _entry(node: str, ticket: int, request: Body) -> Order:
    if request.get("type") == "cas":
        return Swap(node, ticket, request["key"], request.get("from"), request.get("to"))
    return Change(node, ticket, request["key"], request.get("value"))


def _refused(error: Error, key: object) -> Body:
    text = "no such key" if error is Error.KEY_DOES_NOT_EXIST else "it has another value"
    return {"type": "error", "code": int(error), "text": f"{key!r}: {text}"}
