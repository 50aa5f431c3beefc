"""Operators' questions and orders about tasks and shards: put to the nodes that can answer, and answered as one.

Any node may be asked. About one task, the owner of its shard is consulted; about all, every present node, and who does
not answer in time is named. What is told of a task is read after its owner has made sure that it still is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any

import msgspec

from hubless.consulted import DEFAULT_LIMIT, MOST_ROWS, body_of, merged, task_details, task_row, with_lost
from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.forking import founder_of, replica_of, wish_of
from hubless.keeping import Keeping
from hubless.placement import is_task_id, shard_of_task
from hubless.tasks.row import TERMINAL, Row, State
from hubless.view import View
from hubless.wire import Ask, Consult, Consulted, Told
from hubless_agents import Effect, Failure, failure
from hubless_agents.failure import Code
from hubless_gossip.marks import sometimes

_MS = 1_000_000
_PATIENCE_NS = 2_000 * _MS
_MOST_UNDER_WAY = 256

OF_ALL = frozenset({"shards", "tasks", "dead_letters", "fork"})
OF_ONE_TASK = frozenset({"status", "result", "cancel", "retry"})
CONSULTED = OF_ALL | OF_ONE_TASK
"""Questions and orders that other nodes may have to answer."""


_UNKNOWN = "no task with this id is known, or it ended so long ago that its result is no longer kept"

_FOUNDING = "founding"
"""The second half of "fork": the best replica that is left has been told to found the new lineage."""


class _Founding(msgspec.Struct, frozen=True):
    """The argument of a "fork" between nodes."""

    shard: int
    above: int


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The argument of "tasks" and "dead_letters"."""

    state: State | None = None
    agent: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] = DEFAULT_LIMIT


@dataclass(slots=True)
class _Asked:
    """A client's question that is under way: who has not answered yet, who never will, and what the others said."""

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
        """What all are asked: before a shard is forked, what they know of it."""
        return "shards" if self.what == "fork" else self.what


class Consultation:
    """What operators have asked this node, and what other nodes ask it on their behalf."""

    def __init__(self, *, me: str, view: View, keeping: Keeping, shards: int) -> None:
        self._me = me
        self._view = view
        self._keeping = keeping
        self._shards = shards
        self._asked: dict[int, _Asked] = {}
        self._requests = 0
        self._reads: dict[int, tuple[str, Consult]] = {}
        self._orders: dict[bytes, list[tuple[str, Consult]]] = {}
        self._forks: dict[int, list[tuple[str, int, int]]] = {}
        keeping.on_read = self._read_ready
        keeping.on_forked = self._forked
        keeping.on_disowned = self._disowned

    # -- from clients -----------------------------------------------------------------------------------

    def ask(self, now_ns: int, route: bytes, ask: Ask, out: list[NodeEffect]) -> None:
        """Takes a question; the answer comes when those who know have answered, or have had time to."""
        problem, nodes = self._whom(ask)
        if problem is None and len(self._asked) >= _MOST_UNDER_WAY:
            text = f"{_MOST_UNDER_WAY} questions are under way at this node: try again later"
            problem = self._failure("overloaded", text)
        if problem is not None:
            out.append(ToClient(route, Told(ask.request, b"", problem)))
            return
        self._requests += 1
        asked = _Asked(route, ask.request, ask.what, ask.argument, now_ns + _PATIENCE_NS, set(nodes))
        self._asked[self._requests] = asked
        out += (ToPeer(node, Consult(self._requests, asked.question, ask.argument)) for node in nodes)

    def _whom(self, ask: Ask) -> tuple[Failure | None, list[str]]:
        """Who can answer, or why nobody can."""
        if ask.what in OF_ALL:
            if ask.what == "fork" and wish_of(ask.argument, self._shards) is None:
                text = f"{ask.argument[:80]!r} is not the number of a shard, with or without `force`: see `mesh shards`"
                return self._failure("bad_input", text), []
            if ask.what in ("tasks", "dead_letters") and _wish(ask.argument) is None:
                text = "the argument is JSON with state, agent and limit, which is at least 1"
                return self._failure("bad_input", text), []
            return None, [
                known.member.node for known in self._view.known() if self._is_there(known.member.node)
            ]
        task = self._task_id(ask.argument)
        if task is None:
            return self._failure(
                "bad_input", f"{ask.argument[:80]!r} is not the id of a task of this mesh"
            ), []
        shard = shard_of_task(task)
        owner = self._view.owner_of_shard(shard)
        if owner is not None:
            return None, [owner]
        text = f"nobody within reach owns shard {shard} just now: see `mesh shards`, and try again"
        return self._failure("unreachable", text), []

    def _task_id(self, text: str) -> bytes | None:
        """The task with that id, if this mesh can have one."""
        try:
            task = bytes.fromhex(text)
        except ValueError:
            return None
        return task if is_task_id(task, self._shards) else None

    # -- from nodes -------------------------------------------------------------------------------------

    def consult(self, now_ns: int, node: str, consult: Consult, out: list[NodeEffect]) -> None:
        """Another node, or this one, asks on behalf of its client."""
        match consult.what:
            case "shards":
                self._tell(node, consult.request, {"shards": self._keeping.shard_rows()}, out)
            case "tasks" | "dead_letters":
                self._tell(node, consult.request, self._rows(consult), out)
            case "fork":
                self._found(now_ns, node, consult, out)
            case "status" | "result" | "cancel" | "retry" if task := self._task_id(consult.argument):
                self._about_task(now_ns, node, consult, task, out)
            case _:
                text = f"this node knows no answer to {consult.what[:80]!r} of {consult.argument[:80]!r}"
                problem = self._failure("bad_input", text)
                out.append(ToPeer(node, Consulted(consult.request, b"", problem)))

    def _about_task(
        self, now_ns: int, node: str, consult: Consult, task: bytes, out: list[NodeEffect]
    ) -> None:
        if not self._keeping.owns(task):
            self._refuse(
                node, consult, "unreachable", "the shard of this task moves just now: try again", out
            )
        elif consult.what in ("status", "result"):
            self._reads[self._keeping.read(now_ns, task, out)] = (node, consult)
        else:
            if consult.what == "cancel":
                is_done = self._keeping.owner.cancel(now_ns, task, out)
            else:
                is_done = self._keeping.owner.retry(now_ns, task)
            if is_done:
                self._orders.setdefault(task, []).append((node, consult))
                self._keeping.on_changed = self._changed
            else:
                self._refuse(node, consult, *_why_not(consult.what, self._keeping.row(task)), out)

    def _read_ready(self, ticket: int, is_owner: bool, out: list[NodeEffect]) -> None:
        """The rows of the shard that a read was asked for are not stale, or this node can no longer tell."""
        asked = self._reads.pop(ticket, None)
        task = None if asked is None else self._task_id(asked[1].argument)
        if asked is None or task is None:
            return
        node, consult = asked
        row = self._keeping.row(task)
        if not is_owner:
            sometimes("a shard moved while an operator's question was under way")
            self._refuse(
                node, consult, "unreachable", "the shard of this task moves just now: try again", out
            )
        elif row is None:
            self._refuse(node, consult, "refused", _UNKNOWN, out)
        else:
            self._tell(
                node, consult.request, task_details(row, self._me, is_cut=consult.what == "status"), out
            )

    def _changed(self, row: Row, out: list[NodeEffect]) -> None:
        """A task has changed: who ordered that is told. What is cancelled may begin another attempt before it ends."""
        if row.task not in self._orders:
            return
        orders = self._orders.pop(row.task)
        waiting = [order for order in orders if order[1].what == "cancel" and row.state not in TERMINAL]
        for node, consult in (order for order in orders if order not in waiting):
            self._tell(node, consult.request, {"task": row.task.hex(), "state": row.state.value}, out)
        if waiting:
            self._orders[row.task] = waiting
        self._look_whether_to_listen()

    def _disowned(self, shard: int, out: list[NodeEffect]) -> None:
        """Another node decides about a shard: whether it will find the orders in its log, this one never hears."""
        text = (
            "the shard of this task moved before that was decided: it may have been done, see `mesh status`"
        )
        for task in [task for task in self._orders if shard_of_task(task) == shard]:
            sometimes("a shard moved before an operator's order was decided")
            for node, consult in self._orders.pop(task):
                self._refuse(node, consult, "unreachable", text, out, effect=Effect.MAYBE)
        self._look_whether_to_listen()

    def _look_whether_to_listen(self) -> None:
        if not self._orders:
            self._keeping.on_changed = None

    def _found(self, now_ns: int, node: str, consult: Consult, out: list[NodeEffect]) -> None:
        """This node has the best replica of a shard: it founds a new lineage."""
        try:
            order = msgspec.json.decode(consult.argument, type=_Founding)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._refuse(node, consult, "bad_input", "this is no order to fork a shard", out)
            return
        index = self._keeping.fork(now_ns, order.shard, order.above, node)
        if index is None:
            text = f"the replica of shard {order.shard} here can found no new lineage: see `mesh shards`"
            self._refuse(node, consult, "refused", text, out)
        else:
            self._forks.setdefault(order.shard, []).append((node, consult.request, index))

    def _forked(self, shard: int, out: list[NodeEffect]) -> None:
        """The log of a shard says that it was forked: who ordered that is told."""
        for node, request, index in self._forks.pop(shard, ()):
            self._tell(node, request, {"shard": shard, "replicas": [self._me], "index": index}, out)

    def consulted(self, now_ns: int, node: str, answer: Consulted, out: list[NodeEffect]) -> None:
        """A node has answered."""
        asked = self._asked.get(answer.request)
        if asked is None or node not in asked.waiting:
            return
        if asked.what not in OF_ALL:
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
        for request in [number for number, asked in self._asked.items() if node in asked.waiting]:
            asked = self._asked[request]
            asked.lost.add(node)
            sometimes("a node was lost that owed an operator an answer")
            if asked.waiting <= asked.lost:
                self._conclude(now_ns, request, out)

    # -- time -------------------------------------------------------------------------------------------

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Answers without those who have been silent for too long."""
        for request in [number for number, asked in self._asked.items() if now_ns >= asked.due_ns]:
            sometimes("an operator was answered without a node that said nothing")
            self._conclude(now_ns, request, out)

    def next_deadline_ns(self) -> int | None:
        if not self._asked:
            return None
        return min(asked.due_ns for asked in self._asked.values())

    # -- inside -----------------------------------------------------------------------------------------

    def _conclude(self, now_ns: int, request: int, out: list[NodeEffect]) -> None:
        asked = self._asked.pop(request)
        silent = sorted(asked.waiting)
        if asked.what == "fork":
            self._have_founded(now_ns, asked, out)
            return
        if asked.what in OF_ALL:
            wish = _wish(asked.argument) or _Wish()
            limit = min(wish.limit, MOST_ROWS)
            body = merged(asked.what, asked.bodies, limit, self._view.label, self._shards)
            if asked.what == "shards":
                terms = [self._view.term_of_shard(shard) for shard in range(self._shards)]
                body = {"shards": with_lost(body["shards"], terms)}
            told = Told(asked.request, msgspec.json.encode({**body, "silent": silent}))
        else:
            who = "the best replica that is left" if asked.what == _FOUNDING else "the owner of its shard"
            text = f"{who}, {silent[0] if silent else 'nobody'}, did not answer in time"
            told = Told(asked.request, b"", self._failure("unreachable", text, effect=Effect.MAYBE))
        out.append(ToClient(asked.route, told))

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
        )
        if isinstance(founder, str):
            sometimes("an operator was kept from forking a shard")
            out.append(ToClient(asked.route, Told(asked.request, b"", self._failure("refused", founder))))
            return
        self._requests += 1
        due_ns = now_ns + _PATIENCE_NS
        self._asked[self._requests] = _Asked(
            asked.route, asked.request, _FOUNDING, asked.argument, due_ns, {founder.node}
        )
        order = msgspec.json.encode(_Founding(wish.shard, founder.above)).decode()
        out.append(ToPeer(founder.node, Consult(self._requests, "fork", order)))

    def _rows(self, consult: Consult) -> dict[str, Any]:
        wish = _wish(consult.argument) or _Wish()
        is_of_dead = consult.what == "dead_letters"
        counts: dict[str, int] = {}
        rows: list[dict[str, Any]] = []
        limit = min(wish.limit, MOST_ROWS)
        owned: list[int] = []
        for shard, machine in self._keeping.owned_machines():
            owned.append(shard)
            for state, count in machine.counts.items():
                counts[state.value] = counts.get(state.value, 0) + count
            shelves = [machine.dead_letters()]
            if not is_of_dead:
                shelves += (machine.live(), machine.ended())
            for shelf in shelves:
                newest = islice((row for row in reversed(shelf) if _fits(row, wish)), limit)
                rows += (task_row(row, self._me, with_failures=is_of_dead) for row in newest)
        rows.sort(key=lambda row: row["submitted"])
        return {"tasks": rows[-limit:], "counts": counts, "owned": owned}

    def _tell(self, node: str, request: int, body: dict[str, Any], out: list[NodeEffect]) -> None:
        out.append(ToPeer(node, Consulted(request, msgspec.json.encode(body))))

    def _refuse(
        self,
        node: str,
        consult: Consult,
        code: Code,
        text: str,
        out: list[NodeEffect],
        *,
        effect: Effect = Effect.NONE,
    ) -> None:
        out.append(ToPeer(node, Consulted(consult.request, b"", self._failure(code, text, effect=effect))))

    def _is_there(self, node: str) -> bool:
        return self._view.is_present(node) and self._view.work_address(node) is not None

    def _failure(self, code: Code, text: str, *, effect: Effect = Effect.NONE) -> Failure:
        return failure(code, text, where=self._me, effect=effect)


def _why_not(order: str, row: Row | None) -> tuple[Code, str]:
    """Why an order about a task was not taken."""
    if row is None:
        return "refused", _UNKNOWN
    has_ended = row.state in TERMINAL
    if order == "cancel" and has_ended:
        return "refused", f"this task has ended, its state is {row.state}: see `mesh status {row.task.hex()}`"
    if order == "retry" and (not has_ended or row.state is State.SUCCEEDED):
        return (
            "refused",
            f"the state of this task is {row.state}: only one that ended without a result is tried again",
        )
    return "unreachable", "the shard of this task takes no orders just now: try again"


def _fits(row: Row, wish: _Wish) -> bool:
    return (wish.state is None or row.state is wish.state) and (wish.agent is None or row.agent == wish.agent)


def _wish(argument: str) -> _Wish | None:
    try:
        return msgspec.json.decode(argument or "{}", type=_Wish)
    except msgspec.MsgspecError:
        return None
