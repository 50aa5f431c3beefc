"""The course that a task's attempts take: who runs the next one, its order and repetitions, what follows its end.

    waits -> proposed -> decided: ordered -> ended -> proposed -> decided: finished, or the next one

An owner's tasks all take it; the owner (`owner.py`) says what begins it and what ends it.
"""

from __future__ import annotations

from collections.abc import Iterable

from hubless.effects import NodeEffect, ToPeer
from hubless.placement import Chosen, NoExecutor
from hubless.tasks.attempts import (
    Verdict,
    is_poison,
    is_said_by_all,
    judge,
    node_cut_off,
    node_gone,
    node_silent,
    nodes_left_out,
)
from hubless.tasks.counters import OwnerCounters
from hubless.tasks.dispatch import Dispatch
from hubless.tasks.entries import AttemptEnded, AttemptStarted, Expired, Follows
from hubless.tasks.live import FIRST_RESEND_NS, LONGEST_RESEND_NS, Live, Phase
from hubless.tasks.log import TaskLog
from hubless.tasks.outcomes import expired, never_ordered
from hubless.tasks.process import boot_of, node_of, process_name
from hubless.tasks.row import TERMINAL, Row, State
from hubless.tasks.wheel import Wheel
from hubless.view import View
from hubless.wire import Assign, Recall
from hubless_agents import Failure
from hubless_gossip.marks import sometimes

_MS = 1_000_000
_PARKED_RETRY_NS = 200 * _MS
_LONGEST_PARKED_NS = 2_000 * _MS
_WHEEL_WIDTH_NS = 50 * _MS
_MEETING_NS = 4_000 * _MS
"""How long a member that has just started may not know of another one that is there."""
_MEETING_LOOK_NS = 200 * _MS

DISMISSED = Failure(code="cancelled", message="nobody waits any more")
"""What a breaker is told of an attempt that was given up: it is no fault of the executor's."""


class Course:
    """The attempts of one owner's unfinished tasks.

    Args:
        epoch_ns: what turns this node's clock into unix time, in ns.
    """

    def __init__(
        self,
        *,
        me: str,
        view: View,
        log: TaskLog,
        dispatch: Dispatch,
        epoch_ns: int,
        counters: OwnerCounters,
    ) -> None:
        self._me = me
        self._view = view
        self._log = log
        self._dispatch = dispatch
        self._epoch_ns = epoch_ns
        self._counters = counters
        self._by_executor: dict[str, dict[bytes, Live]] = {}
        self._waiting: dict[bytes, Live] = {}
        self._wheel: Wheel[bytes] = Wheel(width_ns=_WHEEL_WIDTH_NS)

    # -- what there is ----------------------------------------------------------------------------------

    def running_on(self, node: str) -> list[Live]:
        """The tasks whose current attempt runs on a node."""
        return [live for live in self._by_executor.get(node, {}).values() if live.phase is Phase.RUNNING]

    def out_of_reach(self) -> list[str]:
        """The nodes that run something, and are suspected or cut off from this one."""
        return [node for node in self._by_executor if self._view.is_out_of_reach(node)]

    def unheard(self, node: str) -> Failure:
        """The failure of an attempt on a node that is out of reach."""
        return node_silent(node) if self._view.is_silent(node) else node_cut_off(node)

    def retries_of(self, live: Live) -> int:
        """What the agent allows now; nobody may have offered it when the task came."""
        offer = self._view.offer(live.agent)
        return live.retries if offer is None else offer.retries

    def may_move(self, live: Live) -> bool:
        """Whether a task that runs out of reach may be started elsewhere, and somebody is there for it."""
        row, chosen = self._log.row(live.task), live.chosen
        if row is None or chosen is None or not self.retries_of(live):
            return False
        return self._dispatch.can_go_elsewhere(live.agent, row.payload, chosen.node)

    def unix_ms(self, now_ns: int) -> int:
        """What time this node's clock means, as the log tells times."""
        return (now_ns + self._epoch_ns) // _MS

    # -- attempts ---------------------------------------------------------------------------------------

    def choose(self, now_ns: int, live: Live, payload: bytes) -> str:
        """Books an executor for the next attempt and names its process, or parks the task and names none."""
        choice = self._dispatch.choose(now_ns, live.agent, live.key, payload, live.avoid)
        if isinstance(choice, NoExecutor):
            self._park(now_ns, live, choice)
            return ""
        self._waiting.pop(live.task, None)
        live.phase = Phase.STARTING
        live.attempt += 1
        self._dispatch.started(now_ns, live.agent, choice, live.deadline_ns)
        self._book(live, choice)
        member = self._view.member(choice.node)
        return process_name(choice.node, 0 if member is None else member.boot)

    def start(self, now_ns: int, live: Live, out: list[NodeEffect]) -> None:
        """Proposes the next attempt of a task that waits, if somebody can take it."""
        row = self._log.row(live.task)
        if row is None or row.state is not State.QUEUED:
            live.due_ns = now_ns  # as soon as it is decided that the task waits
            return
        if now_ns >= live.deadline_ns:
            self.expire(now_ns, live, out)
            return
        live.attempt = row.attempt
        executor = self.choose(now_ns, live, row.payload)
        if not executor:
            return
        entry = AttemptStarted(live.task, live.attempt, executor, self.unix_ms(now_ns))
        if not self._log.propose(now_ns, live.task, entry):
            self._release(now_ns, live, DISMISSED, out)
            self._wait_until(live, now_ns + _PARKED_RETRY_NS)

    def start_waiting(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Tries again what found no executor; if one task finds none, the others of its agent are not tried now."""
        hopeless: set[str] = set()
        for live in list(self._waiting.values()):
            if live.agent not in hopeless:
                self.start(now_ns, live, out)
                if live.task in self._waiting and live.due_ns > now_ns:
                    hopeless.add(live.agent)

    def go_on(
        self, now_ns: int, live: Live, row: Row, out: list[NodeEffect], *, was_ordered: bool = False
    ) -> None:
        """What the log has decided is a running attempt, which is ordered, or a task that waits for one."""
        if live.phase in (Phase.ENDING, Phase.RUNNING) or row.state in TERMINAL:
            sometimes("the log decided about an attempt after its task had gone on")
            return  # a later entry was quicker: a cancellation, the deadline, a start
        if row.state is State.QUEUED:
            if live.task not in self._waiting or now_ns >= live.due_ns:
                self.start(now_ns, live, out)
            return
        if live.chosen is None:
            return
        if was_ordered:
            live.phase = Phase.RUNNING
        if now_ns >= live.deadline_ns:
            self.expire(now_ns, live, out)
            return
        live.phase = Phase.RUNNING
        self._counters.attempts += 1
        self._order(now_ns, live, row, live.chosen.node, out, was_ordered=was_ordered)

    def resume(self, now_ns: int, live: Live, row: Row, out: list[NodeEffect]) -> None:
        """Goes on with an attempt that another owner has ordered."""
        node = node_of(row.executor)
        live.attempt = row.attempt
        self._book(live, self._dispatch.resumed(now_ns, row.agent, node, live.deadline_ns))
        self.go_on(now_ns, live, row, out, was_ordered=True)

    def conclude(
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
                executor = self.choose(now_ns, live, row.payload)
        at_ms = self.unix_ms(now_ns)
        entry = AttemptEnded(live.task, row.attempt, payload, failure, at_ms, follows, executor)
        if not self._log.propose(now_ns, live.task, entry):
            # The outcome is not written down, so it has not happened yet: the executor will be asked again.
            sometimes("a log did not take an outcome, whose executor will be asked again")
            self._release(now_ns, live, DISMISSED, out)
            self._waiting.pop(live.task, None)
            live.attempt, live.phase = row.attempt, Phase.RUNNING
            self._book(live, self._dispatch.resumed(now_ns, live.agent, chosen.node, live.deadline_ns))
            self._time(live, now_ns + FIRST_RESEND_NS)

    def expire(self, now_ns: int, live: Live, out: list[NodeEffect]) -> None:
        failure = expired(self._me, is_running=live.phase is Phase.RUNNING)
        if self._log.propose(now_ns, live.task, Expired(live.task, failure, self.unix_ms(now_ns))):
            self._counters.expired += 1
            sometimes("a task expired before it had an outcome")
            self.stop(now_ns, live, failure, out)
        else:
            live.due_ns = now_ns + FIRST_RESEND_NS
            self._wheel.add(live.due_ns, live.task)

    def stop(self, now_ns: int, live: Live, failure: Failure, out: list[NodeEffect]) -> None:
        """Tells the executor, if one is at work, that nobody waits any more. A breaker is told `failure`."""
        if live.phase is Phase.RUNNING and live.chosen is not None:
            recall = Recall(live.task, live.attempt, self._log.term(live.task))
            out.append(ToPeer(live.chosen.node, recall))
        self._release(now_ns, live, failure, out)
        self._waiting.pop(live.task, None)
        live.phase = Phase.ENDING

    def drop(self, now_ns: int, live: Live, out: list[NodeEffect]) -> None:
        """Lets go of a task that has ended, or is somebody else's; what is held for it is given back."""
        self._release(now_ns, live, DISMISSED, out)
        self._waiting.pop(live.task, None)

    # -- time -------------------------------------------------------------------------------------------

    def due(self, now_ns: int) -> Iterable[bytes]:
        """The tasks that are to be looked at, some of which may have ended long ago."""
        return self._wheel.take_due(now_ns)

    def next_deadline_ns(self) -> int | None:
        return self._wheel.next_deadline_ns()

    def look(self, now_ns: int, live: Live, out: list[NodeEffect]) -> None:
        """Expires the task, repeats its order, or tries again to start it, if it is time to."""
        if now_ns < live.due_ns:
            return
        if now_ns >= live.deadline_ns and live.phase is not Phase.ENDING:
            self.expire(now_ns, live, out)
        elif live.phase is Phase.RUNNING:
            self._repeat_order(now_ns, live, out)
        elif live.phase is Phase.WAITING:
            self.start(now_ns, live, out)

    # -- inside -----------------------------------------------------------------------------------------

    def _park(self, now_ns: int, live: Live, why: NoExecutor) -> None:
        """Keeps the task until somebody can take it; a task that waits already keeps the one timer that it has."""
        live.avoid = frozenset()
        if live.task in self._waiting and now_ns < live.due_ns:
            return
        due_ns = now_ns + _PARKED_RETRY_NS
        if why.not_offered:
            sometimes("a task waits, as nobody offers its agent just now")
            due_ns = live.deadline_ns  # whoever comes to offer it is a change of the view
        elif why.retry_at_ns is not None and why.refused == why.offering:
            due_ns = min(max(due_ns, why.retry_at_ns), now_ns + _LONGEST_PARKED_NS)
        elif why.not_taking == why.offering:
            due_ns = now_ns + _LONGEST_PARKED_NS  # so is whoever takes work again
        self._wait_until(live, due_ns)

    def _wait_until(self, live: Live, due_ns: int) -> None:
        live.phase = Phase.WAITING
        self._waiting[live.task] = live
        self._time(live, due_ns)

    def _order(
        self, now_ns: int, live: Live, row: Row, node: str, out: list[NodeEffect], *, was_ordered: bool
    ) -> None:
        """Orders the attempt, or ends it if it has lost its node, which is not said of a node that is unknown yet."""
        if was_ordered and self._view.member(node) is None:
            sometimes("a new owner does not know the node of an attempt yet")
            live.unmet_until_ns = now_ns + _MEETING_NS
            self._time(live, now_ns + _MEETING_LOOK_NS)
            return
        is_here = node == self._me and not was_ordered  # chosen by this very process
        if not is_here and not self._is_there(row.executor):
            if not was_ordered:
                sometimes("the node of an attempt was lost before it was ordered")
            lost = node_gone(node) if was_ordered else never_ordered(node)
            self.conclude(now_ns, live, None, lost, out)
            return
        if was_ordered and self._view.is_out_of_reach(node) and self.may_move(live):
            self.conclude(now_ns, live, None, self.unheard(node), out)
            return
        live.resend_after_ns = FIRST_RESEND_NS
        self._time(live, now_ns + FIRST_RESEND_NS)
        out.append(ToPeer(node, self._assign(now_ns, live, row)))

    def _repeat_order(self, now_ns: int, live: Live, out: list[NodeEffect]) -> None:
        """A long silence: the order may be lost, or the answer. The executor runs the attempt, or knows its end."""
        row = self._log.row(live.task)
        if row is None or live.chosen is None:
            return
        if now_ns < live.unmet_until_ns and self._view.member(live.chosen.node) is None:
            self._time(live, now_ns + _MEETING_LOOK_NS)
            return
        if not self._is_there(row.executor):
            sometimes("found out at a repetition that the node of an attempt is gone")
            self.conclude(now_ns, live, None, node_gone(live.chosen.node), out)
            return
        if self._view.is_out_of_reach(live.chosen.node) and self.may_move(live):
            self.conclude(now_ns, live, None, self.unheard(live.chosen.node), out)
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
            row.submitted_ms,
            boot_of(row.executor),
        )

    def _verdict(self, live: Live, row: Row, executor: str, failure: Failure) -> Follows:
        """What follows a failed attempt; if it is another one, `live.avoid` says where not."""
        earlier = row.recent_failures
        verdict = judge(failure, attempt=row.tries, earlier=earlier, retries=self.retries_of(live))
        offering = self._view.agent_ring(live.agent).nodes
        if verdict is Verdict.FINAL or is_said_by_all(failure, live.avoid | {executor}, offering):
            if not is_poison((*earlier, failure)):
                return Follows.DONE
            sometimes("a task that kills its workers became a dead letter")
            return Follows.DEAD
        live.avoid = nodes_left_out(failure, live.avoid, offering, executor)
        return Follows.AGAIN

    def _book(self, live: Live, chosen: Chosen) -> None:
        live.chosen = chosen
        self._by_executor.setdefault(chosen.node, {})[live.task] = live

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

    def _time(self, live: Live, due_ns: int) -> None:
        """Looks at the task again at `due_ns`, and at its deadline if that comes first."""
        live.due_ns = min(due_ns, live.deadline_ns)
        self._wheel.add(live.due_ns, live.task)

    def _is_there(self, process: str) -> bool:
        node = node_of(process)
        member = self._view.member(node)
        return self._view.is_present(node) and member is not None and member.boot == boot_of(process)
