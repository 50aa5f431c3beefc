"""The owner: sees to the tasks of its shards, gives each attempt to an executor, and decides the one outcome.

Every change of a task is an entry of a log (`log.py`). The owner proposes, and acts on what the log has decided: an
order leaves after its attempt is written down, an outcome is told after it is. So whoever owns the shard next, with
the same rows, goes on where this one stopped.
"""

from __future__ import annotations

from collections.abc import Iterable

from hubless.deadlines import earliest
from hubless.effects import NodeEffect, ToPeer
from hubless.tasks.attempts import LONGEST_DEADLINE_MS, NODE_GONE, node_gone
from hubless.tasks.counters import OwnerCounters
from hubless.tasks.course import DISMISSED, Course
from hubless.tasks.dispatch import Dispatch
from hubless.tasks.entries import (
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Entry,
    Follows,
    Merged,
    Retried,
    Submitted,
)
from hubless.tasks.live import Live, Phase
from hubless.tasks.log import TaskLog
from hubless.tasks.merging import MERGE_DEADLINE_MS, Ask, Done, Merging
from hubless.tasks.outcomes import refusal, settled
from hubless.tasks.row import TERMINAL, Row, State
from hubless.view import View
from hubless.wire import Ended, Place, Recall, Settled, Taken
from hubless_agents import Failure
from hubless_gossip.marks import sometimes

_MS = 1_000_000
_SHARD_BYTES = 2
MOST_LIVE = 100_000


class Owner:
    """The tasks that this node decides about.

    Args:
        epoch_ns: what turns this node's clock into unix time, in ns.
    """

    def __init__(self, *, me: str, view: View, log: TaskLog, dispatch: Dispatch, epoch_ns: int) -> None:
        self._me = me
        self._view = view
        self._log = log
        self._live: dict[bytes, Live] = {}
        self._of_shard: dict[bytes, dict[bytes, Live]] = {}
        self.counters = OwnerCounters()
        self._course = Course(
            me=me, view=view, log=log, dispatch=dispatch, epoch_ns=epoch_ns, counters=self.counters
        )
        self._merging = Merging(view=view, log=log)

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
        is_forgotten = place.age_ms > 0 and self._log.may_have_forgotten(
            place.task, self._course.unix_ms(now_ns) - place.age_ms
        )
        problem = refusal(self._me, self._view, place, len(self._live), MOST_LIVE, is_forgotten=is_forgotten)
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
            live.receipts = (place.gateway,)
        if self._submit(now_ns, live, place.key, deadline_ms, out):
            self.counters.placed += 1  # else the gateway asks again, here or elsewhere

    def withdraw(
        self, now_ns: int, gateway: str, task: bytes, out: list[NodeEffect], *, alone: bool = False
    ) -> None:
        """A gateway's client no longer wants the task. When nobody does, or can (`alone`), it is cancelled."""
        live = self._live.get(task)
        if live is None or (gateway not in live.gateways and not alone):
            return
        if alone:
            live.gateways = ()
        live.gateways = tuple(other for other in live.gateways if other != gateway)
        if not live.gateways:
            sometimes("cancelled a task that no gateway waits for any more")
            self.cancel(now_ns, task, out)

    # -- operators --------------------------------------------------------------------------------------

    def cancel(self, now_ns: int, task: bytes, out: list[NodeEffect]) -> bool:
        """Ends an unfinished task, whoever waits for it; False if there is none, or the log takes nothing."""
        live = self._live.get(task)
        if live is None or not self._log.propose(now_ns, task, Cancelled(task, self._course.unix_ms(now_ns))):
            return False
        self._course.stop(now_ns, live, DISMISSED, out)
        return True

    def retry(self, now_ns: int, task: bytes) -> bool:
        """Queues a task again that ended without a result, with as much time as it had; False if there is none."""
        row = self._log.row(task)
        if row is None or task in self._live or row.state not in TERMINAL or row.state is State.SUCCEEDED:
            return False
        at_ms = self._course.unix_ms(now_ns)
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
            sometimes("fenced a late result of an old attempt")
            return
        self._course.conclude(now_ns, live, ended.payload, ended.failure, out)

    def peer_gone(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """Gives the attempts that ran on a dead node to others, at once."""
        for live in self._course.running_on(node):
            self.counters.redispatched += 1
            sometimes("gave an attempt of a dead node to another")
            self._course.conclude(now_ns, live, None, node_gone(node), out)

    def peer_silent(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """Gives the attempts on a node that is suspected, or cut off from this one, to others, if they may be started
        twice and others are there.

        Silence takes seconds to become a death, and a cut may never end. Should the node live, its outcomes come too
        late to count.
        """
        for live in self._course.running_on(node):
            if self._course.may_move(live):
                self.counters.redispatched += 1
                sometimes("did not wait for a silent node, and started its attempt elsewhere")
                self._course.conclude(now_ns, live, None, self._course.unheard(node), out)

    def view_changed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Tries again to place what found no executor, or no other one than a node that is out of reach."""
        self._course.start_waiting(now_ns, out)
        for node in self._course.out_of_reach():
            self.peer_silent(now_ns, node, out)

    # -- time -------------------------------------------------------------------------------------------

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Expires, repeats orders that have been silent for long, tries again to place what waits."""
        for task in self._course.due(now_ns):
            live = self._live.get(task)
            if live is not None:
                self._course.look(now_ns, live, out)
        for row in self._merging.due(now_ns):
            self._merge(now_ns, row, out)

    def next_deadline_ns(self) -> int | None:
        return earliest(self._course.next_deadline_ns(), self._merging.next_deadline_ns())

    # -- the log ----------------------------------------------------------------------------------------

    def decided(self, now_ns: int, entry: Entry, row: Row | None, out: list[NodeEffect]) -> None:
        """Acts on an entry that can no longer be lost. `row` is None when it did not fit."""
        if row is None:
            return
        live = self._live.get(row.task)
        match entry:
            case Submitted() if live is not None:
                out += (ToPeer(gateway, Taken(row.task)) for gateway in live.receipts)
                live.receipts, live.payload = (), b""
                self._course.go_on(now_ns, live, row, out)
            case AttemptStarted() if live is not None:
                self._course.go_on(now_ns, live, row, out)
            case AttemptEnded(follows=Follows.AGAIN) if live is not None and row.state not in TERMINAL:
                why = entry.failure
                if why is not None and why.code == NODE_GONE and self._view.is_out_of_reach(why.where):
                    # Not sooner: undecided, it is the attempt that counts, and a next owner may ask for it.
                    sometimes("recalled an attempt from a silent node, as another was decided")
                    out.append(ToPeer(why.where, Recall(row.task, entry.attempt, self._log.term(row.task))))
                self._course.go_on(now_ns, live, row, out)
            case Retried():
                sometimes("a task that had ended without a result was queued again")
                self._course.start(now_ns, self._known(now_ns, row), out)
            case _ if row.state in TERMINAL and live is not None:
                self._finish(now_ns, live, row, out)
            case _:
                pass
        if row.state in TERMINAL and (concerned := self._merging.concerned(row)) is not None:
            self._merge(now_ns, concerned, out)

    def took_over(
        self, now_ns: int, rows: Iterable[Row], out: list[NodeEffect], *, unmerged: Iterable[Row] = ()
    ) -> None:
        """Goes on with the unfinished tasks of a shard that this node has come to own, and with its merges.

        An attempt that runs in a process which is still there stays what it is: its executor tells this owner, too.
        """
        for row in list(rows):
            self.counters.taken_over += 1
            live = self._known(now_ns, row)
            if row.state is State.QUEUED:
                self._course.start(now_ns, live, out)
            else:
                sometimes("took over an attempt that another owner had ordered")
                self._course.resume(now_ns, live, row, out)
        for row in list(unmerged):
            self._merge(now_ns, row, out)

    def gave_up(self, now_ns: int, shard: int, out: list[NodeEffect]) -> None:
        """Lets go of the tasks of a shard that this node no longer owns."""
        for live in self._of_shard.pop(shard.to_bytes(_SHARD_BYTES, "big"), {}).values():
            self.counters.given_up += 1
            sometimes("let go of a task whose shard has another owner")
            del self._live[live.task]
            self._course.drop(now_ns, live, out)
        self._merging.gave_up(shard)

    # -- inside -----------------------------------------------------------------------------------------

    def _submit(self, now_ns: int, live: Live, key: str, deadline_ms: int, out: list[NodeEffect]) -> bool:
        """Proposes a new task, with its first attempt if somebody can take it; False if the log takes nothing."""
        executor = self._course.choose(now_ns, live, live.payload)
        at_ms = self._course.unix_ms(now_ns)
        entry = Submitted(
            live.task, live.agent, key, live.payload, at_ms, at_ms + deadline_ms, live.retries, executor
        )
        if not self._log.propose(now_ns, live.task, entry):
            self._course.drop(now_ns, live, out)
            return False
        self._add(live)
        return True

    def _merge(self, now_ns: int, row: Row, out: list[NodeEffect]) -> None:
        """Brings the results of a task one step nearer to each other, if its agent can."""
        match self._merging.next_step(now_ns, row, self._live):
            case Ask(task=task, agent=agent, key=key, payload=payload):
                offer = self._view.offer(agent)
                deadline_ns = now_ns + MERGE_DEADLINE_MS * _MS
                retries = 0 if offer is None else offer.retries
                live = Live(task, agent, key.encode(), retries, deadline_ns, payload=payload)
                has_room = len(self._live) < MOST_LIVE
                is_taken = has_room and self._submit(now_ns, live, key, MERGE_DEADLINE_MS, out)
            case Done(number=number, result=result):
                sometimes("two results of one task were merged")
                entry = Merged(row.task, number, result, self._course.unix_ms(now_ns))
                is_taken = self._log.propose(now_ns, row.task, entry)
            case None:
                is_taken = True
        if not is_taken:
            self._merging.put_off(now_ns, row.task)

    def _known(self, now_ns: int, row: Row) -> Live:
        """A task that was not placed here but came with its row."""
        deadline_ns = now_ns + (row.deadline_ms - self._course.unix_ms(now_ns)) * _MS
        live = Live(row.task, row.agent, row.key.encode() or row.task, row.retries, deadline_ns)
        live.attempt = row.attempt
        self._add(live)
        return live

    def _add(self, live: Live) -> None:
        """Sees to the task from now on. It is found by its id, and with all others of its shard."""
        task = live.task
        self._live[task] = live
        self._of_shard.setdefault(task[:_SHARD_BYTES], {})[task] = live

    def _finish(self, now_ns: int, live: Live, row: Row, out: list[NodeEffect]) -> None:
        # Something is held still if an outcome from elsewhere was quicker than the attempt here.
        if live.chosen is not None:
            sometimes("an outcome from elsewhere was quicker than the attempt here")
        self._course.drop(now_ns, live, out)
        del self._live[row.task]
        del self._of_shard[row.task[:_SHARD_BYTES]][row.task]
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
            sometimes("a submission came again after its task had ended")
            self.counters.settled += 1
            out.append(ToPeer(place.gateway, settled(self._me, row)))
            return
        if live is None:
            return  # decided, and about to be taken over
        live.tell(place.gateway)
        if row is not None:
            out.append(ToPeer(place.gateway, Taken(place.task)))
        elif place.gateway not in live.receipts:
            live.receipts = (*live.receipts, place.gateway)

    def _refuse(self, place: Place, problem: Failure, out: list[NodeEffect]) -> None:
        self.counters.refused += 1
        out.append(ToPeer(place.gateway, Settled(place.task, None, problem, "", 0)))
