"""Questions and orders about one task: its shard's owner is looked for, asked, and asked for again where it went.

An owner's answer ends it. A refusal because the shard moves, an owner's silence and its death end a question only when
its time is up: until then it is put to the next owner. An order is, once it has been refused; without a word of whom it
was given to it may have been followed, and is not given to anybody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hubless.deadlines import earliest
from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.placement import shard_of_task
from hubless.tasks.asking import Asking
from hubless.view import View
from hubless.wire import Ask, Consult, Consulted, Told
from hubless_agents import Effect, Failure, failure
from hubless_gossip.marks import sometimes

_MS = 1_000_000
_MOST_AT_ONCE = 4
_DOUBT_NS = 500 * _MS
_READS = frozenset({"status", "result"})
OF_ONE_TASK = _READS | {"cancel", "retry"}


@dataclass(slots=True)
class _Enquiry:
    """`asked` is the owner that is to answer, "" while there is none; `refusal` what the last one said.

    If a question is not answered by `doubt_ns`, the replicas are asked who owns the shard by now.
    """

    route: bytes
    ask: Ask
    shard: int
    due_ns: int
    doubt_ns: int
    asked: str = ""
    tries: int = 0
    refusal: Failure | None = None


class Enquiries:
    """What clients have asked this node about single tasks.

    Args:
        numbers: the numbers of the questions that this node puts to others.
        patience_ns: how long a client waits for an answer.
    """

    def __init__(self, *, me: str, view: View, numbers: Iterator[int], patience_ns: int) -> None:
        self._me = me
        self._view = view
        self._numbers = numbers
        self._patience_ns = patience_ns
        self._asking = Asking(view)
        self._under_way: dict[int, _Enquiry] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, now_ns: int, route: bytes, ask: Ask, out: list[NodeEffect]) -> None:
        """Takes a question or order of a client, whose argument is the id of a task."""
        shard = shard_of_task(bytes.fromhex(ask.argument))
        number = next(self._numbers)
        due_ns = now_ns + self._patience_ns
        self._under_way[number] = _Enquiry(route, ask, shard, due_ns, due_ns)
        self._put(now_ns, number, out)

    def consulted(self, now_ns: int, node: str, answer: Consulted, out: list[NodeEffect]) -> None:
        """A node has answered."""
        enquiry = self._under_way.get(answer.request)
        if enquiry is None or node != enquiry.asked:
            return
        refusal = answer.failure
        if refusal is not None and refusal.code == "unreachable" and refusal.effect is Effect.NONE:
            enquiry.asked, enquiry.refusal = "", refusal
            if self._owner_of(enquiry) == node or enquiry.tries >= _MOST_AT_ONCE:
                self._asking.want(now_ns, enquiry.shard, out)  # a little later: two may name each other
            else:
                self._put(now_ns, answer.request, out)
        else:
            self._tell(answer.request, answer.body, refusal, out)

    def peer_lost(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """A node is dead, or answers nobody. An order may have been followed before."""
        for number in [number for number, enquiry in self._under_way.items() if enquiry.asked == node]:
            enquiry = self._under_way[number]
            if enquiry.ask.what in _READS:
                enquiry.asked, enquiry.refusal = "", self._silence(enquiry)
                self._asking.want(now_ns, enquiry.shard, out)
            else:
                self._tell(number, b"", self._silence(enquiry), out)

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Answers what has waited for too long, and puts what waits to owners that have been found."""
        for number, enquiry in list(self._under_way.items()):
            if now_ns >= enquiry.due_ns:
                self._tell(number, b"", self._silence(enquiry), out)
            elif now_ns >= enquiry.doubt_ns:
                enquiry.doubt_ns = min(now_ns + _DOUBT_NS, enquiry.due_ns)
                self._asking.want(now_ns, enquiry.shard, out)
        for shard in self._asking.due(now_ns, self._is_wanted, out):
            for number, enquiry in self._under_way.items():
                if enquiry.shard == shard and self._seeks(enquiry):
                    self._put(now_ns, number, out)

    def next_deadline_ns(self) -> int | None:
        due_ns = min((enquiry.doubt_ns for enquiry in self._under_way.values()), default=None)
        return earliest(due_ns, self._asking.next_deadline_ns())

    # -- inside -----------------------------------------------------------------------------------------

    def _put(self, now_ns: int, number: int, out: list[NodeEffect]) -> None:
        """Puts a question to the owner of its shard, or has one looked for."""
        enquiry = self._under_way[number]
        owner = self._owner_of(enquiry)
        if not owner:
            self._asking.want(now_ns, enquiry.shard, out)
            return
        if enquiry.tries:
            sometimes("a question about a task was put again")
        enquiry.asked, enquiry.tries = owner, enquiry.tries + 1
        is_read = enquiry.ask.what in _READS
        enquiry.doubt_ns = min(now_ns + _DOUBT_NS, enquiry.due_ns) if is_read else enquiry.due_ns
        out.append(ToPeer(owner, Consult(number, enquiry.ask.what, enquiry.ask.argument)))

    def _owner_of(self, enquiry: _Enquiry) -> str:
        """The owner of the shard, as far as known, if it answers anybody; else ""."""
        owner = self._view.owner_of_shard(enquiry.shard)
        return "" if owner is None or self._view.is_silent(owner) else owner

    def _seeks(self, enquiry: _Enquiry) -> bool:
        """Whether an enquiry is for an owner to come, and not only for the one that was asked to answer."""
        is_read = enquiry.ask.what in _READS
        return not enquiry.asked or (is_read and enquiry.asked != self._owner_of(enquiry))

    def _is_wanted(self, shard: int) -> bool:
        return any(enquiry.shard == shard and self._seeks(enquiry) for enquiry in self._under_way.values())

    def _silence(self, enquiry: _Enquiry) -> Failure:
        """Nobody has answered, or will; an order that somebody was given may have been carried out."""
        if not enquiry.asked:
            nobody = (
                f"nobody within reach owns shard {enquiry.shard} just now: see `mesh shards`, and try again"
            )
            return enquiry.refusal or failure("unreachable", nobody, where=self._me)
        text = f"the owner of its shard, {self._view.label(enquiry.asked)}, did not answer in time"
        if enquiry.ask.what in _READS:
            return failure("unreachable", f"{text}: try again", where=self._me)
        text = f"{text}: see `mesh status` for whether it was done"
        return failure("unreachable", text, where=self._me, effect=Effect.MAYBE)

    def _tell(self, number: int, body: bytes, problem: Failure | None, out: list[NodeEffect]) -> None:
        enquiry = self._under_way.pop(number)
        out.append(ToClient(enquiry.route, Told(enquiry.ask.request, body, problem)))
