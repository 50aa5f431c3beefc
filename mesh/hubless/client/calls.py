"""The tasks of a client: which gateway has which, and where they go when it is lost or refuses. No I/O, no clock.

A task is with one gateway at a time. When that gateway is lost, every unanswered task of it is sent again, with the
same id, to another: a mesh recognises the ids it has, so nothing is lost and nothing is answered twice (an answer
to an id that is not waited for is dropped).
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from hubless.client.arguments import check_submission
from hubless.client.call import Call
from hubless.client.gateways import Gateway, Gateways
from hubless.client.ids import derived_task_id
from hubless.client.receipts import Receipts
from hubless.client.reply import Reply, unreachable_reply
from hubless.client.unplaced import Unplaced
from hubless.deadlines import earliest
from hubless.placement import mint_task_id, shard_of_key, shard_of_task
from hubless.tasks.attempts import LONGEST_DEADLINE_MS
from hubless.tasks.wheel import Wheel
from hubless.wire import Answer, Cancel, Durability, Limits, ShardChoice, Submit
from hubless_agents import Effect, Failure

_MS = 1_000_000
_WHEEL_WIDTH_NS = 20 * _MS
_MOST_TASKS = 65_536
_HASTY_TRIES = 3
_RETRY_AFTER_MS = 1_000


class Calls:
    """All tasks that one client has under way.

    Args:
        entropy: returns n random bytes, for task ids.
        patience_ns: how long a task without a deadline is tried while its shard has no quorum within reach.
        post: has a message sent to a gateway.
    """

    def __init__(
        self,
        gateways: Gateways,
        *,
        entropy: Callable[[int], bytes],
        patience_ns: int,
        post: Callable[[Gateway, Submit | Cancel], None],
    ) -> None:
        self.shards = 0
        self.payload_bytes = Limits().payload_bytes
        self.unplaced = Unplaced()
        self._gateways = gateways
        self._entropy = entropy
        self._patience_ns = patience_ns
        self._post = post
        self._calls: dict[bytes, Call] = {}
        self._receipts = Receipts()
        self._wheel: Wheel[bytes] = Wheel(width_ns=_WHEEL_WIDTH_NS)

    def __len__(self) -> int:
        """Tasks that somebody waits for."""
        return len(self._calls)

    # -- what the caller asks -------------------------------------------------------------------------

    def submit(
        self,
        now_ns: int,
        agent: str,
        payload: bytes,
        *,
        settle: Callable[[Reply], None],
        key: str = "",
        timeout_ms: int | None = None,
        idempotency_key: str = "",
        durability: Durability = Durability.OF_AGENT,
        waits_for_quorum: bool = True,
        accepted: Callable[[], None] | None = None,
        deadline_ms: int | None = None,
    ) -> Call:
        """Takes a task. The call is over already if it was refused, and settled so, at once.

        Args:
            timeout_ms: the caller's patience; None leaves the limit to the agent's own deadline.
            idempotency_key: names the task: from every client, the same key is the same task while it is kept.
            waits_for_quorum: False fails the task at once when its shard has no quorum within reach.
            accepted: asks for a receipt, and is called when it is there; the task is then this client's no longer.
            deadline_ms: of a task with `accepted` the time that it has, `timeout_ms` being that for its receipt.

        Raises:
            ValueError: an argument that no mesh could accept, or two that contradict each other.
            TypeError: the payload is not bytes.
        """
        is_named = bool(idempotency_key)
        wants_receipt = accepted is not None
        check_submission(agent, payload, key=key, idempotency_key=idempotency_key, timeout_ms=timeout_ms)
        if is_named or wants_receipt:
            durability = _kept(durability, "idempotency_key" if is_named else "a receipt")
        timeout_ms = timeout_ms and min(timeout_ms, LONGEST_DEADLINE_MS)
        deadline_ms = min(deadline_ms or 0, LONGEST_DEADLINE_MS) if wants_receipt else timeout_ms or 0
        gateway = self._gateways.choose()
        task = self._task_id(gateway, key, idempotency_key)
        shard = _choice(is_fixed=is_named or bool(key), waits_for_quorum=waits_for_quorum)
        submit = Submit(
            task, agent, key, payload, deadline_ms, durability=durability, receipt=wants_receipt, shard=shard
        )
        call = Call(
            submit,
            settle,
            None if timeout_ms is None else now_ns + timeout_ms * _MS,
            accepted,
            now_ns + deadline_ms * _MS if deadline_ms else None,
            shard is ShardChoice.FREE,
            is_named,
            waits_for_quorum,
            begun_ns=now_ns,
        )
        refusal = self._refusal(payload)
        if refusal is not None:
            call.end(Reply(b"", refusal))
            return call
        if call.gives_up_ns is not None:
            self._wheel.add(call.gives_up_ns, task)
        if is_named and task in self._calls:
            self._join(self._calls[task], call)
            return call
        self._calls[task] = call
        if gateway is None:
            self.unplaced.add(call)
        else:
            self._give(call, submit, gateway)
        return call

    def cancel(self, call: Call) -> None:
        """The caller no longer waits. The agent may run all the same; a task that others may know is not withdrawn."""
        call.is_over = True
        task = call.submit.task
        first = self._calls.get(task)
        if first is None or any(first.waiting()):
            return
        gateway = first.gateway
        self._forget(first)
        if gateway is not None and not first.is_shared:
            self._post(gateway, Cancel(task, alone=True))

    # -- what the mesh says ---------------------------------------------------------------------------

    def answered(self, answer: Answer) -> None:
        """The outcome of a task: everybody who waits for it gets it."""
        task = answer.task
        reply = Reply(
            answer.payload or b"",
            answer.failure,
            answer.node,
            answer.attempt,
            provisional=answer.provisional,
        )
        call = self._calls.pop(task, None)
        if call is not None:
            self._unhook(call)
            call.end(reply)
        if self._receipts:
            self._receipts.settle(task, reply)

    def accepted(self, task: bytes) -> None:
        """The receipt of a task: the mesh keeps it, so those who wanted no more are done with it."""
        call = self._calls.get(task)
        if call is None:
            return
        for one in list(call.waiting()):
            if one.accepted is not None:
                one.is_over = True
                self._receipts.add(task, one.settle)
                one.accepted()
        if not any(call.waiting()):
            self._forget(call)

    def given_back(self, gateway: Gateway, task: bytes, *, may_be_known: bool = False) -> Call | None:
        """The gateway did not take the task, or gave it up. None if it was not given it, or nobody waits any more."""
        if task not in gateway.submits:
            return None
        call = self._calls[task]
        call.sent = call.submit.again or may_be_known
        self._unhook(call)
        return call

    def without_quorum(self, now_ns: int, call: Call) -> None:
        """The call was given back since its shard has no quorum within the gateway's reach: it rests, or fails."""
        if not self._gateways.reach(self._shard_wanted(call)):
            self._gateways.is_short = True
        call.refusals += 1
        if call.refusals == 1:
            call.refused_ns = now_ns
        ends_ns = self._patience_ends_ns(call)
        if now_ns >= ends_ns or not (call.waits_for_quorum or self._may_try_hastily(call)):
            self._fail_without_quorum(call)
        else:
            self.unplaced.rest(now_ns, call, ends_ns)

    def lost(self, gateway: Gateway) -> None:
        """The gateway is gone: its tasks want another."""
        for task in list(gateway.submits):
            call = self._calls[task]
            self._unhook(call)
            call.refusals = 0
            self.unplaced.add(call)

    def house(self, now_ns: int) -> None:
        """Finds a gateway for each task that may have one, as long as one serves."""
        if not self.unplaced or not self._gateways.serving:
            return
        for call in self.unplaced.ready:
            shard = self._shard_wanted(call)
            gateway = self._gateways.choose_reaching(shard) if call.refusals else self._gateways.choose()
            if gateway is None:
                return
            self.unplaced.drop(call)
            if call.refusals and shard is None:
                self._move(call, gateway)
            remaining_ms = call.submit.deadline_ms
            if call.ends_ns is not None:
                remaining_ms = max(1, (call.ends_ns - now_ns) // _MS)
            age_ms = max(1, (now_ns - call.begun_ns) // _MS) if call.sent else 0
            call.submit = replace(call.submit, deadline_ms=remaining_ms, again=call.sent, age_ms=age_ms)
            self._give(call, call.submit, gateway)

    # -- time -----------------------------------------------------------------------------------------

    def due(self, now_ns: int) -> None:
        """Gives up on what is overdue, and tries again what has rested."""
        for task in self._wheel.take_due(now_ns):
            call = self._calls.get(task)
            if call is None:
                continue
            for one in list(call.waiting()):
                if one.due_ns is not None and now_ns >= one.due_ns:
                    self._expire(one, call)
        for call in self.unplaced.wake(now_ns):
            if now_ns >= self._patience_ends_ns(call):
                self._fail_without_quorum(call)
        self.house(now_ns)

    def despair(self) -> None:
        """No node answers any more: everything that no gateway has fails."""
        text = "no node of the mesh answers any more: see whether its nodes run"
        for call in list(self.unplaced):
            self._forget(call)
            call.end(unreachable_reply(text, effect=_effect(call)))

    def next_deadline_ns(self) -> int | None:
        """When `due` wants to be called."""
        return earliest(self._wheel.next_deadline_ns(), self.unplaced.next_deadline_ns())

    # -- inside ---------------------------------------------------------------------------------------

    def _refusal(self, payload: bytes) -> Failure | None:
        if len(payload) > self.payload_bytes:
            text = (
                f"the payload has {len(payload)} bytes, the limit is {self.payload_bytes}: "
                "send a reference instead of the content"
            )
            return Failure(code="payload_too_large", message=text, where="client", effect=Effect.NONE)
        if len(self._calls) >= _MOST_TASKS:
            text = f"{_MOST_TASKS} calls of this client are in flight: wait for some, or use map"
            return Failure(code="overloaded", message=text, where="client", retry_after_ms=100)
        return None

    def _task_id(self, gateway: Gateway | None, key: str, idempotency_key: str) -> bytes:
        if idempotency_key:
            return derived_task_id(idempotency_key, key, self.shards)
        return mint_task_id(self._shard(gateway, key), self._entropy(14))

    def _shard(self, gateway: Gateway | None, key: str) -> int:
        if key:
            return shard_of_key(key, self.shards)
        shard = gateway.next_shard() if gateway is not None else None
        return int.from_bytes(self._entropy(4)) % self.shards if shard is None else shard

    def _join(self, first: Call, call: Call) -> None:
        """One more caller for a task that is on its way; a receipt that nobody asked for yet is asked for."""
        first.others = (*first.others, call)
        if call.accepted is not None and not first.submit.receipt:
            first.submit = replace(first.submit, receipt=True)
            if first.gateway is not None:
                self._give(first, first.submit, first.gateway)

    def _give(self, call: Call, submit: Submit, gateway: Gateway) -> None:
        gateway.submits[submit.task] = submit
        call.gateway = gateway
        call.sent = True
        self._post(gateway, submit)

    def _moves(self, call: Call) -> bool:
        return call.may_move and not call.sent

    def _shard_wanted(self, call: Call) -> int | None:
        """The shard that a gateway must reach to take the call; None when any will do."""
        return None if self._moves(call) else shard_of_task(call.submit.task)

    def _may_try_hastily(self, call: Call) -> bool:
        return self._moves(call) and call.refusals < _HASTY_TRIES

    def _move(self, call: Call, gateway: Gateway) -> None:
        """Draws another id, for a shard that the gateway reaches."""
        del self._calls[call.submit.task]
        task = mint_task_id(self._shard(gateway, ""), self._entropy(14))
        call.submit = replace(call.submit, task=task)
        self._calls[task] = call
        if call.gives_up_ns is not None:
            self._wheel.add(call.gives_up_ns, task)

    def _unhook(self, call: Call) -> None:
        if call.gateway is not None:
            del call.gateway.submits[call.submit.task]
            call.gateway = None
        else:
            self.unplaced.drop(call)

    def _forget(self, call: Call) -> None:
        del self._calls[call.submit.task]
        self._unhook(call)

    def _patience_ends_ns(self, call: Call) -> int:
        """Until when a call is tried again although its shard has no quorum: as long as its most patient caller."""
        default_ns = call.refused_ns + self._patience_ns
        dues = (default_ns if one.due_ns is None else one.due_ns for one in call.waiting())
        return max(dues, default=default_ns)

    def _expire(self, call: Call, first: Call) -> None:
        effect = _effect(first)
        text = "no answer before the deadline of the call: allow more time, or see whether the mesh is well"
        if call.accepted is not None:
            task = first.submit.task.hex()
            text = f"no receipt for task {task} in time: `mesh status {task}` tells whether it is known, `mesh status` "
            text += "what is wrong"
        if first.is_shared and effect is Effect.MAYBE:
            text += "; the same idempotency key asks for the same task again"
        self.cancel(call)
        call.settle(Reply(b"", Failure(code="expired", message=text, where="client", effect=effect)))

    def _fail_without_quorum(self, call: Call) -> None:
        self._forget(call)
        shard = shard_of_task(call.submit.task)
        text = f"no majority of shard {shard} can be reached: see `mesh shards`, and try again later"
        failure = Failure(
            code="unreachable",
            message=text,
            where="client",
            effect=_effect(call),
            retry_after_ms=_RETRY_AFTER_MS,
        )
        call.end(Reply(b"", failure))


def _effect(call: Call) -> Effect:
    return Effect.MAYBE if call.sent else Effect.NONE


def _choice(*, is_fixed: bool, waits_for_quorum: bool) -> ShardChoice:
    if not is_fixed:
        return ShardChoice.FREE
    return ShardChoice.FIXED if waits_for_quorum else ShardChoice.AT_ONCE


def _kept(durability: Durability, reason: str) -> Durability:
    """What a task needs that must be found again.

    Raises:
        ValueError: nobody is to keep it.
    """
    if durability is Durability.NONE:
        raise ValueError(
            f"durability is 'none', and {reason} is asked for: nobody would know the task again; leave out one of them"
        )
    return Durability.REPLICATED
