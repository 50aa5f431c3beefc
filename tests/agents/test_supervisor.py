"""The supervisor's promises, event by event; the test plays the workers: starts, tasks, withdrawal."""

import pytest

from hubless_agents import (
    AgentQuarantined,
    Assignment,
    Contract,
    Drain,
    Drained,
    Effect,
    GiveTask,
    KillWorker,
    Offered,
    OffersChanged,
    RecallTask,
    SpawnWorker,
    Withdrawn,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
    WorkersFailing,
)

MS = 1_000_000
SECOND = 1_000 * MS


# ---- start ---------------------------------------------------------------------------------------------


def test_first_worker_starts_alone_then_the_others_then_spares(stage):
    one = stage(workers=3, spares=1, starts_at_once=2)
    one.pass_time(0)
    assert len(one.of(SpawnWorker)) == 1
    one.handle(WorkerReady(1, 1, one.contracts))
    assert len(one.of(SpawnWorker)) == 3
    one.handle(WorkerReady(2, 2, one.contracts))
    assert len(one.of(SpawnWorker)) == 3  # the spare waits for the last worker
    one.handle(WorkerReady(3, 3, one.contracts))
    assert len(one.of(SpawnWorker)) == 4


def test_offers_come_with_the_first_ready_worker(stage):
    one = stage(Contract(name="b"), Contract(name="a"))
    task = one.offer("a")
    assert one.failure(task).code == "no_executor"
    assert one.failure(task).retry_after_ms
    one.start()
    (told,) = one.of(OffersChanged)
    assert [contract.name for contract in told.contracts] == ["a", "b"]


def test_failed_start_pauses_before_the_next(stage):
    one = stage(backoff_base_ms=1_000)
    one.pass_time(0)
    one.handle(WorkerExited(1, "import_error", "ImportError: no", "trace"))
    failing = one.last(WorkersFailing)
    assert (failing.consecutive, failing.failure.message, failing.failure.detail) == (
        1,
        "ImportError: no",
        "trace",
    )
    one.pass_time(700 * MS)
    assert len(one.of(SpawnWorker)) == 1
    one.pass_time(600 * MS)
    assert len(one.of(SpawnWorker)) == 2


def test_answer_ends_the_row_of_failed_starts(stage):
    one = stage(spares=0).start()
    for worker in (1, 2):
        one.exit(worker)
        one.pass_time(SECOND)
        one.handle(WorkerReady(worker + 1, 1, one.contracts))
    assert one.last(WorkersFailing).consecutive == 2
    one.answer(one.offer())
    one.exit(3)
    assert one.last(WorkersFailing).consecutive == 1


def test_start_that_hangs_is_killed(stage):
    one = stage(start_timeout_s=5)
    one.pass_time(5 * SECOND)
    assert one.killed() == [1]
    assert "start_timeout_s" in one.last(WorkersFailing).failure.message


def test_changed_contracts_are_refused_and_told(stage):
    one = stage().start()
    one.exit(1)
    one.pass_time(SECOND)
    newest = one.of(SpawnWorker)[-1].worker
    one.handle(WorkerReady(newest, 9, (Contract(name="echo", version="2"),)))
    assert newest in one.killed()
    assert "restart the node" in one.last(WorkersFailing).failure.message


def test_offers_are_withdrawn_when_nothing_starts_any_more(stage):
    one = stage(spares=0, failing_after=2).start()
    one.exit(1)
    waits = one.offer()
    for _ in range(2):
        one.pass_time(10 * SECOND)
        one.exit(one.of(SpawnWorker)[-1].worker)
    assert one.failure(waits).code == "no_executor"
    assert one.failure(waits).effect is Effect.NONE
    assert one.last(OffersChanged).contracts == ()
    refused = one.offer()
    assert one.failure(refused).code == "no_executor"
    one.pass_time(60 * SECOND)
    one.handle(WorkerReady(one.of(SpawnWorker)[-1].worker, 1, one.contracts))
    assert one.last(OffersChanged).contracts == one.contracts


def test_schema_that_does_not_compile_is_a_failed_start(stage):
    one = stage(Contract(name="echo", input_schema=b'{"type":"nonsense"}'))
    one.pass_time(0)
    one.handle(WorkerReady(1, 1, one.contracts))
    assert "does not compile" in one.last(WorkersFailing).failure.message
    assert one.killed() == [1]


# ---- in and out ----------------------------------------------------------------------------------------


def test_task_goes_to_a_worker_and_its_answer_out(stage):
    one = stage().start()
    task = one.offer(payload=b'{"a":1}')
    assert one.give_of(task).assignment.payload == b'{"a":1}'
    one.answer(task, payload=b'"yes"')
    assert one.outcome(task).payload == b'"yes"'


@pytest.mark.parametrize(
    ("agent", "payload", "seconds", "code"),
    [
        ("other", b"1", 100, "unknown_agent"),
        ("echo", b"1" * 100, 100, "payload_too_large"),
        ("echo", b"{", 100, "bad_input"),
        ("echo", b'"text"', 100, "bad_input"),
        ("echo", b"1", 0, "expired"),
    ],
)
def test_what_cannot_run_is_refused_without_effect(stage, agent, payload, seconds, code):
    one = stage(Contract(name="echo", input_schema=b'{"type":"integer"}'), max_payload_bytes=64).start()
    task = one.offer(agent, payload, seconds=seconds)
    assert (one.failure(task).code, one.failure(task).effect) == (code, Effect.NONE)
    assert not one.of(GiveTask)
    assert one.core.counters.refused == 1


def test_full_queue_refuses_with_a_time_to_retry(stage):
    one = stage(queue_per_agent=2).start()
    tasks = [one.offer() for _ in range(4)]
    assert one.outcome(tasks[2]) is None
    assert one.failure(tasks[3]).code == "overloaded"
    assert one.failure(tasks[3]).retry_after_ms > 0
    assert one.core.load()["echo"].queued == 2


def test_same_attempt_twice_is_one_task(stage):
    one = stage().start()
    task = one.offer()
    one.offer(task=task)
    assert len(one.of(GiveTask)) == 1
    one.answer(task)
    assert one.succeeded(task)


def test_newer_attempt_supersedes_the_older(stage):
    one = stage(workers=2).start()
    task = one.offer()
    one.offer(task=task, attempt=2)
    first, second = one.of(GiveTask)
    one.handle(WorkerAnswered(first.worker, first.give, "returned", b"1"))
    one.handle(WorkerAnswered(second.worker, second.give, "returned", b"2"))
    old, new = [report.outcome for report in one.effects if hasattr(report, "outcome")]
    assert (old.attempt, old.failure.code) == (1, "cancelled")
    assert (new.attempt, new.payload) == (2, b"2")


def test_older_attempt_is_refused(stage):
    one = stage().start()
    task = one.offer(attempt=3)
    effects = one.core.handle(one.now_ns, Offered(Assignment(task, 2, "echo", b"1", SECOND)))
    assert effects[0].outcome.attempt == 2
    assert effects[0].outcome.failure.code == "cancelled"


def test_failures_of_earlier_attempts_reach_the_agent(stage):
    one = stage().start()
    earlier = one.failure(one.offer("nobody"))
    one.handle(Offered(Assignment(b"t" * 16, 2, "echo", b"1", SECOND, (earlier,))))
    assert one.last(GiveTask).assignment.failures == (earlier,)


def test_agents_take_turns(stage):
    one = stage(Contract(name="a"), Contract(name="b"), prefetch_max=0).start()
    many = [one.offer("a") for _ in range(6)]
    few = [one.offer("b") for _ in range(2)]
    given = []
    for _ in range(5):
        give = one.last(GiveTask)
        given.append(give.assignment.agent)
        one.handle(WorkerAnswered(give.worker, give.give, "returned", b"1", took_ns=SECOND))
    assert given.count("b") == 2
    assert all(one.succeeded(task) for task in [*many[:3], *few])


# ---- prefetch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("took_ns", "extra"), [(10 * SECOND, 0), (3 * MS, 0), (500_000, 3), (50_000, 16), (1, 16)]
)
def test_depth_of_prefetch_follows_the_service_time(stage, took_ns, extra):
    one = stage(prefetch_max=16, prefetch_horizon_ms=2).start()
    one.warm(took_ns)
    for _ in range(40):
        one.offer()
    assert len(one.of(GiveTask)) == 1 + 1 + extra


def test_nothing_is_prefetched_while_a_worker_is_idle(stage):
    one = stage(workers=2).start()
    one.warm(10_000)
    tasks = [one.offer(), one.offer()]
    assert {one.give_of(task).worker for task in tasks} == {1, 2}


def test_large_payloads_are_not_prefetched(stage):
    one = stage(prefetch_payload_bytes=10).start()
    one.warm(10_000)
    one.offer()
    one.offer(payload=b'"' + b"x" * 20 + b'"')
    assert one.core.load()["echo"].queued == 1


def test_tasks_behind_a_slow_one_are_called_back_and_given_elsewhere(stage):
    one = stage(workers=2, recall_after_ms=5).start()
    one.warm(10_000)
    tasks = [one.offer() for _ in range(6)]
    slow, other = tasks[:2]
    behind = [task for task in tasks[2:] if one.give_of(task).worker == one.give_of(slow).worker]
    assert behind
    for task in [other, *(task for task in tasks[2:] if task not in behind)]:
        one.answer(task, took_ns=10_000)
    recalled = [effect for effect in one.pass_time(6 * MS) if isinstance(effect, RecallTask)]
    assert [effect.give for effect in recalled] == [one.give_of(task).give for task in reversed(behind)]
    for effect in recalled:
        one.handle(WorkerAnswered(effect.worker, effect.give, "dropped"))
    assert {one.give_of(task).worker for task in behind} == {one.give_of(other).worker}
    for task in behind:
        one.answer(task)
        assert one.succeeded(task)


def test_task_recalled_once_may_not_be_given_back_again(stage):
    one = stage(recall_after_ms=5).start()
    one.warm(10_000)
    first, behind = one.offer(), one.offer()
    one.pass_time(6 * MS)
    one.answer(behind, "dropped")
    one.answer(first)
    assert not one.killed()
    one.answer(behind, "dropped")
    assert one.killed()


def test_task_given_back_unasked_is_a_breach(stage):
    one = stage(spares=1).start()
    task = one.offer()
    worker = one.give_of(task).worker
    one.answer(task, "dropped")
    assert one.killed() == [worker]
    assert one.give_of(task).worker != worker
    one.answer(task)
    assert one.succeeded(task)


# ---- withdrawal and drain ------------------------------------------------------------------------------


def test_withdrawn_before_its_start_has_no_effect(stage):
    one = stage().start()
    one.offer()
    waits = one.offer()
    one.handle(Withdrawn(waits))
    assert (one.failure(waits).code, one.failure(waits).effect) == ("cancelled", Effect.NONE)


def test_withdrawn_while_it_runs_keeps_its_place_until_the_worker_answers(stage):
    one = stage().start()
    runs, waits = one.offer(), one.offer()
    one.handle(Withdrawn(runs))
    assert one.failure(runs).effect is Effect.MAYBE
    assert one.core.load()["echo"].running == 1
    one.answer(runs)
    assert one.give_of(waits)
    assert one.core.counters.late_answers == 1


def test_withdrawal_kills_where_the_contract_says_so(stage):
    one = stage(Contract(name="echo", on_cancel="kill"), max_kills=1).start()
    for _ in range(4):
        task = one.offer()
        one.handle(Withdrawn(task))
        one.exit(one.give_of(task).worker)
        one.handle(WorkerReady(one.of(SpawnWorker)[-1].worker, 1, one.contracts))
    assert len(one.of(KillWorker)) == 4
    assert not one.of(AgentQuarantined)  # the caller's doing, not the agent's


def test_drain_finishes_what_is_here_and_takes_nothing_new(stage):
    one = stage().start()
    tasks = [one.offer(), one.offer()]
    assert not one.handle(Drain())
    refused = one.offer()
    assert one.failure(refused).code == "no_executor"
    one.answer(tasks[0])
    one.answer(tasks[1])
    assert one.effects[-1] == Drained()


def test_load_counts_slots_of_active_workers(stage):
    one = stage(
        Contract(name="one"), Contract(name="many", concurrency=4, runtime="asyncio"), workers=2
    ).start()
    load = one.core.load()
    assert (load["one"].slots, load["many"].slots) == (2, 8)
