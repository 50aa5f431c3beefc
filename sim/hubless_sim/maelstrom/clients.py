"""Clients of a trial: they ask nodes what a workload asks, one request at a time, and note what came of it."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from hubless_sim.maelstrom.node import Node, Workload
from hubless_sim.maelstrom.protocol import Body, Envelope, Error, read, write
from hubless_sim.world.hosts import Birth, Command, Delivered, HostEffect, HostEvent, Note, Send

_MS = 1_000_000
_PATIENCE_NS = 300 * _MS
_PAUSE_NS = 40 * _MS
_AGAIN_NS = 100 * _MS
_KEYS = 4
_READS = 0.2


class Timing(msgspec.Struct, frozen=True):
    """When clients begin, when they stop and wait for the last reads, and when these are; in ms."""

    from_ms: int = 1_500
    until_ms: int = 10_000
    final_ms: int = 14_000


class Done(msgspec.Struct, frozen=True):
    """A request that has ended.  ``answer`` None: nobody knows whether it was done."""

    client: int
    node: int
    call_ns: int
    return_ns: int | None
    request: Body
    answer: Body | None
    is_final: bool


def name_of(index: int, nodes: int) -> str:
    """What Maelstrom calls the process with this number."""
    return f"n{index}" if index < nodes else f"c{index - nodes}"


def _index_of(name: str, nodes: int) -> int:
    return int(name[1:]) + (nodes if name.startswith("c") else 0)


class NodeHost:
    """A node in the simulator: packets are lines."""

    def __init__(self, birth: Birth, workload: Workload, *, nodes: int) -> None:
        self._nodes = nodes
        self._node = Node(workload, boot=birth.boot, rng=random.Random(birth.seed))

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """One message, or a deadline."""
        message = None
        match event:
            case Delivered(packet=packet):
                message = read(packet)
            case Command(order=order):
                message = order
            case _:
                pass
        answers = self._node.handle(now_ns, message)
        return [Send(_index_of(each.dest, self._nodes), write(each)) for each in answers]

    def next_deadline_ns(self) -> int | None:
        return self._node.next_deadline_ns()


class ClientHost:
    """One client.  At the end it asks a node for what there is to read, until it is told."""

    def __init__(
        self, birth: Birth, workload: Workload, *, nodes: int, final: list[int], timing: Timing
    ) -> None:
        self._me = birth.node
        self._workload = workload
        self._nodes = nodes
        self._timing = timing
        self._rng = random.Random(birth.seed)
        self._final = final
        self._number = 0
        self._waiting: tuple[int, int, Body, bool] | None = None
        """When and whom it asked for what, and whether that is for the end."""
        self._due_ns: int | None = timing.from_ms * _MS + self._rng.randrange(_PAUSE_NS)

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """An answer, or a deadline."""
        out: list[HostEffect] = []
        if isinstance(event, Delivered):
            answer = read(event.packet).body
            if self._waiting is not None and answer.get("in_reply_to") == self._number:
                self._ended(now_ns, answer, out)
        elif self._due_ns is not None and now_ns >= self._due_ns:
            if self._waiting is None:
                self._ask(now_ns, out)
            else:
                self._ended(now_ns, None, out)
        return out

    def next_deadline_ns(self) -> int | None:
        return self._due_ns

    def _ask(self, now_ns: int, out: list[HostEffect]) -> None:
        is_final = now_ns >= self._timing.until_ms * _MS
        if not is_final:
            node, request = self._rng.randrange(self._nodes), self._drawn()
        elif now_ns < self._timing.final_ms * _MS:
            self._due_ns = self._timing.final_ms * _MS
            return
        elif self._final and self._workload not in ("echo", "unique-ids"):
            node, request = self._final[0], _last_read(self._workload, len(self._final))
        else:
            self._due_ns = None
            return
        self._number += 1
        self._waiting = (now_ns, node, request, is_final)
        self._due_ns = now_ns + _PATIENCE_NS
        me, to = name_of(self._me, self._nodes), name_of(node, self._nodes)
        out.append(Send(node, write(Envelope(me, to, request | {"msg_id": self._number}))))

    def _ended(self, now_ns: int, answer: Body | None, out: list[HostEffect]) -> None:
        if self._waiting is None:
            return
        call_ns, node, request, is_final = self._waiting
        self._waiting = None
        if answer is not None and answer["type"] == "error" and not Error(answer["code"]).is_definite:
            answer = None
        is_answered = answer is not None and answer.get("code") != Error.TEMPORARILY_UNAVAILABLE
        if is_final and is_answered:
            self._final.pop(0)
        out.append(
            Note(Done(self._me, node, call_ns, None if answer is None else now_ns, request, answer, is_final))
        )
        self._due_ns = now_ns + (_AGAIN_NS if is_final else self._rng.randrange(_PAUSE_NS))

    def _drawn(self) -> Body:
        rng, unique = self._rng, self._me * 1_000_000 + self._number
        if self._workload == "lin-kv":
            return self._drawn_of_keys(unique)
        is_read = rng.random() < _READS and self._workload not in ("echo", "unique-ids")
        changes: dict[Workload, Body] = {
            "echo": {"type": "echo", "echo": f"echo {unique}"},
            "unique-ids": {"type": "generate"},
            "broadcast": {"type": "broadcast", "message": unique},
            "g-set": {"type": "add", "element": unique},
            "pn-counter": {"type": "add", "delta": rng.randrange(-5, 6)},
        }
        return {"type": "read"} if is_read else changes[self._workload]

    def _drawn_of_keys(self, unique: int) -> Body:
        rng = self._rng
        body: dict[str, Any] = {"key": rng.randrange(_KEYS)}
        match rng.choice(["read", "write", "cas"]):
            case "read":
                return body | {"type": "read"}
            case "write":
                return body | {"type": "write", "value": unique % 5}
            case _:
                return body | {"type": "cas", "from": rng.randrange(5), "to": unique % 5}


def _last_read(workload: Workload, left: int) -> Body:
    return {"type": "read", "key": left % _KEYS} if workload == "lin-kv" else {"type": "read"}
