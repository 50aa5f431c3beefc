"""The gateway: takes tasks from clients, keeps each until it is answered, and places it again when it must.

A task is with one owner at a time, as far as this gateway knows, and stays with it whatever the ring says later.
When that owner dies, or is not well and says nothing for a while, the same id is placed with the next one; while it
lives it is asked again now and then: an owner recognises the ids that it has.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import msgspec

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.guard import Admission, Overloaded
from hubless.placement import is_task_id, shard_of_key, shard_of_task
from hubless.tasks.attempts import LONGEST_DEADLINE_MS
from hubless.tasks.wheel import Wheel
from hubless.view import View
from hubless.wire import Answer, Place, Settled, Submit, Withdraw
from hubless_agents import Effect, Failure, failure
from hubless_agents.failure import Code

_MS = 1_000_000
_FIRST_RESEND_NS = 1_000 * _MS
_LONGEST_RESEND_NS = 8_000 * _MS
_WHEEL_WIDTH_NS = 50 * _MS
_NAME_CHARS = 200
_MOST_UNKNOWN = 256


@dataclass(slots=True)
class _Pending:
    """A task that a client waits for; `owner` is "" while no live node can own its shard, `boot` the process of it.

    `again`: another owner may have started it before. `is_repeatable`: its agent allows a second start.
    """

    route: bytes
    agent: str
    key: str
    payload: bytes
    deadline_ns: int
    owner: str
    resend_ns: int
    again: bool
    is_repeatable: bool
    boot: int = 0
    resend_after_ns: int = _FIRST_RESEND_NS


@dataclass(slots=True)
class GatewayCounters:
    """What became of the tasks that clients handed in. `placed_again` counts every repetition towards an owner."""

    accepted: int = 0
    answered: int = 0
    refused: int = 0
    placed_again: int = 0
    expired: int = 0


class Gateway:
    """The tasks that clients handed to this node.

    Args:
        me: this node's id, named in failures.
        shards: number of shards of the mesh.
        payload_bytes: largest payload accepted.
    """

    def __init__(self, *, me: str, view: View, shards: int, payload_bytes: int, admission: Admission) -> None:
        self._me = me
        self._view = view
        self._shards = shards
        self._payload_bytes = payload_bytes
        self._admission = admission
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
            pending.route = route  # the client came back over another connection
            return
        refusal = self._refusal(submit) or self._admit(submit.agent)
        if refusal is not None:
            self.counters.refused += 1
            if submit.again:
                refusal = _doubted(refusal)
            out.append(ToClient(route, Answer(submit.task, None, refusal, self._me, 0)))
            return
        self.counters.accepted += 1
        deadline_ms = min(
            submit.deadline_ms or self._view.default_deadline_ms(submit.agent), LONGEST_DEADLINE_MS
        )
        offer = self._view.offer(submit.agent)
        pending = _Pending(
            route=route,
            agent=submit.agent,
            key=submit.key,
            payload=submit.payload,
            deadline_ns=now_ns + deadline_ms * _MS,
            owner="",
            resend_ns=now_ns,
            again=submit.again,
            is_repeatable=offer is not None and offer.retries > 0,
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
        if told is not None and pending.again:
            told = _doubted(told)
        answer = Answer(settled.task, settled.payload, told, settled.node, settled.attempt)
        out.append(ToClient(pending.route, answer))

    def taken(self, owner: str, task: bytes) -> None:
        """The node that was asked to own a task has handed it on to `owner`."""
        pending = self._pending.get(task)
        if pending is not None and self._view.is_present(owner):
            self._entrust(pending, owner)

    def cancel(self, task: bytes, out: list[NodeEffect]) -> None:
        """Drops a task that its client no longer waits for."""
        pending = self._forget(task)
        if pending is not None and pending.owner:
            out.append(ToPeer(pending.owner, Withdraw(task)))

    def place_again(self, now_ns: int, gone: str, out: list[NodeEffect]) -> None:
        """Finds new owners for the tasks of an owner that is gone, and for those that had none."""
        for task, pending in self._pending.items():
            if pending.owner in (gone, ""):
                pending.again = pending.again or pending.owner != ""
                pending.owner = ""
                self.counters.placed_again += 1
                self._place(now_ns, task, pending, out)

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Answers the tasks whose time is up and asks again about those that have been silent for long."""
        for task in self._wheel.take_due(now_ns):
            pending = self._pending.get(task)
            if pending is None or now_ns < pending.resend_ns:
                continue
            if now_ns >= pending.deadline_ns:
                self._expire(task, pending, out)
                continue
            self.counters.placed_again += 1
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
        owner = self._view.owner_of_shard(shard_of_task(submit.task))
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

    def _entrust(self, pending: _Pending, owner: str) -> None:
        member = self._view.member(owner)
        pending.owner, pending.boot = owner, 0 if member is None else member.boot

    def _place(self, now_ns: int, task: bytes, pending: _Pending, out: list[NodeEffect]) -> None:
        before = pending.owner
        self._choose_owner(task, pending)
        pending.resend_ns = min(now_ns + pending.resend_after_ns, pending.deadline_ns)
        self._wheel.add(pending.resend_ns, task)
        if pending.owner:
            remaining_ms = max(1, (pending.deadline_ns - now_ns) // _MS)
            place = Place(
                task,
                pending.agent,
                pending.key,
                pending.payload,
                remaining_ms,
                self._me,
                again=pending.again,
                once=not pending.is_repeatable,
                boot=pending.boot if pending.owner == before else 0,
            )
            out.append(ToPeer(pending.owner, place))

    def _choose_owner(self, task: bytes, pending: _Pending) -> None:
        """Stays with an owner that is well; with one that is merely present, if the task must not start twice."""
        owner, view = pending.owner, self._view
        if owner and (view.is_alive(owner) or (not pending.is_repeatable and view.is_present(owner))):
            return
        fresh = view.owner_of_shard(shard_of_task(task)) or ""
        pending.again = pending.again or owner not in ("", fresh)
        if fresh != owner:
            self._entrust(pending, fresh)

    def _expire(self, task: bytes, pending: _Pending, out: list[NodeEffect]) -> None:
        self.counters.expired += 1
        self.cancel(task, out)
        effect = Effect.MAYBE if pending.owner or pending.again else Effect.NONE
        expired = self._failure("expired", "no outcome before the deadline of the call", effect=effect)
        out.append(ToClient(pending.route, Answer(task, None, expired, "", 0)))

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
