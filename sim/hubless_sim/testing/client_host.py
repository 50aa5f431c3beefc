"""A client process of the simulated mesh: the core of the client library, with the world in place of its sockets.

Orders come from the test; what becomes of them is noted. What it sends and receives is noted besides, as it is on the
wire, for the checkers.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from hubless.client.call import Call
from hubless.client.gateways import Dial, LinkEffect, Trouble, TroubleKind
from hubless.client.reply import Reply
from hubless.client.session import Session
from hubless.wire import (
    Accepted,
    Answer,
    Durability,
    FrameError,
    Hello,
    Limits,
    Submit,
    Told,
    decode,
    encode,
)
from hubless_sim.addresses import FIRST_WORK_PORT, work_address_of
from hubless_sim.mesh.notes import Answered, Handed, Receipt
from hubless_sim.packets import WORK, to_frame, to_packet
from hubless_sim.sealed import seal, unseal
from hubless_sim.world.hosts import (
    Birth,
    Command,
    Delivered,
    Due,
    HostEffect,
    HostEvent,
    LinkDown,
    LinkRefused,
    LinkUp,
    Note,
    Send,
    Watch,
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An order: submit a task. ``is_kept``: the checkers hear of it."""

    number: int
    agent: str
    payload: bytes
    key: str = ""
    idempotency_key: str = ""
    timeout_ms: int | None = None
    deadline_ms: int | None = None
    durability: Durability = Durability.OF_AGENT
    waits_for_quorum: bool = True
    wants_receipt: bool = False
    is_kept: bool = True


class Enquire(msgspec.Struct, frozen=True):
    """An order: ask a node, or any (""), what an operator would."""

    number: int
    what: str
    argument: str
    address: str = ""


class Taken(msgspec.Struct, frozen=True):
    """A note: the receipt of a task is there."""

    number: int
    task: bytes


class Settled(msgspec.Struct, frozen=True):
    """A note: how a submission ended."""

    number: int
    reply: Reply


class Replied(msgspec.Struct, frozen=True):
    """A note: what was told, or why nothing was."""

    number: int
    told: Told | None
    trouble: str = ""


def address_of(node: int) -> str:
    """The work address of a node, as clients write it."""
    address = work_address_of(node)
    return f"{address.host}:{address.port}"


def _node_at(address: str) -> int:
    return int(address.rpartition(":")[2]) - FIRST_WORK_PORT


class ClientHost:
    """One client, connected to ``gateways`` of the ``nodes``."""

    def __init__(self, birth: Birth, *, gateways: tuple[int, ...], nodes: int) -> None:
        self.session = Session(
            [address_of(node) for node in gateways],
            entropy=random.Random(f"{birth.seed}:client").randbytes,
            now_ns=birth.now_ns,
        )
        self._nodes = nodes
        self._links: set[int] = set()
        self._greeted: set[int] = set()
        self._calls: dict[int, Call] = {}
        self._kept: dict[bytes, int] = {}
        self._unkept: set[int] = set()
        self._out: list[HostEffect] = []
        self._is_started = False

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """Hand the event to the core; what it then wants to say leaves in one frame for each node."""
        self._out = []
        session = self.session
        if not self._is_started:
            self._is_started = True
            self._out.append(Watch(tuple(range(self._nodes))))
            self._perform(session.start(now_ns))
        match event:
            case Delivered(packet=packet, source=source):
                self._frame(now_ns, source, packet)
            case Due():
                self._perform(session.due(now_ns))
            case LinkUp(peer=peer):
                self._links.add(peer)
                self._greet_waiting(peer)
            case LinkDown(peer=peer) | LinkRefused(peer=peer):
                self._links.discard(peer)
                self._lost(now_ns, peer)
            case Command(order=Place() as order):
                self._place(now_ns, order)
            case Command(order=Enquire() as order):
                self._enquire(order)
            case _:
                pass
        for address, frame in session.frames():
            self._witness_submits(frame)
            self._send(_node_at(address), frame)
        return self._out

    def next_deadline_ns(self) -> int | None:
        """The core's own."""
        return self.session.next_deadline_ns() if self._is_started else None

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not len(self.session.calls)

    # Orders

    def _place(self, now_ns: int, order: Place) -> None:
        number = order.number

        def accepted() -> None:
            self._out.append(Note(Taken(number, self._calls[number].submit.task)))

        if not order.is_kept:
            self._unkept.add(number)
        call = self.session.calls.submit(
            now_ns,
            order.agent,
            order.payload,
            settle=lambda reply: self._out.append(Note(Settled(number, reply))),
            key=order.key,
            timeout_ms=order.timeout_ms,
            idempotency_key=order.idempotency_key,
            durability=order.durability,
            waits_for_quorum=order.waits_for_quorum,
            accepted=accepted if order.wants_receipt else None,
            deadline_ms=order.deadline_ms,
        )
        self._calls[number] = call

    def _enquire(self, order: Enquire) -> None:
        number = order.number

        def settle(answer: Told | Trouble) -> None:
            told = (
                Replied(number, None, answer.text) if isinstance(answer, Trouble) else Replied(number, answer)
            )
            self._out.append(Note(told))

        self.session.questions.ask(order.what, order.argument, settle=settle, address=order.address or None)

    # Connections

    def _perform(self, effects: list[LinkEffect]) -> None:
        for effect in effects:
            node = _node_at(effect.address)
            self._greeted.discard(node)
            if isinstance(effect, Dial) and node in self._links:
                self._greet_waiting(node)

    def _greet_waiting(self, node: int) -> None:
        self._greeted.add(node)
        self._send(node, encode(b"", "", 0, [Hello("client")]))

    def _lost(self, now_ns: int, node: int) -> None:
        address = address_of(node)
        if self._knows(address):
            trouble = Trouble(TroubleKind.GONE, f"the connection to {address} was lost")
            self._perform(self.session.lost(now_ns, address, trouble))

    def _knows(self, address: str) -> bool:
        return any(gateway.address == address for gateway in self.session.gateways)

    def _send(self, node: int, frame: list[bytes]) -> None:
        self._out.append(Send(node, seal(to_packet(WORK, frame))))

    def _frame(self, now_ns: int, source: int, packet: bytes) -> None:
        content = unseal(packet)
        if not content or source not in self._greeted or not self._knows(address_of(source)):
            return
        try:
            envelope = decode(to_frame(content), Limits())
        except FrameError:
            return
        for message in envelope.messages:
            self._witness(source, message)
        self._perform(self.session.received(now_ns, address_of(source), envelope))

    # What the checkers hear

    def _witness(self, source: int, message: Any) -> None:
        match message:
            case Accepted(task=task) if task in self._kept:
                self._out.append(Note(Receipt(self._kept[task], task)))
            case Answer(task=task) if task in self._kept:
                self._out.append(Note(Answered.told(self._kept[task], source, message)))
            case _:
                pass

    def _witness_submits(self, frame: list[bytes]) -> None:
        for message in decode(frame, Limits()).messages:
            if isinstance(message, Submit) and message.task not in self._kept:
                number = self._number_of(message.task)
                if number not in self._unkept:
                    self._kept[message.task] = number
                    self._out.append(Note(Handed(number, message.task)))

    def _number_of(self, task: bytes) -> int:
        """A task is new, or has got another id: it is among the latest calls."""
        return next(number for number in reversed(self._calls) if self._calls[number].submit.task == task)
