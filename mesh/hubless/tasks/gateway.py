"""The gateway: takes tasks from clients, keeps each until it is answered, and places it again when it must.

A task that a shard keeps is placed with the owner of that shard, and again with the next owner as soon as there is
one; meanwhile the owner is asked now and then: owners recognise the ids that they have. A task that no shard keeps is
owned here, and so is, until its shard has an owner again, one whose agent goes on in a partition (`apart.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.guard import Admission, Overloaded
from hubless.placement import is_task_id, shard_of_key, shard_of_task
from hubless.tasks.apart import Apart
from hubless.tasks.attempts import LONGEST_DEADLINE_MS
from hubless.tasks.reach import Reach
from hubless.tasks.wheel import Wheel
from hubless.view import View
from hubless.wire import (
    Accepted,
    Answer,
    Durability,
    Moved,
    Place,
    Refused,
    Settled,
    Submit,
    Taken,
    Withdraw,
)
from hubless_agents import Effect, Failure, failure
from hubless_agents.failure import Code

_MS = 1_000_000
_FIRST_RESEND_NS = 1_000 * _MS
_HOMELESS_NS = 100 * _MS
_LONGEST_RESEND_NS = 8_000 * _MS
_WHEEL_WIDTH_NS = 50 * _MS
_NAME_CHARS = 200
_MOST_ROUTES = 8
_MOST_UNKNOWN = 256
_OTHER_TASK = "the id or idempotency key of this task belongs to another task already: use a fresh one"
_NO_QUORUM = "nobody within reach owns the shard of this task: give it the id of another shard"


@dataclass(slots=True)
class _Pending:
    """A task that clients wait for, mostly one. `owner` is "" while nobody is known to own its shard.

    `again`: another gateway may have taken it before. `is_repeatable`: its agent allows a second start. `is_kept`: by
    its shard. `placed` counts how often it was given to a node that may own its shard, `placed_with` names the last
    one. `wants_receipt` until it has been given. `runs_apart`: its agent
    goes on without an owner; `is_apart`: and this node has taken it on by itself.
    """

    routes: tuple[bytes, ...]
    agent: str
    key: str
    payload: bytes
    deadline_ns: int
    owner: str
    resend_ns: int
    again: bool
    is_repeatable: bool
    is_kept: bool
    wants_receipt: bool
    runs_apart: bool = False
    is_apart: bool = False
    is_taken: bool = False
    placed: int = 0
    placed_with: str = ""
    tries: int = 0
    resend_after_ns: int = _FIRST_RESEND_NS

    @property
    def was_placed(self) -> bool:
        """Whether an owner may have taken it."""
        return self.placed > 0

    @property
    def may_be_known(self) -> bool:
        """Whether anybody beside this gateway may have begun it."""
        return self.was_placed or self.again

    def was_refused_by(self, node: str) -> None:
        """A node does not own the shard. If nobody else was asked, and it but once, nobody can have taken the task."""
        if self.placed == 1 and self.placed_with == node and not self.is_taken:
            self.placed = 0


@dataclass(slots=True)
class GatewayCounters:
    """What became of the tasks that clients handed in. `placed_again` counts every repetition towards an owner,
    `steered` the tasks that were sent back to be given an id of another shard, `apart` those that this node took on
    by itself.
    """

    accepted: int = 0
    answered: int = 0
    refused: int = 0
    placed_again: int = 0
    expired: int = 0
    steered: int = 0
    apart: int = 0


class Gateway:
    """The tasks that clients handed to this node.

    Args:
        me: this node's id, named in failures.
        shards: number of shards of the mesh.
        payload_bytes: largest payload accepted.
        apart: what this node takes on by itself; None for a node that does not.
        patience_ns: how long a task waits for an owner of its shard before that.
    """

    def __init__(
        self,
        *,
        me: str,
        view: View,
        shards: int,
        payload_bytes: int,
        admission: Admission,
        apart: Apart | None = None,
        patience_ns: int = 2_000 * _MS,
    ) -> None:
        self._me = me
        self._view = view
        self._shards = shards
        self._payload_bytes = payload_bytes
        self._admission = admission
        self._apart = apart
        self._reach = Reach(view, patience_ns=patience_ns)
        self._pending: dict[bytes, _Pending] = {}
        self._wheel: Wheel[bytes] = Wheel(width_ns=_WHEEL_WIDTH_NS)
        self._known_agents: list[str] = []
        self._unknown_texts: dict[str, str] = {}
        self.counters = GatewayCounters()

    def __len__(self) -> int:
        return len(self._pending)

    def submit(self, now_ns: int, route: bytes, submit: Submit, out: list[NodeEffect]) -> None:
        """Takes a task, or answers at once why not; a refused task has had no effect through this gateway."""
        pending = self._pending.get(submit.task)
        if pending is not None:
            if (submit.agent, submit.key, submit.payload) != (pending.agent, pending.key, pending.payload):
                self.counters.refused += 1
                other = self._failure("bad_input", _OTHER_TASK)
                out.append(ToClient(route, Answer(submit.task, None, other, self._me, 0)))
                return
            if (
                route not in pending.routes
            ):  # the client came back over another connection, or it is another one
                pending.routes = (*pending.routes, route)[-_MOST_ROUTES:]
            if submit.receipt and pending.is_taken:
                out.append(ToClient(route, Accepted(submit.task)))
            pending.wants_receipt = (submit.receipt or pending.wants_receipt) and not pending.is_taken
            return
        refusal = self._refusal(submit) or self._admit(submit.agent)
        if refusal is not None:
            self.counters.refused += 1
            if submit.again:
                refusal = _doubted(refusal)
            out.append(ToClient(route, Answer(submit.task, None, refusal, self._me, 0)))
            return
        is_kept = self._is_kept(submit)
        if is_kept and not submit.again and self._is_better_elsewhere(submit.task, submit):
            self.counters.steered += 1
            self._admission.finished(submit.agent)
            out.append(ToClient(route, Refused("no_quorum", _NO_QUORUM, submit.task)))
            return
        self.counters.accepted += 1
        deadline_ms = min(
            submit.deadline_ms or self._view.default_deadline_ms(submit.agent), LONGEST_DEADLINE_MS
        )
        offer = self._view.offer(submit.agent)
        pending = _Pending(
            routes=(route,),
            agent=submit.agent,
            key=submit.key,
            payload=submit.payload,
            deadline_ns=now_ns + deadline_ms * _MS,
            owner="",
            resend_ns=now_ns,
            again=submit.again,
            is_repeatable=offer is not None and offer.retries > 0,
            is_kept=is_kept,
            wants_receipt=submit.receipt,
            runs_apart=is_kept and self._runs_apart(submit.agent),
            is_apart=is_kept and self._apart is not None and self._apart.knows(submit.task),
        )
        self._pending[submit.task] = pending
        self._place(now_ns, submit.task, pending, out)

    def settled(self, settled: Settled, out: list[NodeEffect]) -> None:
        """Answers the client with the outcome that the owner decided."""
        pending = self._forget(settled.task)
        if pending is None:
            return
        self.counters.answered += 1
        told = settled.failure
        if told is not None and pending.again and not (pending.is_kept and settled.attempt):
            told = _doubted(told)  # a log that has attempts of a task has all of them
        if pending.is_apart and not settled.provisional:
            out.append(ToPeer(self._me, Withdraw(settled.task)))  # its shard was quicker
        answer = Answer(
            settled.task, settled.payload, told, settled.node, settled.attempt, settled.provisional
        )
        out += (ToClient(route, answer) for route in pending.routes)

    def taken(self, owner: str, taken: Taken, out: list[NodeEffect]) -> None:
        """The task is kept by its shard, whose owner says so. What only this node's own log has gets no receipt."""
        task = taken.task
        pending = self._pending.get(task)
        if pending is None or taken.provisional:
            return
        pending.is_taken, pending.placed = True, pending.placed + 1
        if not pending.is_apart:
            pending.owner = owner
        if pending.wants_receipt:
            pending.wants_receipt = False
            out += (ToClient(route, Accepted(task)) for route in pending.routes)

    def moved(self, now_ns: int, node: str, moved: Moved, out: list[NodeEffect]) -> None:
        """The node that was asked does not own the task's shard; perhaps it knows who does."""
        pending = self._pending.get(moved.task)
        if pending is None or not pending.is_kept or pending.is_apart:
            return
        self._view.doubt_owner(shard_of_task(moved.task), node)
        shard = shard_of_task(moved.task)
        is_news = self._view.learn_owner(shard, moved.term, moved.owner)
        if is_news and self._view.owner_of_shard(shard) not in (None, pending.owner):
            self.owners_changed(now_ns, (shard,), out)  # the owner's own word will be no news any more
            return
        pending.owner = ""
        pending.was_refused_by(node)
        if pending.resend_ns > now_ns + _HOMELESS_NS:
            self._look_again(now_ns, moved.task, pending, _HOMELESS_NS)

    def cancel(self, task: bytes, out: list[NodeEffect], *, route: bytes = b"") -> None:
        """Drops a task that its client, the one at `route`, no longer waits for; others may go on waiting."""
        pending = self._pending.get(task)
        if pending is not None and route:
            pending.routes = tuple(other for other in pending.routes if other != route)
            if pending.routes:
                return
        self._forget(task)
        owner = "" if pending is None else pending.owner if pending.is_kept else self._me
        if owner:
            out.append(ToPeer(owner, Withdraw(task)))

    def owners_changed(self, now_ns: int, shards: Collection[int], out: list[NodeEffect]) -> None:
        """These shards have other owners: what waits for them is placed there."""
        for task, pending in list(self._pending.items()):
            if pending.is_kept and not pending.is_apart and shard_of_task(task) in shards:
                self.counters.placed_again += pending.was_placed
                self._place(now_ns, task, pending, out)

    def owner_gone(self, gone: str) -> None:
        """What was with a dead node waits for the next owner, who will say that it is one."""
        for pending in self._pending.values():
            if pending.owner == gone:
                pending.owner = ""

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Answers the tasks whose time is up and asks again about those that have been silent for long."""
        self._reach.look()
        for task in self._wheel.take_due(now_ns):
            pending = self._pending.get(task)
            if pending is None or now_ns < pending.resend_ns:
                continue
            if now_ns >= pending.deadline_ns:
                self._expire(task, pending, out)
                continue
            self.counters.placed_again += 1
            if pending.owner or not pending.is_kept:
                pending.resend_after_ns = min(2 * pending.resend_after_ns, _LONGEST_RESEND_NS)
            self._place(now_ns, task, pending, out)

    def next_deadline_ns(self) -> int | None:
        return self._wheel.next_deadline_ns()

    def _refusal(self, submit: Submit) -> Failure | None:
        """Why a submission can never run, or None. One that was taken before may be running already."""
        if not is_task_id(submit.task, self._shards):
            return self._failure(
                "bad_input", f"a task id is 16 bytes and begins with a shard below {self._shards}"
            )
        if submit.key and shard_of_key(submit.key, self._shards) != shard_of_task(submit.task):
            return self._failure(
                "bad_input", f"the task id does not belong to the shard of key {submit.key[:80]!r}"
            )
        owner = self._view.owner_of_shard(shard_of_task(submit.task)) if self._is_kept(submit) else None
        if len(submit.payload) > self._payload_bytes or owner in self._view.too_small_for(submit.payload):
            size = f"{len(submit.payload)} bytes, the limit here is {self._payload_bytes}"
            if len(submit.payload) <= self._payload_bytes:
                size = f"{len(submit.payload)} bytes, the node that owns it takes less"
            return self._failure(
                "payload_too_large", f"the payload has {size}: send a reference instead of the content"
            )
        if submit.deadline_ms < 0 or len(submit.agent) > _NAME_CHARS or len(submit.key) > _NAME_CHARS:
            return self._failure(
                "bad_input",
                f"deadlines are not negative, names and keys have at most {_NAME_CHARS} characters",
            )
        if not submit.again and not self._view.is_offered(submit.agent):
            return self._failure("unknown_agent", self._unknown_agent_text(submit.agent))
        return None

    def _admit(self, agent: str) -> Failure | None:
        match self._admission.admit(agent):
            case Overloaded(retry_after_ms=retry_after_ms, reason=reason):
                return self._failure("overloaded", f"{reason}: try again later", retry_after_ms)
            case _:
                return None

    def _unknown_agent_text(self, agent: str) -> str:
        known = self._view.agents()
        if known != self._known_agents or len(self._unknown_texts) >= _MOST_UNKNOWN:
            self._known_agents = known
            self._unknown_texts.clear()
        text = self._unknown_texts.get(agent)
        if text is None:
            text = self._unknown_texts[agent] = _unknown_agent_text(agent, known)
        return text

    def _is_kept(self, submit: Submit) -> bool:
        """Whether the task's shard keeps it: what the call says, else what its agent says."""
        if submit.durability is Durability.OF_AGENT:
            offer = self._view.offer(submit.agent)
            return offer is None or offer.is_kept
        return submit.durability is Durability.REPLICATED

    def _runs_apart(self, agent: str) -> bool:
        offer = self._view.offer(agent)
        return self._apart is not None and offer is not None and offer.runs_apart

    def _is_better_elsewhere(self, task: bytes, call: Submit | _Pending) -> bool:
        """Whether a task that nobody has begun had better have the id of another shard."""
        if call.key:
            return False
        owner = self._view.owner_of_shard(shard_of_task(task))
        if owner is not None and not self._view.is_silent(owner):
            return False
        return bool(self._view.reachable()) or (owner is None and not self._runs_apart(call.agent))

    def _place(self, now_ns: int, task: bytes, pending: _Pending, out: list[NodeEffect]) -> None:
        to = self._owner_for(now_ns, task, pending)
        if self._is_steered(now_ns, task, pending):
            self._forget(task)
            self.counters.steered += 1
            refused = Refused("no_quorum", _NO_QUORUM, task)
            out += (ToClient(route, refused) for route in pending.routes)
            return
        is_home = not pending.is_kept or pending.owner != ""
        after_ns = pending.resend_after_ns if is_home else _HOMELESS_NS
        if pending.runs_apart and not pending.is_apart:
            after_ns = min(after_ns, self._reach.lost_after_ns(now_ns, shard_of_task(task), after_ns))
        self._look_again(now_ns, task, pending, after_ns)
        if not to:
            return
        is_mere_question = (
            pending.is_kept and to == self._me and not pending.owner
        )  # this node would know if it owned the shard
        if not (pending.is_apart or is_mere_question):
            pending.placed, pending.placed_with = pending.placed + 1, to
        remaining_ms = max(1, (pending.deadline_ns - now_ns) // _MS)
        place = Place(
            task,
            pending.agent,
            pending.key,
            pending.payload,
            remaining_ms,
            self._me,
            receipt=pending.wants_receipt,
            is_kept=pending.is_kept,
            again=pending.again,
            once=not pending.is_repeatable,
            apart=pending.is_apart,
        )
        out.append(ToPeer(to, place))

    def _owner_for(self, now_ns: int, task: bytes, pending: _Pending) -> str:
        """The owner, as far as known; else one replica after the other is asked who that is.

        This node itself for what no shard keeps, and for what has waited for its shard for long enough.
        """
        if not pending.is_kept:
            return self._me
        shard = shard_of_task(task)
        if not pending.is_apart:
            pending.owner = self._reach.owner(now_ns, shard)
            if self._reach.is_lost(now_ns, shard):
                self._take_on(now_ns, pending)
        if pending.is_apart:
            pending.owner = self._me
        if pending.owner:
            return pending.owner
        candidates = [node for node in self._view.preference(shard) if self._view.is_alive(node)]
        pending.tries += 1
        return candidates[pending.tries % len(candidates)] if candidates else ""

    def _is_steered(self, now_ns: int, task: bytes, pending: _Pending) -> bool:
        """Whether a task has waited for its shard in vain, and can still have the id of another."""
        if not pending.is_kept or pending.is_apart or pending.may_be_known:
            return False
        return self._reach.is_lost(now_ns, shard_of_task(task)) and self._is_better_elsewhere(task, pending)

    def _take_on(self, now_ns: int, pending: _Pending) -> None:
        """Has this node see to the task, if its agent allows that, and a second start should there be one already."""
        may_run = not pending.may_be_known or pending.is_repeatable
        if pending.runs_apart and may_run and self._apart is not None and self._apart.takes(now_ns):
            self.counters.apart += 1
            pending.is_apart = True

    def _look_again(self, now_ns: int, task: bytes, pending: _Pending, after_ns: int) -> None:
        pending.resend_ns = min(now_ns + after_ns, pending.deadline_ns)
        self._wheel.add(pending.resend_ns, task)

    def _expire(self, task: bytes, pending: _Pending, out: list[NodeEffect]) -> None:
        self.counters.expired += 1
        if pending.is_kept:
            self._forget(task)  # its owner sees the deadline by itself
        else:
            self.cancel(task, out)
        effect = Effect.MAYBE if pending.may_be_known or pending.is_apart else Effect.NONE
        expired = self._failure("expired", "no outcome before the deadline of the call", effect=effect)
        out += (ToClient(route, Answer(task, None, expired, "", 0)) for route in pending.routes)

    def _forget(self, task: bytes) -> _Pending | None:
        pending = self._pending.pop(task, None)
        if pending is not None:
            self._admission.finished(pending.agent)
        return pending

    def _failure(
        self, code: Code, message: str, retry_after_ms: int | None = None, *, effect: Effect = Effect.NONE
    ) -> Failure:
        where = f"gateway {self._me}"
        return failure(code, message, where=where, effect=effect, retry_after_ms=retry_after_ms)


def _doubted(told: Failure) -> Failure:
    """What is left of "no effect" when somebody else had the task before."""
    return msgspec.structs.replace(told, effect=Effect.MAYBE) if told.effect is Effect.NONE else told


def _unknown_agent_text(agent: str, known: list[str]) -> str:
    """Looks for similar names, which is slow: its answers are kept until the offers change."""
    if not known:
        return f"no live node offers any agent, so not {agent!r} either: start one with `mesh up AGENTS.py`"
    near = difflib.get_close_matches(agent, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known agents: {', '.join(known[:20])}"
    return f"no live node offers the agent {agent!r}; {hint}"
