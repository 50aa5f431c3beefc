"""Operators' questions and orders about tasks and shards: put to the nodes that can answer, and answered as one.

Any node may be asked. About one task, the owner of its shard is consulted (`enquiry.py`); about all, every present
node, and who does not answer in time is named. What the nodes themselves say is in `counsel.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from hubless.consulted import body_of, merged, with_lost
from hubless.counsel import Counsel, Selection, selection_of, task_of
from hubless.deadlines import earliest
from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.enquiry import OF_ONE_TASK, Enquiries
from hubless.forking import Founding, founder_of, replica_of, wish_of
from hubless.keeping import Keeping
from hubless.view import View
from hubless.wire import Ask, Consult, Consulted, Told
from hubless_agents import Effect, Failure, failure
from hubless_agents.failure import Code
from hubless_gossip.marks import sometimes

_MS = 1_000_000
_PATIENCE_NS = 2_000 * _MS
_MOST_UNDER_WAY = 256
_MOST_BOOTS = 1 << 30

OF_ALL = frozenset({"shards", "tasks", "dead_letters", "fork"})
CONSULTED = OF_ALL | OF_ONE_TASK
"""Questions and orders that other nodes may have to answer."""

_FOUNDING = "founding"
"""The second half of "fork": the best replica that is left has been told to found the new lineage."""


@dataclass(slots=True)
class _Asked:
    """A client's question to all: who has not answered yet, who never will, and what the others said."""

    route: bytes
    request: int
    what: str
    argument: str
    due_ns: int
    waiting: set[str]
    lost: set[str] = field(default_factory=set)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def question(self) -> str:
        """What is asked: before a shard is forked, what all know of it."""
        return {"fork": "shards", _FOUNDING: "fork"}.get(self.what, self.what)


class Consultation:
    """What operators have asked this node, and what other nodes ask it on their behalf.

    Args:
        boot: of this process: what is answered to an earlier one of the node is no answer to its questions.
    """

    def __init__(self, *, me: str, boot: int, view: View, keeping: Keeping, shards: int) -> None:
        self._me = me
        self._view = view
        self._shards = shards
        self._asked: dict[int, _Asked] = {}
        self._numbers = count((boot % _MOST_BOOTS << 32) + 1)
        self._enquiries = Enquiries(me=me, view=view, numbers=self._numbers, patience_ns=_PATIENCE_NS)
        self._counsel = Counsel(me=me, keeping=keeping, shards=shards)

    # -- from clients -----------------------------------------------------------------------------------

    def ask(self, now_ns: int, route: bytes, ask: Ask, out: list[NodeEffect]) -> None:
        """Takes a question; the answer comes when those who know have answered, or have had time to."""
        mistake = self._mistake(ask)
        problem = self._failure("bad_input", mistake) if mistake else None
        if problem is None and len(self._asked) + len(self._enquiries) >= _MOST_UNDER_WAY:
            text = f"{_MOST_UNDER_WAY} questions are under way at this node: try again later"
            problem = self._failure("overloaded", text)
        if problem is not None:
            out.append(ToClient(route, Told(ask.request, b"", problem)))
        elif ask.what in OF_ONE_TASK:
            self._enquiries.begin(now_ns, route, ask, out)
        else:
            present = [known.member.node for known in self._view.known() if self._is_there(known.member.node)]
            due_ns = now_ns + _PATIENCE_NS
            self._put(_Asked(route, ask.request, ask.what, ask.argument, due_ns, set(present)), present, out)

    def _put(self, asked: _Asked, nodes: list[str], out: list[NodeEffect], argument: str = "") -> None:
        number = next(self._numbers)
        self._asked[number] = asked
        out += (ToPeer(node, Consult(number, asked.question, argument or asked.argument)) for node in nodes)

    def _mistake(self, ask: Ask) -> str:
        """What is wrong with a question, or ""."""
        argument, last = ask.argument, self._shards - 1
        if ask.what == "fork" and wish_of(argument, self._shards) is None:
            return f"there is no shard {argument.partition(' ')[0][:80]!r}: this mesh has shards 0 to {last}"
        if ask.what in ("tasks", "dead_letters") and selection_of(argument) is None:
            return "the argument is JSON with state, agent and limit, which is at least 1"
        if ask.what in OF_ONE_TASK and task_of(argument, self._shards) is None:
            return f"{argument[:80]!r} is not the id of a task of this mesh: see `mesh tasks`"
        return ""

    # -- from nodes -------------------------------------------------------------------------------------

    def consult(self, now_ns: int, node: str, consult: Consult, out: list[NodeEffect]) -> None:
        """Another node, or this one, asks on behalf of its client."""
        self._counsel.consult(now_ns, node, consult, out)

    def consulted(self, now_ns: int, node: str, answer: Consulted, out: list[NodeEffect]) -> None:
        """A node has answered."""
        asked = self._asked.get(answer.request)
        if asked is None:
            self._enquiries.consulted(now_ns, node, answer, out)
            return
        if node not in asked.waiting:
            return
        if asked.what == _FOUNDING:
            del self._asked[answer.request]
            out.append(ToClient(asked.route, Told(asked.request, answer.body, answer.failure)))
            return
        body = body_of(asked.question, answer.body)
        if body is None:
            return  # as if it had said nothing: it is named in the end
        asked.waiting.discard(node)
        asked.bodies.append({**body, "node": node})
        if asked.waiting <= asked.lost:
            self._conclude(now_ns, answer.request, out)

    def peer_lost(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """A node is dead, or answers nobody: nobody waits for its answers any longer."""
        self._enquiries.peer_lost(now_ns, node, out)
        for request in [number for number, asked in self._asked.items() if node in asked.waiting]:
            asked = self._asked[request]
            asked.lost.add(node)
            sometimes("a node was lost that owed an operator an answer")
            if asked.waiting <= asked.lost:
                self._conclude(now_ns, request, out)

    # -- time -------------------------------------------------------------------------------------------

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Answers without those who have been silent for too long."""
        self._enquiries.tick(now_ns, out)
        for request in [number for number, asked in self._asked.items() if now_ns >= asked.due_ns]:
            sometimes("an operator was answered without a node that said nothing")
            self._conclude(now_ns, request, out)

    def next_deadline_ns(self) -> int | None:
        due_ns = min((asked.due_ns for asked in self._asked.values()), default=None)
        return earliest(due_ns, self._enquiries.next_deadline_ns())

    # -- inside -----------------------------------------------------------------------------------------

    def _conclude(self, now_ns: int, request: int, out: list[NodeEffect]) -> None:
        asked = self._asked.pop(request)
        silent = sorted(asked.waiting)
        if asked.what == "fork":
            self._have_founded(now_ns, asked, out)
            return
        if asked.what in OF_ALL:
            selection = selection_of(asked.argument) or Selection()
            body = merged(asked.what, asked.bodies, selection.most, self._view.label, self._shards)
            if asked.what == "shards":
                terms = [self._view.term_of_shard(shard) for shard in range(self._shards)]
                body = {"shards": with_lost(body["shards"], terms)}
            told = Told(asked.request, msgspec.json.encode({**body, "silent": silent}))
        else:
            told = Told(asked.request, b"", self._silence(asked))
        out.append(ToClient(asked.route, told))

    def _silence(self, asked: _Asked) -> Failure:
        """The replica that was to found a new lineage did not answer: it may have done it all the same."""
        (founder,) = asked.waiting
        text = (
            f"the best replica that is left, {self._view.label(founder)}, did not answer in time: see `mesh shards` "
            "for whether it was done"
        )
        return self._failure("unreachable", text, effect=Effect.MAYBE)

    def _have_founded(self, now_ns: int, asked: _Asked, out: list[NodeEffect]) -> None:
        """All that can be known of a shard that is to be forked is known."""
        wish = wish_of(asked.argument, self._shards)
        if wish is None:
            return
        told = {
            body["node"]: replica
            for body in asked.bodies
            for row in body["shards"]
            if row["shard"] == wish.shard and (replica := replica_of(row)) is not None
        }
        voters = {node for replica in told.values() for node in (*replica.voters, *replica.outgoing)}
        founder = founder_of(
            wish,
            told,
            silent=asked.waiting,
            gone=[node for node in sorted(voters) if not self._view.is_present(node)],
            term=self._view.term_of_shard(wish.shard),
            label=self._view.label,
        )
        if isinstance(founder, str):
            sometimes("an operator was kept from forking a shard")
            out.append(ToClient(asked.route, Told(asked.request, b"", self._failure("refused", founder))))
            return
        due_ns = now_ns + _PATIENCE_NS
        order = msgspec.json.encode(Founding(wish.shard, founder.above)).decode()
        founding = _Asked(asked.route, asked.request, _FOUNDING, asked.argument, due_ns, {founder.node})
        self._put(founding, [founder.node], out, order)

    def _is_there(self, node: str) -> bool:
        return self._view.is_present(node) and self._view.work_address(node) is not None

    def _failure(self, code: Code, text: str, *, effect: Effect = Effect.NONE) -> Failure:
        return failure(code, text, where=self._me, effect=effect)
