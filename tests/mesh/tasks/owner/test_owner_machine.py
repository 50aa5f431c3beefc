"""Owners that come and go over one log, whatever executors, gateways, clocks and the log itself do.

The model is dumb: it remembers what it was told of each task and what it saw ordered. When everything is decided and
all executors answer, every task that a log has taken has one outcome, and nothing is held any more.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from owner_desk import Desk

from hubless.effects import ToPeer
from hubless.placement import mint_task_id
from hubless.tasks.entries import Submitted
from hubless.tasks.row import TERMINAL, State
from hubless.wire import Assign, Recall, Settled, Taken
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
EXECUTORS = ("n1", "n2", "n3")
AGENTS = ("echo", "once")
pick = st.integers(0, 1_000)
FAILURES = (
    Failure(code="worker_died", message="gone", effect=Effect.MAYBE),
    Failure(code="overloaded", message="full", effect=Effect.NONE),
    Failure(code="no_executor", message="leaving", effect=Effect.NONE),
    Failure(code="raised", message="no", effect=Effect.DONE),
)


class Ownership(RuleBasedStateMachine):
    """One shard, owned by n0 or by nobody."""

    def __init__(self, desk: Callable[[], Desk], member: Callable[..., Member]) -> None:
        super().__init__()
        self.desk = desk()
        self.member = member
        self.tasks: list[bytes] = []
        self.agents: dict[bytes, str] = {}
        self.running: dict[str, dict[bytes, int]] = {node: {} for node in EXECUTORS}
        self.boots = dict.fromkeys(EXECUTORS, 1)
        self.ordered: dict[bytes, int] = {}
        self.starts: dict[bytes, set[tuple[int, str, int]]] = {}
        self.may_have_run: dict[bytes, tuple[str, int]] = {}
        self.outcomes: dict[bytes, set[tuple[bytes | None, str]]] = {}
        self.receipts: set[bytes] = set()
        self.retried: set[bytes] = set()

    # -- what the owner says --------------------------------------------------------------------------

    def hear(self, effects: list[ToPeer]) -> None:
        for effect in effects:
            match effect.message:
                case Assign() as order:
                    self._ordered(effect.node, order)
                case Recall(task=task, attempt=attempt) if self.running[effect.node].get(task) == attempt:
                    del self.running[effect.node][task]
                case Settled() as told:
                    self._settled(told)
                case Taken(task=task):
                    assert self.desk.log.row(task) is not None, "a receipt for what is not in the log"
                    self.receipts.add(task)
                case _:
                    pass

    def _ordered(self, node: str, order: Assign) -> None:
        row = self.desk.log.row(order.task)
        boot = self.boots[node]
        assert row is not None
        assert (row.state, row.attempt) == (State.RUNNING, order.attempt), "ordered before it was decided"
        assert row.executor == f"{node}/{boot}"
        assert order.term == self.desk.log.current_term
        assert order.attempt >= self.ordered.get(order.task, 0), "attempts rise, whoever owns"
        if order.agent == "once" and order.task not in self.retried:
            assert self.may_have_run.get(order.task, (node, boot)) == (node, boot), "started a second time"
        self.may_have_run[order.task] = (node, boot)
        self.ordered[order.task] = order.attempt
        self.running[node][order.task] = order.attempt
        self.starts.setdefault(order.task, set()).add((order.attempt, node, boot))

    def _settled(self, told: Settled) -> None:
        row = self.desk.log.row(told.task)
        if row is None or row.state not in TERMINAL:
            assert told.attempt == 0, "an outcome that is not decided"
            return
        code = "" if told.failure is None else told.failure.code
        self.outcomes.setdefault(told.task, set()).add((told.payload, code))

    # -- gateways and operators -----------------------------------------------------------------------

    def task(self, number: int) -> bytes:
        return self.tasks[number % len(self.tasks)]

    @rule(
        agent=st.sampled_from(AGENTS),
        deadline_ms=st.sampled_from((300, 2_000, 60_000)),
        receipt=st.booleans(),
    )
    def place(self, agent: str, deadline_ms: int, receipt: bool) -> None:
        task = mint_task_id(0, len(self.tasks).to_bytes(14, "big"))
        self.tasks.append(task)
        self.agents[task] = agent
        self.hear(self.desk.place(task, agent=agent, deadline_ms=deadline_ms, receipt=receipt))

    @precondition(lambda self: self.tasks)
    @rule(number=pick, gateway=st.sampled_from(("g1", "g2")))
    def place_again(self, number: int, gateway: str) -> None:
        task = self.task(number)
        self.hear(self.desk.place(task, agent=self.agents[task], gateway=gateway, receipt=True))

    @precondition(lambda self: self.tasks)
    @rule(number=pick, do=st.sampled_from(("withdraw", "cancel")))
    def withdraw(self, number: int, do: str) -> None:
        task = self.task(number)
        self.hear(self.desk.withdraw("g1", task) if do == "withdraw" else self.desk.cancel(task))

    @precondition(lambda self: self.tasks)
    @rule(number=pick)
    def retry(self, number: int) -> None:
        if self.desk.retry(self.task(number)):
            self.retried.add(self.task(number))

    # -- executors ------------------------------------------------------------------------------------

    @rule(node=st.sampled_from(EXECUTORS), number=pick, failure=st.sampled_from((None, None, *FAILURES)))
    def answer(self, node: str, number: int, failure: Failure | None) -> None:
        running = self.running[node]
        if running:
            task = list(running)[number % len(running)]
            if failure is not None and failure.effect is Effect.NONE:
                self.may_have_run.pop(task)
            self.hear(self.desk.ended(node, running.pop(task), failure, task))

    @precondition(lambda self: self.ordered)
    @rule(node=st.sampled_from(EXECUTORS), number=pick, attempt=st.integers(1, 3))
    def answer_what_was_not_asked(self, node: str, number: int, attempt: int) -> None:
        task = list(self.ordered)[number % len(self.ordered)]
        if self.running[node].get(task) != attempt:
            self.hear(self.desk.ended(node, attempt, None, task, b"stale"))

    @rule(
        node=st.sampled_from(EXECUTORS),
        condition=st.sampled_from((Condition.DEAD, Condition.BUSY, Condition.SUSPECT)),
    )
    def ail(self, node: str, condition: Condition) -> None:
        self.desk.view.learn(self.member(node, boot=self.boots[node], condition=condition))
        if condition is Condition.DEAD:
            self.running[node].clear()
            self.hear(self.desk.gone(node))
        elif condition is Condition.SUSPECT:
            self.hear(self.desk.said(self.desk.owner.peer_silent, node))
        self.hear(self.desk.view_changed())

    @rule(node=st.sampled_from(EXECUTORS))
    def come_back(self, node: str) -> None:
        is_dead = self.desk.view.member(node).condition is Condition.DEAD
        self.boots[node] += is_dead
        self.desk.view.learn(self.member(node, boot=self.boots[node]))
        self.hear(self.desk.view_changed())

    @rule(node=st.sampled_from(EXECUTORS))
    def restart(self, node: str) -> None:
        """The next process is there before anybody noticed that the last one was gone."""
        self.boots[node] += 1
        self.running[node].clear()
        self.desk.view.learn(self.member(node, boot=self.boots[node]))
        self.hear(self.desk.gone(node))
        self.hear(self.desk.view_changed())

    # -- the log --------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4))
    def decide(self, count: int) -> None:
        self.hear(self.desk.decide(count))

    @rule(is_open=st.booleans())
    def open_or_close(self, is_open: bool) -> None:
        self.desk.log.is_open = is_open

    @rule(kept=st.integers(0, 5), is_same=st.booleans())
    def change_owners(self, kept: int, *, is_same: bool) -> None:
        """Of what the last owner had proposed the next one's log has some."""
        self.desk.log.decide(kept)
        self.desk.log.take_decided()
        self.desk.log.lose()
        self.desk.log.current_term += 1
        if is_same:
            self.hear(self.desk.gave_up())
            assert self.desk.held() == (0, 0, 0)
        else:
            self.desk.new_owner()
        self.hear(self.desk.took_over())

    @rule(node=st.sampled_from(EXECUTORS))
    def lose_an_executor_and_the_owner(self, node: str) -> None:
        self.boots[node] += 1
        self.running[node].clear()
        self.desk.view.learn(self.member(node, boot=self.boots[node]))
        self.change_owners(0, is_same=False)

    @rule(ms=st.sampled_from((1, 60, 250, 1_100)))
    def pass_time(self, ms: int) -> None:
        self.hear(self.desk.tick(self.desk.now_ns + ms * MS))

    # -- what must hold -------------------------------------------------------------------------------

    @invariant()
    def nothing_is_held_for_what_is_not_running(self) -> None:
        live, in_flight, permits = self.desk.held()
        assert permits <= in_flight <= live

    @invariant()
    def what_was_promised_is_in_the_log(self) -> None:
        assert all(self.desk.log.row(task) is not None for task in self.receipts)

    @invariant()
    def an_attempt_runs_in_one_process(self) -> None:
        for starts in self.starts.values():
            attempts = [attempt for attempt, _, _ in starts]
            assert len(attempts) == len(set(attempts))

    @invariant()
    def one_outcome_is_told(self) -> None:
        for task, outcomes in self.outcomes.items():
            assert len(outcomes) == 1 or task in self.retried

    def teardown(self) -> None:
        """Calm: all nodes are well, the log decides, executors answer, gateways ask for what they have not heard."""
        self.desk.log.is_open = True
        for node in EXECUTORS:
            self.come_back(node)
        for _ in range(60):
            self.hear(self.desk.decide())
            for node in EXECUTORS:
                for task, attempt in list(self.running[node].items()):
                    del self.running[node][task]
                    self.hear(self.desk.ended(node, attempt, None, task))
            self.hear(self.desk.tick(self.desk.now_ns + 300 * MS))
        self.settled_in_the_end()
        super().teardown()

    def settled_in_the_end(self) -> None:
        assert self.desk.log.waiting == []
        assert self.desk.held() == (0, 0, 0)
        for task, row in self.desk.log.machine.rows.items():
            assert row.state in TERMINAL
            self.hear(self.desk.place(task, agent=self.agents[task]))
            assert task in self.outcomes
        assert self.desk.log.waiting == []
        self.one_outcome_is_told()
        self.what_was_promised_is_in_the_log()


def test_every_task_that_a_log_has_taken_has_one_outcome(
    room_of: Callable[..., Desk], member: Callable[..., Member]
) -> None:
    def desk() -> Desk:
        return room_of(member("n0", offers=()), *(member(node) for node in EXECUTORS))

    run_state_machine_as_test(
        lambda: Ownership(desk, member),
        settings=settings(max_examples=150, stateful_step_count=40, deadline=None),
    )


def test_the_model_s_owner_writes_down_what_it_takes(
    room_of: Callable[..., Desk], member: Callable[..., Member]
) -> None:
    """So that the machine above cannot pass by taking nothing."""
    desk = room_of(member("n0", offers=()), member("n1"))
    desk.place()
    assert [type(entry) for entry in desk.log.waiting] == [Submitted]
