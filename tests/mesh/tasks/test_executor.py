"""An executor runs a task once at a time, and tells every owner that asked."""

import random

import pytest

from hubless.effects import NodeEffect, ToPeer
from hubless.tasks import Executor
from hubless.wire import Assign, Ended, Recall
from hubless_agents import (
    Contract,
    Effect,
    Failure,
    GiveTask,
    RecallTask,
    SpawnWorker,
    Supervisor,
    SupervisorConfig,
    WorkerAnswered,
    WorkerReady,
)
from hubless_agents import DeadlineReached as SupervisorDeadline

MS = 1_000_000
TASK = b"t" * 16
BOOT = 3


class Room:
    """The executor of n0, with one worker."""

    def __init__(self, *, queue: int = 8) -> None:
        config = SupervisorConfig(workers=1, spares=0, queue_per_agent=queue)
        supervisor = Supervisor(config=config, node="n0", rng=random.Random(1), now_ns=0)
        self.executor = Executor(me="n0", boot=BOOT, supervisor=supervisor)
        self.gives: dict[tuple[bytes, int], tuple[int, int]] = {}
        self.recalled: list[int] = []
        spawned = self.handle(SupervisorDeadline())
        (worker,) = [effect.worker for effect in spawned if isinstance(effect, SpawnWorker)]
        self.worker = worker
        contract = Contract(name="echo", output_schema=b'{"type":"integer"}')
        self.handle(WorkerReady(worker, 1, (contract,)))

    def handle(self, event: object) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.executor.handle(0, event, out)  # type: ignore[arg-type]
        return self.seen(out)

    def seen(self, out: list[NodeEffect]) -> list[NodeEffect]:
        for effect in out:
            if isinstance(effect, GiveTask):
                assignment = effect.assignment
                self.gives[assignment.task, assignment.attempt] = (effect.worker, effect.give)
            elif isinstance(effect, RecallTask):
                self.recalled.append(effect.give)
        return out

    def assign(
        self,
        owner: str,
        attempt: int,
        task: bytes = TASK,
        agent: str = "echo",
        term: int = 0,
        submitted_ms: int = 0,
        boot: int = BOOT,
    ) -> list[tuple[str, Ended]]:
        out: list[NodeEffect] = []
        assign = Assign(task, attempt, agent, b"1", 10_000, (), term, submitted_ms, boot)
        self.executor.assign(0, owner, assign, out)
        return told(self.seen(out))

    def recall(self, owner: str, attempt: int = 1, term: int = 0) -> list[tuple[str, Ended]]:
        out: list[NodeEffect] = []
        self.executor.recall(0, owner, Recall(TASK, attempt, term), out)
        return told(self.seen(out))

    def answer(self, attempt: int, payload: bytes = b"2", task: bytes = TASK) -> list[tuple[str, Ended]]:
        worker, give = self.gives[task, attempt]
        return told(self.handle(WorkerAnswered(worker, give, "returned", payload)))


def told(effects: list[NodeEffect]) -> list[tuple[str, Ended]]:
    return [
        (effect.node, effect.message)
        for effect in effects
        if isinstance(effect, ToPeer) and isinstance(effect.message, Ended)
    ]


@pytest.fixture
def room() -> Room:
    return Room()


def succeeded(attempt: int) -> Ended:
    return Ended(TASK, attempt, b"2", None)


def test_an_attempt_is_run_and_its_owner_told(room: Room) -> None:
    assert room.assign("n1", 1) == []
    assert len(room.executor) == 1
    assert room.answer(1) == [("n1", succeeded(1))]
    assert len(room.executor) == 0


def test_an_order_that_comes_again_does_not_run_again(room: Room) -> None:
    room.assign("n1", 1)
    assert room.assign("n1", 1) == []
    assert room.answer(1) == [("n1", succeeded(1))]
    assert room.assign("n1", 1) == [("n1", succeeded(1))]
    assert len(room.gives) == 1


def test_an_order_for_an_older_attempt_is_dropped(room: Room) -> None:
    room.assign("n1", 2)
    assert room.assign("n1", 1) == []
    room.answer(2)
    assert room.assign("n1", 1) == []
    assert len(room.gives) == 1


def test_a_newer_attempt_of_the_same_owner_takes_the_place_of_the_older(room: Room) -> None:
    room.assign("n1", 1)
    assert room.assign("n1", 2) == [], "the attempt that was given up is not reported"
    assert room.recalled, "it is asked back"
    assert room.answer(1) == []
    assert room.answer(2) == [("n1", succeeded(2))]
    assert room.executor.counters.superseded == 1


def test_a_second_owner_joins_the_run_and_each_hears_its_own_number(room: Room) -> None:
    room.assign("n1", 3)
    assert room.assign("n2", 1) == []
    assert room.answer(3) == [("n1", succeeded(3)), ("n2", succeeded(1))]
    assert len(room.gives) == 1


def test_a_success_answers_an_owner_that_asks_later(room: Room) -> None:
    room.assign("n1", 2)
    room.answer(2)
    assert room.assign("n2", 1) == [("n2", succeeded(1))]
    assert len(room.gives) == 1


def test_a_failure_does_not_answer_another_owner(room: Room) -> None:
    room.assign("n1", 1)
    room.answer(1, b'"not a number"')
    room.assign("n2", 2)
    assert len(room.executor) == 1


def test_a_failed_attempt_may_be_followed_by_another_one_here(room: Room) -> None:
    room.assign("n1", 1, agent="nobody")
    room.assign("n1", 2)
    assert room.answer(2) == [("n1", succeeded(2))]


def test_a_refusal_is_told_and_told_again(room: Room) -> None:
    ((owner, ended),) = room.assign("n1", 1, agent="nobody")
    assert owner == "n1"
    assert ended.failure is not None
    assert ended.failure.code == "unknown_agent"
    assert room.assign("n1", 1, agent="nobody") == [("n1", ended)]


def test_a_recalled_attempt_is_stopped_and_not_reported(room: Room) -> None:
    room.assign("n1", 1)
    assert room.recall("n1") == []
    assert room.recalled
    assert room.answer(1) == []
    assert len(room.executor) == 0


def test_while_the_only_worker_runs_what_was_recalled_a_task_is_sent_elsewhere_once(room: Room) -> None:
    other = b"o" * 16
    room.assign("n1", 1)
    assert room.executor.room("echo", 1) == 1
    room.recall("n1")
    assert room.executor.room("echo", 1) == 0
    ((owner, ended),) = room.assign("n2", 1, other)
    assert ended.failure is not None
    assert (owner, ended.failure.code, ended.failure.effect.value) == ("n2", "no_executor", "none")
    out: list[NodeEffect] = []
    again = Assign(other, 2, "echo", b"1", 10_000, (ended.failure,))
    room.executor.assign(0, "n2", again, out)
    assert len(room.executor) == 1, "it waits where it must wait anyhow"
    room.seen(out)
    room.answer(1)
    assert room.executor.room("echo", 1) > 0


def test_a_node_s_own_task_waits_behind_what_was_recalled(room: Room) -> None:
    room.assign("n1", 1)
    room.recall("n1")
    assert room.assign("n0", 1, b"o" * 16) == []
    assert len(room.executor) == 1


def test_a_recalled_attempt_does_not_start_again_for_a_late_copy_of_its_order(room: Room) -> None:
    room.assign("n1", 1)
    room.recall("n1")
    ((_, ended),) = room.assign("n1", 1)
    assert ended.failure is not None
    assert ended.failure.code == "cancelled"
    assert len(room.executor) == 0


def test_only_an_owner_that_asked_can_recall(room: Room) -> None:
    room.assign("n1", 1)
    room.recall("n3")
    assert len(room.executor) == 1
    room.assign("n2", 1)
    room.recall("n1")
    assert room.answer(1) == [("n2", succeeded(1))]


# -- tasks that a shard keeps: one count of attempts, whoever owns it -------------------------------------


def test_the_next_owner_of_a_shard_takes_the_run_over(room: Room) -> None:
    room.assign("n1", 1, term=4)
    assert room.assign("n2", 1, term=5) == []
    assert room.answer(1) == [("n2", succeeded(1))], "it alone is told"
    assert len(room.gives) == 1


def test_an_older_term_takes_nothing_over(room: Room) -> None:
    room.assign("n2", 1, term=5)
    assert room.assign("n1", 1, term=4) == []
    assert room.answer(1) == [("n2", succeeded(1))]
    assert room.executor.counters.repeated == 1


def test_an_older_attempt_is_not_heard_in_whatever_term(room: Room) -> None:
    room.assign("n1", 2, term=4)
    assert room.assign("n2", 1, term=5) == []
    assert room.answer(2) == [("n1", succeeded(2))]
    assert room.assign("n2", 1, term=5) == []
    assert len(room.gives) == 1


def test_the_next_owner_s_attempt_takes_the_place_of_the_last_owner_s(room: Room) -> None:
    room.assign("n1", 1, term=4)
    room.assign("n2", 2, term=5)
    assert room.recalled
    assert room.answer(1) == []
    assert room.answer(2) == [("n2", succeeded(2))]


@pytest.mark.parametrize("payload", [b"2", b'"not a number"'])
def test_the_next_owner_is_told_how_an_attempt_ended_before_its_time(room: Room, payload: bytes) -> None:
    """A failure, too: it is that attempt's, and attempts are counted together."""
    room.assign("n1", 1, term=4)
    first = room.answer(1, payload)
    assert room.assign("n2", 1, term=5) == [("n2", ended) for _, ended in first]
    assert len(room.gives) == 1


@pytest.mark.parametrize(("owner", "attempt", "term"), [("n1", 1, 4), ("n2", 1, 5), ("n1", 2, 4)])
def test_an_order_of_a_deposed_owner_stops_nothing(room: Room, owner: str, attempt: int, term: int) -> None:
    room.assign("n1", 1, term=4)
    room.assign("n2", 2, term=5)
    assert room.recall(owner, attempt, term) == []
    assert room.answer(1) == [], "the only worker comes back"
    assert room.answer(2) == [("n2", succeeded(2))]


def test_the_owner_of_today_may_recall_what_another_ordered(room: Room) -> None:
    room.assign("n1", 1, term=4)
    assert room.recall("n2", 1, 5) == []
    assert len(room.executor) == 0
    assert room.answer(1) == []


def test_what_was_recalled_may_be_followed_by_another_attempt(room: Room) -> None:
    room.assign("n1", 1, term=4)
    room.recall("n1", 1, 4)
    room.answer(1)
    room.assign("n2", 2, term=5)
    assert room.answer(2) == [("n2", succeeded(2))]


def test_a_restart_of_the_owner_does_not_make_a_shard_s_attempts_forgotten(room: Room) -> None:
    room.assign("n1", 1, term=4)
    room.executor.owner_restarted("n1")
    assert room.assign("n1", 1, term=5) == []
    assert room.answer(1) == [("n1", succeeded(1))]
    assert len(room.gives) == 1


# -- the id of a task that its owner has forgotten, submitted anew ------------------------------------------


@pytest.mark.parametrize("term", [0, 4])
@pytest.mark.parametrize("attempt", [1, 2])
def test_what_an_earlier_task_of_that_id_came_to_answers_nothing(room: Room, term: int, attempt: int) -> None:
    room.assign("n1", attempt, term=term, submitted_ms=1_000)
    room.answer(attempt, b"3")
    assert room.assign("n1", 1, term=term, submitted_ms=90_000) == []
    assert len(room.executor) == 1
    assert room.answer(1) == [("n1", succeeded(1))]
    assert room.assign("n1", 1, term=term, submitted_ms=90_000) == [("n1", succeeded(1))]


def test_nor_does_its_failure(room: Room) -> None:
    room.assign("n1", 1, term=4, submitted_ms=1_000)
    room.answer(1, b'"not a number"')
    assert room.assign("n1", 1, term=4, submitted_ms=90_000) == []
    assert len(room.executor) == 1


def test_an_earlier_task_of_that_id_that_still_runs_is_given_up(room: Room) -> None:
    room.assign("n1", 2, term=4, submitted_ms=1_000)
    assert room.assign("n2", 1, term=5, submitted_ms=90_000) == []
    assert room.recalled
    assert room.answer(2) == []
    assert room.answer(1) == [("n2", succeeded(1))]


def test_a_node_that_sent_an_order_on_does_not_follow_a_copy_of_it(room: Room) -> None:
    """Its owner may have gone elsewhere by then, with an agent that must run but once."""
    other = b"o" * 16
    room.assign("n1", 1)
    room.recall("n1")
    refused = room.assign("n2", 1, other, term=4)
    room.answer(1)
    assert room.assign("n2", 1, other, term=4) == refused
    assert len(room.executor) == 0
    assert room.assign("n2", 2, other, term=4) == [], "but it takes the next attempt"
    assert len(room.executor) == 1


def test_a_late_order_of_the_earlier_task_is_not_heard(room: Room) -> None:
    room.assign("n1", 1, term=4, submitted_ms=90_000)
    assert room.assign("n1", 2, term=4, submitted_ms=1_000) == []
    assert room.recalled == []
    room.answer(1)
    assert room.assign("n1", 2, term=4, submitted_ms=1_000) == []
    assert len(room.executor) == 0


# -- tasks that no shard keeps -----------------------------------------------------------------------------


def test_the_next_process_of_an_owner_counts_from_one_again(room: Room) -> None:
    room.assign("n1", 3)
    room.executor.owner_restarted("n1")
    assert room.assign("n1", 1) == []
    assert room.answer(3) == [("n1", succeeded(1))]
    room.executor.owner_restarted("n1")
    assert room.assign("n1", 1) == [("n1", succeeded(1))]
    assert len(room.gives) == 1


def test_what_runs_for_a_process_that_was_replaced_is_told_to_nobody(room: Room) -> None:
    room.assign("n1", 1)
    room.executor.owner_restarted("n1")
    assert room.answer(1) == []
    assert len(room.executor) == 0


def test_the_node_s_own_outcomes_are_not_kept_unless_a_shard_keeps_the_task(room: Room) -> None:
    room.assign("n0", 1)
    room.answer(1)
    room.assign("n0", 1)
    assert len(room.executor) == 1
    room.answer(1)
    other = b"o" * 16
    room.assign("n0", 1, other, term=1)
    room.answer(1, task=other)
    assert room.assign("n0", 1, other, term=1) == [("n0", Ended(other, 1, b"2", None))]


def test_outcomes_are_kept_within_bounds_in_bytes() -> None:
    room = Room()
    for number in range(20):
        task = number.to_bytes(16, "big")
        room.assign("n1", 1, task)
        room.answer(1, b" " * 1_000_000 + b"1", task)
    first, last = (0).to_bytes(16, "big"), (19).to_bytes(16, "big")
    ((_, kept),) = room.assign("n1", 1, last)
    assert kept.payload is not None
    ((_, dropped),) = room.assign("n1", 1, first)
    assert dropped.failure is not None
    assert (dropped.failure.code, dropped.failure.effect.value) == ("unreachable", "maybe")
    assert len(room.executor) == 0, "what has run does not run again under the same number"
    assert room.assign("n1", 2, first) == []
    assert len(room.executor) == 1, "whether it may under another one is its owner's to say"


def test_that_attempts_have_ended_is_remembered_within_bounds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubless.tasks.executor._KEPT_ANSWERS", 2)
    monkeypatch.setattr("hubless.tasks.executor._KEPT_ENDS", 3)
    room = Room()
    for number in range(10):
        task = number.to_bytes(16, "big")
        room.assign("n1", 1, task)
        room.answer(1, task=task)
    known = [len(room.assign("n1", 1, number.to_bytes(16, "big"))) for number in range(4, 10)]
    assert known == [0, 1, 1, 1, 1, 1]
    assert room.assign("n1", 1, (9).to_bytes(16, "big"))[0][1].payload == b"2"
    assert room.assign("n1", 1, (5).to_bytes(16, "big"))[0][1].failure is not None


def test_a_full_queue_is_refused_without_effect() -> None:
    room = Room(queue=1)
    refused: list[Failure] = []
    for number in range(40):
        for _, ended in room.assign("n1", 1, number.to_bytes(16, "big")):
            assert ended.failure is not None
            refused.append(ended.failure)
    assert {failure.code for failure in refused} == {"overloaded"}
    assert {failure.effect.value for failure in refused} == {"none"}
    assert len(room.executor) + len(refused) == 40


@pytest.mark.parametrize("boot", [BOOT - 1, BOOT + 1])
def test_what_another_process_was_given_is_lost_and_does_not_run_here(boot: int) -> None:
    room = Room()
    ((owner, ended),) = room.assign("n1", 1, term=4, boot=boot)
    assert (owner, ended.attempt, ended.payload) == ("n1", 1, None)
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.effect) == ("unreachable", Effect.MAYBE)
    assert (len(room.executor), room.gives, room.executor.counters.misdirected) == (0, {}, 1)


def test_an_order_that_names_no_process_is_for_whoever_gets_it() -> None:
    room = Room()
    assert room.assign("n1", 1, boot=0) == []
    assert len(room.executor) == 1
