"""Operators' questions and orders about tasks and shards: put to the nodes that can answer, and answered as one.

Any node may be asked. About one task, the owner of its shard is consulted; about all, every present node, and who does
not answer in time is named. What is told of a task is read after its owner has made sure that it still is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from hubless.consulted import DEFAULT_LIMIT, MOST_ROWS, body_of, merged, task_details, task_row
from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.keeping import Keeping
from hubless.placement import is_task_id, shard_of_task
from hubless.tasks.row import Row, State
from hubless.view import View
from hubless.wire import Ask, Consult, Consulted, Told
from hubless_agents import Effect, Failure, failure
from hubless_agents.failure import Code

_MS = 1_000_000
_PATIENCE_NS = 2_000 * _MS
_MOST_UNDER_WAY = 256

OF_ALL = frozenset({"shards", "tasks", "dead_letters"})
OF_ONE_TASK = frozenset({"status", "result", "cancel", "retry"})
CONSULTED = OF_ALL | OF_ONE_TASK
"""Questions and orders that other nodes may have to answer."""


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The argument of "tasks" and "dead_letters"."""

    state: State | None = None
    agent: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(slots=True)
class _Asked:
    """A client's question that is under way: who has not answered yet, and what the others said."""

    route: bytes
    request: int
    what: str
    argument: str
    due_ns: int
    waiting: set[str]
    bodies: list[dict[str, Any]] = field(default_factory=list)


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
        self._orders: dict[bytes, list[tuple[str, int]]] = {}
        keeping.on_read = self._read_ready

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
        self._asked[self._requests] = _Asked(
            route, ask.request, ask.what, ask.argument, now_ns + _PATIENCE_NS, set(nodes)
        )
        out += (ToPeer(node, Consult(self._requests, ask.what, ask.argument)) for node in nodes)

    def _whom(self, ask: Ask) -> tuple[Failure | None, list[str]]:
        """Who can answer, or why nobody can."""
        if ask.what in OF_ALL:
            if ask.what != "shards" and _wish(ask.argument) is None:
                return self._failure("bad_input", "the argument is JSON with state, agent and limit"), []
            return None, [
                known.member.node for known in self._view.known() if self._is_there(known.member.node)
            ]
        shard = self._shard_of(ask)
        if shard is None:
            text = f"{ask.argument[:80]!r} is neither the id of a task nor the number of a shard of this mesh"
            return self._failure("bad_input", text), []
        owner = self._view.owner_of_shard(shard)
        if owner is not None:
            return None, [owner]
        text = f"nobody within reach owns shard {shard} just now: see `mesh shards`, and try again"
        return self._failure("unreachable", text), []

    def _shard_of(self, ask: Ask) -> int | None:
        task = _task_id(ask.argument) if ask.what in OF_ONE_TASK else None
        if task is not None and is_task_id(task, self._shards):
            return shard_of_task(task)
        return None

    # -- from nodes -------------------------------------------------------------------------------------

    def consult(self, now_ns: int, node: str, consult: Consult, out: list[NodeEffect]) -> None:
        """Another node, or this one, asks on behalf of its client."""
        match consult.what:
            case "shards":
                self._tell(node, consult.request, {"shards": self._keeping.shard_rows()}, out)
            case "tasks" | "dead_letters":
                self._tell(node, consult.request, self._rows(consult), out)
            case "status" | "result" | "cancel" | "retry" if (task := _task_id(consult.argument)) is not None:
                self._about_task(now_ns, node, consult, task, out)
            case _:
                problem = self._failure("bad_input", f"this node knows no answer to {consult.what[:80]!r}")
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
                text = "there is no unfinished task with this id: see `mesh tasks`"
            else:
                is_done = self._keeping.owner.retry(now_ns, task)
                text = "no task with this id has ended without a result, and is still kept: see `mesh dead-letters`"
            if is_done:
                self._orders.setdefault(task, []).append((node, consult.request))
                self._keeping.on_changed = self._changed
            else:
                self._refuse(node, consult, "refused", text, out)

    def _read_ready(self, ticket: int, is_owner: bool, out: list[NodeEffect]) -> None:
        """The rows of the shard that a read was asked for are not stale, or this node can no longer tell."""
        asked = self._reads.pop(ticket, None)
        task = None if asked is None else _task_id(asked[1].argument)
        if asked is None or task is None:
            return
        node, consult = asked
        row = self._keeping.row(task)
        if not is_owner:
            self._refuse(
                node, consult, "unreachable", "the shard of this task moves just now: try again", out
            )
        elif row is None:
            text = "no task with this id is known, or it ended so long ago that its result is no longer kept"
            self._refuse(node, consult, "refused", text, out)
        else:
            self._tell(
                node, consult.request, task_details(row, self._me, is_cut=consult.what == "status"), out
            )

    def _changed(self, row: Row, out: list[NodeEffect]) -> None:
        """A task has changed: who ordered that is told."""
        for node, request in self._orders.pop(row.task, ()):
            self._tell(node, request, {"task": row.task.hex(), "state": row.state.value}, out)
        if not self._orders:
            self._keeping.on_changed = None

    def consulted(self, node: str, answer: Consulted, out: list[NodeEffect]) -> None:
        """A node has answered."""
        asked = self._asked.get(answer.request)
        if asked is None or node not in asked.waiting:
            return
        if asked.what not in OF_ALL:
            del self._asked[answer.request]
            out.append(ToClient(asked.route, Told(asked.request, answer.body, answer.failure)))
            return
        body = body_of(asked.what, answer.body)
        if body is None:
            return  # as if it had said nothing: it is named in the end
        asked.waiting.discard(node)
        asked.bodies.append(body)
        if not asked.waiting:
            self._conclude(answer.request, out)

    def peer_lost(self, node: str, out: list[NodeEffect]) -> None:
        """A node is dead, or answers nobody: nobody waits for its answers any longer."""
        for request in [number for number, asked in self._asked.items() if node in asked.waiting]:
            asked = self._asked[request]
            if asked.what not in OF_ALL or asked.waiting == {node}:
                self._conclude(request, out)

    # -- time -------------------------------------------------------------------------------------------

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Answers without those who have been silent for too long."""
        for request in [number for number, asked in self._asked.items() if now_ns >= asked.due_ns]:
            self._conclude(request, out)

    def next_deadline_ns(self) -> int | None:
        return min((asked.due_ns for asked in self._asked.values()), default=None)

    # -- inside -----------------------------------------------------------------------------------------

    def _conclude(self, request: int, out: list[NodeEffect]) -> None:
        asked = self._asked.pop(request)
        silent = sorted(asked.waiting)
        if asked.what in OF_ALL:
            wish = _wish(asked.argument) or _Wish()
            body = merged(asked.what, asked.bodies, min(wish.limit, MOST_ROWS), self._view.label)
            told = Told(asked.request, msgspec.json.encode({**body, "silent": silent}))
        else:
            text = f"the owner of its shard, {silent[0] if silent else 'nobody'}, did not answer in time"
            told = Told(asked.request, b"", self._failure("unreachable", text, effect=Effect.MAYBE))
        out.append(ToClient(asked.route, told))

    def _rows(self, consult: Consult) -> dict[str, Any]:
        wish = _wish(consult.argument) or _Wish()
        is_of_dead = consult.what == "dead_letters"
        counts: dict[str, int] = {}
        rows: list[dict[str, Any]] = []
        limit = min(wish.limit, MOST_ROWS)
        for _, machine in self._keeping.owned_machines():
            for state, count in machine.counts.items():
                counts[state.value] = counts.get(state.value, 0) + count
            kept = (
                machine.dead_letters()
                if is_of_dead
                else (*machine.live(), *machine.ended(), *machine.dead_letters())
            )
            fitting = [row for row in kept if _fits(row, wish)]
            rows += (task_row(row, self._me, with_failures=is_of_dead) for row in fitting[-limit:])
        rows.sort(key=lambda row: row["submitted"])
        return {"tasks": rows[-limit:], "counts": counts}

    def _tell(self, node: str, request: int, body: dict[str, Any], out: list[NodeEffect]) -> None:
        out.append(ToPeer(node, Consulted(request, msgspec.json.encode(body))))

    def _refuse(self, node: str, consult: Consult, code: Code, text: str, out: list[NodeEffect]) -> None:
        out.append(ToPeer(node, Consulted(consult.request, b"", self._failure(code, text))))

    def _is_there(self, node: str) -> bool:
        return self._view.is_present(node) and self._view.work_address(node) is not None

    def _failure(self, code: Code, text: str, *, effect: Effect = Effect.NONE) -> Failure:
        return failure(code, text, where=self._me, effect=effect)


def _fits(row: Row, wish: _Wish) -> bool:
    return (wish.state is None or row.state is wish.state) and (wish.agent is None or row.agent == wish.agent)


def _wish(argument: str) -> _Wish | None:
    try:
        return msgspec.json.decode(argument or "{}", type=_Wish)
    except msgspec.MsgspecError:
        return None


def _task_id(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
