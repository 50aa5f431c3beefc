"""What this node answers when an operator asks, through whatever node: about the tasks that it owns and its replicas.

What is told of a task is read after this node has made sure that it still owns the task's shard; that an order was
carried out is told when the log says so.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, NamedTuple

import msgspec

from hubless.consulted import DEFAULT_LIMIT, MOST_ROWS, known_since, task_details, task_row
from hubless.effects import NodeEffect, ToPeer
from hubless.forking import founding_of
from hubless.keeping import Keeping
from hubless.placement import is_task_id, shard_of_task
from hubless.tasks.process import node_of
from hubless.tasks.row import TERMINAL, Row, State
from hubless.wire import Consult, Consulted
from hubless_agents import Effect, failure
from hubless_agents.failure import Code
from hubless_gossip.marks import sometimes

_UNKNOWN = "no task with this id is known, or it ended so long ago that its result is no longer kept: see `mesh tasks`"
_MOVES = "the shard of this task moves just now: try again"


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The argument of "tasks" and "dead_letters"."""

    state: State | None = None
    agent: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] = DEFAULT_LIMIT

    @property
    def most(self) -> int:
        """How many tasks are told."""
        return min(self.limit, MOST_ROWS)

    def has(self, row: Row) -> bool:
        """Whether the task is one of those that were asked for."""
        return (self.state is None or row.state is self.state) and (
            self.agent is None or row.agent == self.agent
        )


def selection_of(argument: str) -> Selection | None:
    """What the argument of "tasks" or "dead_letters" says; None if it cannot be read."""
    try:
        return msgspec.json.decode(argument or "{}", type=Selection)
    except msgspec.MsgspecError:
        return None


def task_of(argument: str, shards: int) -> bytes | None:
    """The task with that id, if a mesh with so many shards can have one."""
    try:
        task = bytes.fromhex(argument)
    except ValueError:
        return None
    return task if is_task_id(task, shards) else None


class _Order(NamedTuple):
    """An order that is not decided yet, and by whom it came; `executor` was running the task when it did."""

    node: str
    consult: Consult
    executor: str


class Counsel:
    """Questions and orders of other nodes, and of this one, on behalf of their clients."""

    def __init__(self, *, me: str, keeping: Keeping, shards: int) -> None:
        self._me = me
        self._keeping = keeping
        self._shards = shards
        self._reads: dict[int, tuple[str, Consult]] = {}
        self._orders: dict[bytes, list[_Order]] = {}
        self._forks: dict[int, list[tuple[str, int, int]]] = {}
        keeping.on_read = self._read_ready
        keeping.on_forked = self._forked
        keeping.on_disowned = self._disowned

    def consult(self, now_ns: int, node: str, consult: Consult, out: list[NodeEffect]) -> None:
        """Takes a question or an order; the answer comes at once, or when the shard's log allows it."""
        match consult.what:
            case "shards":
                self._tell(node, consult.request, {"shards": self._keeping.shard_rows()}, out)
            case "tasks" | "dead_letters":
                self._tell(node, consult.request, self._rows(consult), out)
            case "fork":
                self._found(now_ns, node, consult, out)
            case "status" | "result" if task := task_of(consult.argument, self._shards):
                self._read(now_ns, node, consult, task, out)
            case "cancel" | "retry" if task := task_of(consult.argument, self._shards):
                self._order(now_ns, node, consult, task, out)
            case _:
                text = f"this node knows no answer to {consult.what[:80]!r} of {consult.argument[:80]!r}"
                self._refuse(node, consult, "bad_input", text, out)

    # -- about one task ---------------------------------------------------------------------------------

    def _read(self, now_ns: int, node: str, consult: Consult, task: bytes, out: list[NodeEffect]) -> None:
        if self._keeping.owns(task):
            self._reads[self._keeping.read(now_ns, task, out)] = (node, consult)
        else:
            self._send_on(node, consult, task, out)

    def _send_on(self, node: str, consult: Consult, task: bytes, out: list[NodeEffect]) -> None:
        """Another node owns the shard: as far as known here, who asks hears which, before the refusal."""
        self._keeping.whose(node, shard_of_task(task), out)
        self._refuse(node, consult, "unreachable", _MOVES, out)

    def _order(self, now_ns: int, node: str, consult: Consult, task: bytes, out: list[NodeEffect]) -> None:
        if not self._keeping.owns(task):
            self._send_on(node, consult, task, out)
            return
        row = self._keeping.row(task)
        executor = node_of(row.executor) if row is not None and row.state is State.RUNNING else ""
        if consult.what == "cancel":
            is_taken = self._keeping.owner.cancel(now_ns, task, out)
        else:
            is_taken = self._keeping.owner.retry(now_ns, task)
        if is_taken:
            self._orders.setdefault(task, []).append(_Order(node, consult, executor))
            self._keeping.on_changed = self._changed
        else:
            self._refuse(node, consult, *_why_not(consult.what, row), out)

    def _read_ready(self, ticket: int, is_owner: bool, out: list[NodeEffect]) -> None:
        """The rows of the shard that a read was asked for are not stale, or this node can no longer tell."""
        asked = self._reads.pop(ticket, None)
        task = None if asked is None else task_of(asked[1].argument, self._shards)
        if asked is None or task is None:
            return
        node, consult = asked
        row = self._keeping.row(task)
        if not is_owner:
            sometimes("a shard moved while an operator's question was under way")
            self._refuse(node, consult, "unreachable", _MOVES, out)
        elif row is None:
            self._refuse(node, consult, "refused", _UNKNOWN, out)
        else:
            details = task_details(row, self._me, is_cut=consult.what == "status")
            self._tell(node, consult.request, details, out)

    def _changed(self, row: Row, out: list[NodeEffect]) -> None:
        """A task has changed: who ordered that is told. What is cancelled may begin another attempt before it ends."""
        if row.task not in self._orders:
            return
        waiting = []
        for order in self._orders.pop(row.task):
            is_cancel = order.consult.what == "cancel"
            if is_cancel and row.state not in TERMINAL:
                waiting.append(order)
                continue
            told = {"task": row.task.hex(), "state": row.state.value}
            self._tell(
                order.node,
                order.consult.request,
                told | ({"executor": order.executor} if is_cancel else {}),
                out,
            )
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
            for order in self._orders.pop(task):
                self._refuse(order.node, order.consult, "unreachable", text, out, effect=Effect.MAYBE)
        self._look_whether_to_listen()

    def _look_whether_to_listen(self) -> None:
        if not self._orders:
            self._keeping.on_changed = None

    # -- shards -----------------------------------------------------------------------------------------

    def _found(self, now_ns: int, node: str, consult: Consult, out: list[NodeEffect]) -> None:
        """This node has the best replica of a shard: it founds a new lineage."""
        order = founding_of(consult.argument)
        if order is None:
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

    # -- about all --------------------------------------------------------------------------------------

    def _rows(self, consult: Consult) -> dict[str, Any]:
        selection = selection_of(consult.argument) or Selection()
        is_of_dead = consult.what == "dead_letters"
        counts: dict[str, int] = {}
        rows: list[dict[str, Any]] = []
        owned: list[int] = []
        for shard, machine in self._keeping.owned_machines():
            owned.append(shard)
            for state, count in machine.counts.items():
                counts[state.value] = counts.get(state.value, 0) + count
            shelves = [machine.dead_letters()]
            if not is_of_dead:
                shelves += (machine.live(), machine.ended())
            for shelf in shelves:
                newest = islice((row for row in reversed(shelf) if selection.has(row)), selection.most)
                rows += (task_row(row, self._me, with_failures=is_of_dead) for row in newest)
        rows.sort(key=known_since)
        return {"tasks": rows[-selection.most :], "counts": counts, "owned": owned}

    # -- answers ----------------------------------------------------------------------------------------

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
        problem = failure(code, text, where=self._me, effect=effect)
        out.append(ToPeer(node, Consulted(consult.request, b"", problem)))


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
