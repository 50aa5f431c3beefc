"""The owner: sees to the tasks of its shards, gives each attempt to an executor, and decides the one outcome.

Every change of a task is an entry of a log (`log.py`). The owner proposes, and acts on what the log has decided: an
order leaves after its attempt is written down, an outcome is told after it is. So whoever owns the shard next, with
the same rows, goes on where this one stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hubless.effects import NodeEffect, ToPeer
from hubless.placement import NoExecutor
from hubless.tasks.attempts import (
    LONGEST_DEADLINE_MS,
    NODE_GONE,
    Verdict,
    is_poison,
    is_said_by_all,
    judge,
    node_gone,
    node_silent,
    nodes_left_out,
)
from hubless.tasks.dispatch import Dispatch
from hubless.tasks.entries import (
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Entry,
    Expired,
    Follows,
    Retried,
    Submitted,
)
from hubless.tasks.live import FIRST_RESEND_NS, LONGEST_RESEND_NS, Live, Phase
from hubless.tasks.log import TaskLog
from hubless.tasks.outcomes import expired, never_ordered, refusal, settled
from hubless.tasks.process import boot_of, node_of, process_name
from hubless.tasks.row import TERMINAL, Row, State
from hubless.tasks.wheel import Wheel
from hubless.view import View
from hubless.wire import Assign, Ended, Place, Recall, Settled, Taken
from hubless_agents import Failure

_MS = 1_000_000
_PARKED_RETRY_NS = 200 * _MS
_LONGEST_PARKED_NS = 2_000 * _MS
_WHEEL_WIDTH_NS = 50 * _MS
MOST_LIVE = 100_000

_DISMISSED = Failure(code="cancelled", message="nobody waits any more")
"""What a breaker is told of an attempt that was given up: it is no fault of the executor's."""


@dataclass(slots=True)
class OwnerCounters:
    """What became of the tasks that gateways placed here.

    `recognised` counts placements of a task that is here already, `fenced` outcomes of another attempt than the
    current one, `redispatched` attempts that were lost with their node, `taken_over` unfinished tasks of shards that
    this node came to own, `given_up` those of shards that it lost.
    """

    placed: int = 0
    recognised: int = 0
    attempts: int = 0
    fenced: int = 0
    refused: int = 0
    redispatched: int = 0
    settled: int = 0
    expired: int = 0
    taken_over: int = 0
    given_up: int = 0


class Owner:
    """The tasks that this node decides about.

    Args:
        epoch_ns: what turns this node's clock into unix time, in ns.
    """

    def __init__(self, *, me: str, view: View, log: TaskLog, dispatch: Dispatch, epoch_ns: int) -> None:
        self._me = me
        self._view = view
        self._log = log
        self._dispatch = dispatch
        self._epoch_ns = epoch_ns
        self._live: dict[bytes, Live] = {}
        self._by_executor: dict[str, dict[bytes, None]] = {}
        self._wheel: Wheel[bytes] = Wheel(width_ns=_WHEEL_WIDTH_NS)
        self._waiting: dict[bytes, None] = {}
        self.counters = OwnerCounters()

    def __len__(self) -> int:
        return len(self._live)

    def knows(self, task: bytes) -> bool:
        """Whether the task is, or lately was, this owner's."""
        return task in self._live or self._log.row(task) is not None

    # -- gateways ---------------------------------------------------------------------------------------

    def place(self, now_ns: int, place: Place, out: list[NodeEffect]) -> None:
        """Accepts a task, or recognises it and repeats what is known of it. All gateways that ask are told."""
        row = self._log.row(place.task)
        live = self._live.get(place.task)
        if row is not None or live is not None:
            self.counters.recognised += 1
            self._recognise(place, row, live, out)
            return
        problem = refusal(self._me, self._view, place, len(self._live), MOST_LIVE)
        if problem is not None:
            self._refuse(place, problem, out)
            return
        offer = self._view.offer(place.agent)
        deadline_ms = min(place.deadline_ms, LONGEST_DEADLINE_MS)
        live = Live(
            place.task,
            place.agent,
            place.key.encode() or place.task,
            0 if offer is None else offer.retries,
            now_ns + deadline_ms * _MS,
            gateways=(place.gateway,),
            payload=place.payload,
        )
        if place.receipt or place.trail:
            live.receipts.append(place.gateway)
        executor = self._choose(now_ns, live, place.payload)
        entry = Submitted(
            place.task,
            place.agent,
            place.key,
            place.payload,
            self._unix_ms(now_ns),
            self._unix_ms(now_ns) + deadline_ms,
            live.retries,
            executor,
        )
        if not self._log.propose(now_ns, place.task, entry):
            self._waiting.pop(place.task, None)
            self._release(now_ns, live, _DISMISSED, out)
            return  # the gateway asks again, here or elsewhere
        self.counters.placed += 1
        self._live[place.task] = live

    def withdraw(self, now_ns: int, gateway: str, task: bytes, out: list[NodeEffect]) -> None:
        """A gateway's client no longer wants the task. When nobody does it is cancelled."""
        live = self._live.get(task)
        if live is None or gateway not in live.gateways:
            return
        live.gateways = tuple(other for other in live.gateways if other != gateway)
        if not live.gateways:
            self.cancel(now_ns, task, out)

    # -- operators --------------------------------------------------------------------------------------

    def cancel(self, now_ns: int, task: bytes, out: list[NodeEffect]) -> bool:
        """Ends an unfinished task, whoever waits for it; False if there is none, or the log takes nothing."""
        live = self._live.get(task)
        if live is None or not self._log.propose(now_ns, task, Cancelled(task, self._unix_ms(now_ns))):
            return False
        self._stop(now_ns, live, _DISMISSED, out)
        return True

    def retry(self, now_ns: int, task: bytes) -> bool:
        """Queues a task again that ended without a result, with as much time as it had; False if there is none."""
        row = self._log.row(task)
        if row is None or task in self._live or row.state not in TERMINAL or row.state is State.SUCCEEDED:
            return False
        at_ms = self._unix_ms(now_ns)
        patience_ms = max(row.deadline_ms - row.submitted_ms, self._view.default_deadline_ms(row.agent))
        return self._log.propose(now_ns, task, Retried(task, at_ms, at_ms + patience_ms))

    # -- executors --------------------------------------------------------------------------------------

    def ended(self, now_ns: int, executor: str, ended: Ended, out: list[NodeEffect]) -> None:
        """Takes the outcome of an attempt; one that is not the current attempt's is fenced off and counted."""
        live = self._live.get(ended.task)
        if (
            live is None
            or live.phase is not Phase.RUNNING
            or live.attempt != ended.attempt
            or live.chosen is None
            or live.chosen.node != executor
        ):
            self.counters.fenced += 1
            return
        self._conclude(now_ns, live, ended.payload, ended.failure, out)

    def peer_gone(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """Gives the attempts that ran on a dead node to others, at once."""
        for task in list(self._by_executor.get(node, ())):
            live = self._live[task]
            if live.phase is Phase.RUNNING:
                self.counters.redispatched += 1
                self._conclude(now_ns, live, None, node_gone(node), out)

    def peer_silent(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """Gives the attempts on a node that is suspected to others, if their agents may be started twice.

        Silence takes seconds to become a death. Should the node live, its outcomes come too late to count.
        """
        for task in list(self._by_executor.get(node, ())):
            live = self._live[task]
            if live.phase is Phase.RUNNING and self._retries_of(live):
                self.counters.redispatched += 1
                self._conclude(now_ns, live, None, node_silent(node), out)

    def view_changed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Tries again to place what found no executor."""
        for task in list(self._waiting):
            self._start(now_ns, self._live[task], out)

    # -- time -------------------------------------------------------------------------------------------

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Expires, repeats orders that have been silent for long, tries again to place what waits."""
        for task in self._wheel.take_due(now_ns):
            live = self._live.get(task)
            if live is None or now_ns < live.due_ns:
                continue
            if now_ns >= live.deadline_ns and live.phase is not Phase.ENDING:
                self._expire(now_ns, live, out)
            elif live.phase is Phase.RUNNING:
                self._repeat_order(now_ns, live, out)
            elif live.phase is Phase.WAITING:
                self._start(now_ns, live, out)

    def next_deadline_ns(self) -> int | None:
        return self._wheel.next_deadline_ns()

    # -- the log ----------------------------------------------------------------------------------------

    def decided(self, now_ns: int, entry: Entry, row: Row | None, out: list[NodeEffect]) -> None:
        """Acts on an entry that can no longer be lost. `row` is None when it did not fit."""
        if row is None:
            return
        live = self._live.get(row.task)
        match entry:
            case Submitted() if live is not None:
                out += (ToPeer(gateway, Taken(row.task)) for gateway in live.receipts)
                live.receipts.clear()
                live.payload = b""
                self._go_on(now_ns, live, row, out)
            case AttemptStarted() if live is not None:
                self._go_on(now_ns, live, row, out)
            case AttemptEnded(follows=Follows.AGAIN) if live is not None and row.state not in TERMINAL:
                why = entry.failure
                if why is not None and why.code == NODE_GONE and self._view.is_silent(why.where):
                    # Not sooner: undecided, it is the attempt that counts, and a next owner may ask for it.
                    out.append(ToPeer(why.where, Recall(row.task, entry.attempt, self._log.term(row.task))))
                self._go_on(now_ns, live, row, out)
            case Retried():
                self._start(now_ns, self._known(now_ns, row), out)
            case _ if row.state in TERMINAL and live is not None:
                self._finish(now_ns, live, row, out)
            case _:
                pass

    def took_over(self, now_ns: int, rows: Iterable[Row], out: list[NodeEffect]) -> None:
        """Goes on with the unfinished tasks of a shard that this node has come to own.

        An attempt that runs in a process which is still there stays what it is: its executor tells this owner, too.
        """
        for row in list(rows):
            self.counters.taken_over += 1
            live = self._known(now_ns, row)
            if row.state is State.QUEUED:
                self._start(now_ns, live, out)
                continue
            live.attempt = row.attempt
            node = node_of(row.executor)
            live.chosen = self._dispatch.resumed(now_ns, row.agent, node, live.deadline_ns)
            self._by_executor.setdefault(node, {})[row.task] = None
            self._go_on(now_ns, live, row, out, was_ordered=True)

    def gave_up(self, now_ns: int, shard: int, out: list[NodeEffect]) -> None:
        """Lets go of the tasks of a shard that this node no longer owns."""
        prefix = shard.to_bytes(2, "big")
        for task in [task for task in self._live if task.startswith(prefix)]:
            self.counters.given_up += 1
            live = self._live.pop(task)
            self._waiting.pop(task, None)
            self._release(now_ns, live, _DISMISSED, out)

    # -- attempts ---------------------------------------------------------------------------------------

    def _known(self, now_ns: int, row: Row) -> Live:
        """A task that was not placed here but came with its row."""
        deadline_ns = now_ns + (row.deadline_ms - self._unix_ms(now_ns)) * _MS
        live = Live(row.task, row.agent, row.key.encode() or row.task, row.retries, deadline_ns)
        live.attempt = row.attempt
        self._live[row.task] = live
        return live

    def _choose(self, now_ns: int, live: Live, payload: bytes) -> str:
        """Books an executor for the next attempt and names its process, or parks the task and names none."""
        choice = self._dispatch.choose(now_ns, live.agent, live.key, payload, live.avoid)
        if isinstance(choice, NoExecutor):
            self._park(now_ns, live, choice)
            return ""
        self._waiting.pop(live.task, None)
        live.phase = Phase.STARTING
        live.attempt += 1
        live.chosen = choice
        self._dispatch.started(now_ns, live.agent, choice, live.deadline_ns)
        self._by_executor.setdefault(choice.node, {})[live.task] = None
        member = self._view.member(choice.node)
        return process_name(choice.node, 0 if member is None else member.boot)

    def _start(self, now_ns: int, live: Live, out: list[NodeEffect]) -> None:
        """Proposes the next attempt of a task that waits, if somebody can take it."""
        row = self._log.row(live.task)
        if row is None or row.state is not State.QUEUED:
            live.due_ns = now_ns  # as soon as it is decided that the task waits
            return
        if now_ns >= live.deadline_ns:
            self._expire(now_ns, live, out)
            return
        live.attempt = row.attempt
        executor = self._choose(now_ns, live, row.payload)
        if not executor:
            return
        entry = AttemptStarted(live.task, live.attempt, executor, self._unix_ms(now_ns))
        if not self._log.propose(now_ns, live.task, entry):
            self._release(now_ns, live, _DISMISSED, out)
            self._wait_until(live, now_ns + _PARKED_RETRY_NS)

    def _park(self, now_ns: int, live: Live, why: NoExecutor) -> None:
        """Keeps the task until somebody can take it; a task that waits already keeps the one timer that it has."""
        live.avoid = frozenset()
        if live.task in self._waiting and now_ns < live.due_ns:
            return
        due_ns = now_ns + _PARKED_RETRY_NS
        if why.not_offered:
            due_ns = live.deadline_ns  # whoever comes to offer it is a change of the view
        elif why.retry_at_ns is not None and why.refused == why.offering:
            due_ns = min(max(due_ns, why.retry_at_ns), now_ns + _LONGEST_PARKED_NS)
        self._wait_until(live, due_ns)

    def _wait_until(self, live: Live, due_ns: int) -> None:
        live.phase = Phase.WAITING
        self._waiting[live.task] = None
        self._time(live, due_ns)

    def _go_on(
        self, now_ns: int, live: Live, row: Row, out: list[NodeEffect], *, was_ordered: bool = False
    ) -> None:
        """What the log has decided is a running attempt, which is ordered, or a task that waits for one."""
        if live.phase in (Phase.ENDING, Phase.RUNNING) or row.state in TERMINAL:
            return  # a later entry was quicker: a cancellation, the deadline, a start
        if row.state is State.QUEUED:
            if live.task not in self._waiting or now_ns >= live.due_ns:
                self._start(now_ns, live, out)
            return
        if live.chosen is None:
            return
        if was_ordered:
            live.phase = Phase.RUNNING
        if now_ns >= live.deadline_ns:
            self._expire(now_ns, live, out)
            return
        live.phase = Phase.RUNNING
        self.counters.attempts += 1
        node = live.chosen.node
        if not self._is_there(row.executor):
            lost = node_gone(node) if was_ordered else never_ordered(node)
            self._conclude(now_ns, live, None, lost, out)
            return
        if was_ordered and self._view.is_silent(node) and self._retries_of(live):
            self._conclude(now_ns, live, None, node_silent(node), out)
            return
        live.resend_after_ns = FIRST_RESEND_NS
        self._time(live, now_ns + FIRST_RESEND_NS)
        out.append(ToPeer(node, self._assign(now_ns, live, row)))

    def _repeat_order(self, now_ns: int, live: Live, out: list[NodeEffect]) -> None:
        """A long silence: the order may be lost, or the answer. The executor runs the attempt, or knows its end."""
        row = self._log.row(live.task)
        if row is None or live.chosen is None:
            return
        if not self._is_there(row.executor):
            self._conclude(now_ns, live, None, node_gone(live.chosen.node), out)
            return
        live.resend_after_ns = min(2 * live.resend_after_ns, LONGEST_RESEND_NS)
        self._time(live, now_ns + live.resend_after_ns)
        if live.chosen.node != self._me or self._log.term(
            live.task
        ):  # whose log may not have taken the outcome
            out.append(ToPeer(live.chosen.node, self._assign(now_ns, live, row)))

    def _assign(self, now_ns: int, live: Live, row: Row) -> Assign:
        remaining_ms = max(1, (live.deadline_ns - now_ns) // _MS)
        return Assign(
            row.task,
            row.attempt,
            row.agent,
            row.payload,
            remaining_ms,
            row.recent_failures,
            self._log.term(row.task),
        )

    def _conclude(
        self, now_ns: int, live: Live, payload: bytes | None, failure: Failure | None, out: list[NodeEffect]
    ) -> None:
        """Proposes the end of the current attempt, and with it what follows."""
        chosen, row = live.chosen, self._log.row(live.task)
        if chosen is None or row is None:
            return
        self._release(now_ns, live, failure, out)
        live.phase = Phase.ENDING
        follows, executor = Follows.DONE, ""
        if failure is not None:
            follows = self._verdict(live, row, chosen.node, failure)
            if follows is Follows.AGAIN:
                executor = self._choose(now_ns, live, row.payload)
        at_ms = self._unix_ms(now_ns)
        entry = AttemptEnded(live.task, row.attempt, payload, failure, at_ms, follows, executor)
        if not self._log.propose(now_ns, live.task, entry):
            # The outcome is not written down, so it has not happened yet: the executor will be asked again.
            self._release(now_ns, live, _DISMISSED, out)
            self._waiting.pop(live.task, None)
            live.attempt, live.phase = row.attempt, Phase.RUNNING
            live.chosen = self._dispatch.resumed(now_ns, live.agent, chosen.node, live.deadline_ns)
            self._by_executor.setdefault(chosen.node, {})[live.task] = None
            self._time(live, now_ns + FIRST_RESEND_NS)

    def _verdict(self, live: Live, row: Row, executor: str, failure: Failure) -> Follows:
        """What follows a failed attempt; if it is another one, `live.avoid` says where not."""
        earlier = row.recent_failures
        verdict = judge(failure, attempt=row.tries, earlier=earlier, retries=self._retries_of(live))
        offering = self._view.agent_ring(live.agent).nodes
        if verdict is Verdict.FINAL or is_said_by_all(failure, live.avoid | {executor}, offering):
            return Follows.DEAD if is_poison((*earlier, failure)) else Follows.DONE
        live.avoid = nodes_left_out(failure, live.avoid, offering, executor)
        return Follows.AGAIN

    def _retries_of(self, live: Live) -> int:
        """What the agent allows now; nobody may have offered it when the task came."""
        offer = self._view.offer(live.agent)
        return live.retries if offer is None else offer.retries

    def _release(self, now_ns: int, live: Live, failure: Failure | None, out: list[NodeEffect]) -> None:
        """Gives back what the current attempt, if any, holds: its load and its breaker's permit."""
        chosen, live.chosen = live.chosen, None
        if chosen is None:
            return
        tasks = self._by_executor.get(chosen.node)
        if tasks is not None:
            tasks.pop(live.task, None)
            if not tasks:
                del self._by_executor[chosen.node]
        self._dispatch.finished(now_ns, live.agent, chosen, failure, out)

    def _expire(self, now_ns: int, live: Live, out: list[NodeEffect]) -> None:
        failure = expired(self._me, is_running=live.phase is Phase.RUNNING)
        if self._log.propose(now_ns, live.task, Expired(live.task, failure, self._unix_ms(now_ns))):
            self.counters.expired += 1
            self._stop(now_ns, live, failure, out)
        else:
            live.due_ns = now_ns + FIRST_RESEND_NS
            self._wheel.add(live.due_ns, live.task)

    def _stop(self, now_ns: int, live: Live, failure: Failure, out: list[NodeEffect]) -> None:
        """Tells the executor, if one is at work, that nobody waits any more. A breaker is told `failure`."""
        if live.phase is Phase.RUNNING and live.chosen is not None:
            recall = Recall(live.task, live.attempt, self._log.term(live.task))
            out.append(ToPeer(live.chosen.node, recall))
        self._release(now_ns, live, failure, out)
        self._waiting.pop(live.task, None)
        live.phase = Phase.ENDING

    # -- outcomes ---------------------------------------------------------------------------------------

    def _finish(self, now_ns: int, live: Live, row: Row, out: list[NodeEffect]) -> None:
        # Something is held still if an outcome from elsewhere was quicker than the attempt here.
        self._release(now_ns, live, _DISMISSED, out)
        self._waiting.pop(row.task, None)
        del self._live[row.task]
        for gateway in live.gateways:
            self.counters.settled += 1
            out.append(ToPeer(gateway, settled(self._me, row)))

    def _recognise(self, place: Place, row: Row | None, live: Live | None, out: list[NodeEffect]) -> None:
        known = live if row is None else row
        if known is not None and not known.is_same(place.agent, place.key, place.payload):
            text = "the id or idempotency key of this task belongs to another task already: use a fresh one"
            self._refuse(place, Failure(code="bad_input", message=text, where=f"owner {self._me}"), out)
            return
        if row is not None and row.state in TERMINAL and live is None:
            self.counters.settled += 1
            out.append(ToPeer(place.gateway, settled(self._me, row)))
            return
        if live is None:
            return  # decided, and about to be taken over
        live.tell(place.gateway)
        if row is not None:
            out.append(ToPeer(place.gateway, Taken(place.task)))
        elif place.gateway not in live.receipts:
            live.receipts.append(place.gateway)

    def _refuse(self, place: Place, problem: Failure, out: list[NodeEffect]) -> None:
        self.counters.refused += 1
        out.append(ToPeer(place.gateway, Settled(place.task, None, problem, "", 0)))

    # -- time -------------------------------------------------------------------------------------------

    def _time(self, live: Live, due_ns: int) -> None:
        """Looks at the task again at `due_ns`, and at its deadline if that comes first."""
        live.due_ns = min(due_ns, live.deadline_ns)
        self._wheel.add(live.due_ns, live.task)

    def _unix_ms(self, now_ns: int) -> int:
        return (now_ns + self._epoch_ns) // _MS

    def _is_there(self, process: str) -> bool:
        node = node_of(process)
        member = self._view.member(node)
        return self._view.is_present(node) and member is not None and member.boot == boot_of(process)
