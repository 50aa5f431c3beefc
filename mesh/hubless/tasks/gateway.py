"""The gateway: takes tasks from clients, keeps each until it is answered, and places it again when it must.

A task that a shard keeps is placed with the owner of that shard, and again with the next owner as soon as there is
one; meanwhile the owner is asked now and then: owners recognise the ids that they have. A task that no shard keeps is
owned here, and so is, until its shard has an owner again, one whose agent goes on in a partition (`apart.py`).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from hubless.deadlines import earliest
from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.guard import Admission, Overloaded
from hubless.placement import shard_of_task
from hubless.tasks.apart import Apart
from hubless.tasks.asking import Asking
from hubless.tasks.attempts import LONGEST_DEADLINE_MS
from hubless.tasks.counters import GatewayCounters
from hubless.tasks.pending import FIRST_RESEND_NS, Pending
from hubless.tasks.reach import Reach
from hubless.tasks.redirects import Redirects
from hubless.tasks.screening import Screening
from hubless.tasks.wheel import Wheel
from hubless.view import View
from hubless.wire import (
    Accepted,
    Answer,
    Durability,
    Moved,
    OwnedBy,
    Refused,
    Settled,
    ShardChoice,
    Submit,
    Taken,
    Withdraw,
)
from hubless_agents import Effect, Failure
from hubless_gossip.marks import sometimes

_MS = 1_000_000
_NOT_YET_APART_NS = 100 * _MS
_LONGEST_RESEND_NS = 8_000 * _MS
_ROUND_AGAIN_NS = 100 * _MS
_WHEEL_WIDTH_NS = 50 * _MS
_MOST_ROUTES = 8
_OTHER_TASK = "the id or idempotency key of this task belongs to another task already: use a fresh one"
_NO_QUORUM = "nobody within reach owns the shard of this task: give it the id of another shard"
_OUT_OF_REACH = "who owned the shard of this task is not within reach any more: ask another node for it"


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
        self._screening = Screening(me=me, view=view, shards=shards, payload_bytes=payload_bytes)
        self._admission = admission
        self._apart = apart
        self._reach = Reach(view, patience_ns=patience_ns)
        self._redirects = Redirects(view, self._reach, goes_apart=apart is not None)
        self._asking = Asking(view)
        self._pending: dict[bytes, Pending] = {}
        self._of_shard: dict[int, dict[bytes, Pending]] = {}
        self._wheel: Wheel[bytes] = Wheel(width_ns=_WHEEL_WIDTH_NS)
        self.counters = GatewayCounters()

    def __len__(self) -> int:
        return len(self._pending)

    def submit(self, now_ns: int, route: bytes, submit: Submit, out: list[NodeEffect]) -> None:
        """Takes a task, or answers at once why not; a refused task has had no effect through this gateway."""
        known = self._pending.get(submit.task)
        if known is not None:
            self._submit_again(route, submit, known, out)
            return
        is_kept = self._is_kept(submit)
        refusal = self._screening.refusal(submit, is_kept=is_kept) or self._admit(submit.agent)
        if refusal is not None:
            self.counters.refused += 1
            if submit.again:
                refusal = _doubted(refusal)
            out.append(ToClient(route, Answer(submit.task, None, refusal, self._me, 0)))
            return
        may_go_back = not submit.again or submit.shard is ShardChoice.AT_ONCE
        if is_kept and may_go_back and self._redirects.is_better_elsewhere(submit.task, submit):
            self.counters.steered += 1
            sometimes("asked a client for an id of another shard")
            self._admission.finished(submit.agent)
            out.append(ToClient(route, Refused("no_quorum", _NO_QUORUM, submit.task)))
            if submit.shard is not ShardChoice.FREE:
                # It comes again, and it may be just the owner's word that is lost.
                self._asking.want(now_ns, shard_of_task(submit.task), out)
            return
        self.counters.accepted += 1
        deadline_ms = min(
            submit.deadline_ms or self._view.default_deadline_ms(submit.agent), LONGEST_DEADLINE_MS
        )
        offer = self._view.offer(submit.agent)
        pending = Pending(
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
            begun_ns=now_ns - max(0, submit.age_ms) * _MS,
            shard=submit.shard,
            runs_apart=is_kept and self._redirects.runs_apart(submit.agent),
            is_apart=is_kept and self._apart is not None and self._apart.knows(submit.task),
        )
        self._pending[submit.task] = pending
        if is_kept:
            self._of_shard.setdefault(shard_of_task(submit.task), {})[submit.task] = pending
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
            sometimes("a shard was quicker than the node that went on apart")
            out.append(ToPeer(self._me, Withdraw(settled.task)))
        answer = Answer(
            settled.task, settled.payload, told, settled.node, settled.attempt, settled.provisional
        )
        out += [ToClient(route, answer) for route in pending.routes]

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
        shard = shard_of_task(moved.task)
        self._view.doubt_owner(shard, node)
        if node == self._me:  # it was sent on, round to here: who was taken for the owner is not
            sometimes("a task came round to its own gateway")
            self._view.doubt_owner(shard, pending.placed_with)
        is_news = (
            self._view.learn_owner(shard, moved.term, moved.owner) and moved.owner != pending.placed_with
        )
        if is_news and self._view.owner_of_shard(shard) not in (None, pending.owner):
            self.owners_changed(now_ns, (shard,), out)  # the owner's own word will be no news any more
            return
        pending.owner = ""
        pending.was_refused_by(node)
        if self._view.owner_of_shard(shard) == pending.placed_with != "":
            sometimes("was sent back to the node that does not own the shard")
            self._look_again(now_ns, moved.task, pending, _ROUND_AGAIN_NS)  # two may each name the other
        else:
            self._place(now_ns, moved.task, pending, out)

    def owned_by(self, now_ns: int, node: str, told: OwnedBy, out: list[NodeEffect]) -> None:
        """A replica that was asked says who owns the shard, as far as it knows."""
        if told.owner != node:
            self._view.doubt_owner(told.shard, node)
        if self._view.learn_owner(told.shard, told.term, told.owner):
            self.owners_changed(now_ns, (told.shard,), out)

    def cancel(self, task: bytes, out: list[NodeEffect], *, route: bytes = b"", alone: bool = False) -> None:
        """Drops a task that its client, the one at `route`, no longer waits for; others may go on waiting.

        Not so if it is `alone`: then the others are connections that it had before, here or to other gateways.
        """
        pending = self._pending.get(task)
        if pending is not None and route and not alone:
            pending.routes = tuple(other for other in pending.routes if other != route)
            if pending.routes:
                return
        if pending is not None and pending.is_kept and not pending.owner and pending.may_be_known:
            sometimes("keeps a task that nobody wants, to withdraw it from whoever has it")
            pending.routes, pending.is_unwanted, pending.is_given_up = (), True, alone
            return
        self._forget(task)
        owner = "" if pending is None else pending.owner if pending.is_kept else self._me
        if owner:
            out.append(ToPeer(owner, Withdraw(task, alone=alone)))

    def owners_changed(self, now_ns: int, shards: Collection[int], out: list[NodeEffect]) -> None:
        """These shards have other owners: what waits for them is placed there."""
        for shard in shards:
            for task, pending in list(self._of_shard.get(shard, {}).items()):
                if not pending.is_apart:
                    self._place_again(now_ns, task, pending, out)

    def owner_gone(self, gone: str) -> None:
        """What was with a dead node waits for the next owner, who will say that it is one."""
        for pending in self._pending.values():
            if pending.owner == gone:
                pending.owner = ""

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Answers the tasks whose time is up and asks again about those that have been silent for long."""
        self._reach.look()
        for shard in self._asking.due(now_ns, self._is_wanted, out):
            for task, waiting in list(self._of_shard.get(shard, {}).items()):
                if not waiting.owner:
                    self._place_again(now_ns, task, waiting, out)
        for task in self._wheel.take_due(now_ns):
            pending = self._pending.get(task)
            if pending is None or now_ns < pending.resend_ns:
                continue
            if now_ns >= pending.deadline_ns:
                self._expire(task, pending, out)
                continue
            if pending.owner or not pending.is_kept:
                pending.resend_after_ns = min(2 * pending.resend_after_ns, _LONGEST_RESEND_NS)
            self._place_again(now_ns, task, pending, out)

    def next_deadline_ns(self) -> int | None:
        return earliest(self._wheel.next_deadline_ns(), self._asking.next_deadline_ns())

    # -- inside -----------------------------------------------------------------------------------------

    def _submit_again(self, route: bytes, submit: Submit, pending: Pending, out: list[NodeEffect]) -> None:
        """The client came back over another connection, or it is another one."""
        if (submit.agent, submit.key, submit.payload) != (pending.agent, pending.key, pending.payload):
            self.counters.refused += 1
            other = self._screening.failure("bad_input", _OTHER_TASK)
            out.append(ToClient(route, Answer(submit.task, None, other, self._me, 0)))
            return
        pending.is_unwanted = False
        if route not in pending.routes:
            sometimes("a second connection waits for a task")
            pending.routes = (*pending.routes, route)[-_MOST_ROUTES:]
        if submit.receipt and pending.is_taken:
            out.append(ToClient(route, Accepted(submit.task)))
        pending.wants_receipt = (submit.receipt or pending.wants_receipt) and not pending.is_taken

    def _admit(self, agent: str) -> Failure | None:
        match self._admission.admit(agent):
            case Overloaded(retry_after_ms=retry_after_ms, reason=reason):
                return self._screening.failure("overloaded", f"{reason}: try again later", retry_after_ms)
            case _:
                return None

    def _is_kept(self, submit: Submit) -> bool:
        """Whether the task's shard keeps it: what the call says, else what its agent says."""
        if submit.durability is Durability.OF_AGENT:
            offer = self._view.offer(submit.agent)
            return offer is None or offer.is_kept
        return submit.durability is Durability.REPLICATED

    def _place(self, now_ns: int, task: bytes, pending: Pending, out: list[NodeEffect]) -> None:
        """Gives the task to its owner; if nobody is known to be that, the shard's replicas are asked."""
        to = self._owner_for(now_ns, task, pending)
        if self._redirects.has_waited_in_vain(now_ns, task, pending):
            self._give_back(task, pending, out)
            return
        self._look_again(now_ns, task, pending, self._patience_ns(now_ns, task, pending))
        if not to:
            self._asking.want(now_ns, shard_of_task(task), out)
            return
        out.append(ToPeer(to, pending.placement(now_ns, task, self._me)))
        if not pending.is_apart:
            pending.placed, pending.placed_with = pending.placed + 1, to
        if pending.is_unwanted:  # whoever has it has to know that this gateway asks, to let it withdraw
            sometimes("placed a task only to withdraw it")
            out.append(ToPeer(to, Withdraw(task, alone=pending.is_given_up)))
            self._forget(task)

    def _place_again(self, now_ns: int, task: bytes, pending: Pending, out: list[NodeEffect]) -> None:
        self.counters.placed_again += pending.was_placed
        self._place(now_ns, task, pending, out)

    def _owner_for(self, now_ns: int, task: bytes, pending: Pending) -> str:
        """The owner, as far as known, else "".

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
        return pending.owner

    def _is_wanted(self, shard: int) -> bool:
        """Whether any task waits for an owner of the shard."""
        return any(not pending.owner for pending in self._of_shard.get(shard, {}).values())

    def _give_back(self, task: bytes, pending: Pending, out: list[NodeEffect]) -> None:
        self._forget(task)
        self.counters.steered += 1
        if pending.may_be_known:
            sometimes("gave a task back that an owner out of reach may have")
            refused = Refused("no_quorum", _OUT_OF_REACH, task, may_be_known=True)
        else:
            sometimes("gave a task back that had waited in vain for its shard")
            refused = Refused("no_quorum", _NO_QUORUM, task)
        out += (ToClient(route, refused) for route in pending.routes)

    def _take_on(self, now_ns: int, pending: Pending) -> None:
        """Has this node see to the task, if it may."""
        if pending.may_go_apart and self._apart is not None and self._apart.takes(now_ns):
            self.counters.apart += 1
            sometimes("took on a task, as its shard is not within reach")
            pending.is_apart = True

    def _patience_ns(self, now_ns: int, task: bytes, pending: Pending) -> int:
        """After how long a task without outcome is looked at again; an owner is found sooner (see `Asking`)."""
        shard = shard_of_task(task)
        after_ns = pending.resend_after_ns
        if not pending.is_kept or pending.is_apart:
            return after_ns
        if pending.may_go_apart and self._reach.is_lost(now_ns, shard):
            after_ns = _NOT_YET_APART_NS
        elif not pending.owner:
            after_ns = FIRST_RESEND_NS
        return min(after_ns, self._reach.lost_after_ns(now_ns, shard, after_ns))

    def _look_again(self, now_ns: int, task: bytes, pending: Pending, after_ns: int) -> None:
        pending.resend_ns = min(now_ns + after_ns, pending.deadline_ns)
        self._wheel.add(pending.resend_ns, task)

    def _expire(self, task: bytes, pending: Pending, out: list[NodeEffect]) -> None:
        self.counters.expired += 1
        sometimes("a gateway gave up on a task whose deadline had passed")
        if pending.is_kept:
            self._forget(task)  # its owner sees the deadline by itself
        else:
            self.cancel(task, out)
        effect = Effect.MAYBE if pending.may_be_known or pending.is_apart else Effect.NONE
        text = "no outcome before the deadline of the call"
        if pending.is_kept and not pending.is_apart and not pending.owner:
            shard = shard_of_task(task)
            text = f"no owner of shard {shard} could be reached before the deadline of the call: see `mesh shards`"
        expired = self._screening.failure("expired", text, effect=effect)
        out += (ToClient(route, Answer(task, None, expired, "", 0)) for route in pending.routes)

    def _forget(self, task: bytes) -> Pending | None:
        pending = self._pending.pop(task, None)
        if pending is not None:
            self._admission.finished(pending.agent)
            if pending.is_kept:
                self._forget_of_shard(shard_of_task(task), task)
        return pending

    def _forget_of_shard(self, shard: int, task: bytes) -> None:
        tasks = self._of_shard[shard]
        del tasks[task]
        if not tasks:
            del self._of_shard[shard]


def _doubted(told: Failure) -> Failure:
    """What is left of "no effect" when somebody else had the task before."""
    return msgspec.structs.replace(told, effect=Effect.MAYBE) if told.effect is Effect.NONE else told
