"""The supervisor's promises about time, memory and death; the test plays the workers."""

from hubless_agents import (
    AgentQuarantined,
    Contract,
    Effect,
    MeasureMemory,
    MemoryMeasured,
    RecallTask,
    SpawnWorker,
    Withdrawn,
    WorkerAnswered,
    WorkerMisbehaved,
    WorkerReady,
    WorkersFailing,
)

MS = 1_000_000
SECOND = 1_000 * MS


# ---- deadlines -----------------------------------------------------------------------------------------


def test_run_over_the_contracts_deadline_is_killed_and_a_spare_takes_over(stage):
    one = stage(Contract(name="echo", deadline_ms=1_000)).start()
    hung, following = one.offer(), one.offer()
    one.pass_time(SECOND)
    assert one.killed() == [one.give_of(hung).worker]
    assert one.give_of(following).worker != one.give_of(hung).worker  # at once, before the old one is gone
    one.exit(one.give_of(hung).worker, "signal SIGKILL")
    assert (one.failure(hung).code, one.failure(hung).effect) == ("deadline", Effect.MAYBE)


def test_answer_written_before_the_kill_counts(stage):
    one = stage(Contract(name="echo", deadline_ms=1_000)).start()
    task = one.offer()
    one.pass_time(SECOND)
    assert one.killed()
    one.answer(task)
    one.exit(1)
    assert one.succeeded(task)


def test_deadline_of_a_prefetched_task_counts_from_its_predecessors_end(stage):
    one = stage(Contract(name="echo", deadline_ms=1_000), recall_after_ms=10_000).start()
    one.warm(10_000)
    first, second = one.offer(), one.offer()
    assert one.give_of(second).worker == one.give_of(first).worker
    one.pass_time(900 * MS)
    one.answer(first)
    one.pass_time(900 * MS)
    assert not one.killed()
    one.pass_time(100 * MS)
    assert one.killed()


def test_callers_deadline_ends_the_task_but_spares_the_process_until_the_contracts(stage):
    one = stage(Contract(name="echo", deadline_ms=10_000)).start()
    task = one.offer(seconds=1)
    one.pass_time(SECOND)
    assert (one.failure(task).code, one.failure(task).effect) == ("deadline", Effect.MAYBE)
    assert not one.killed()
    assert one.last(RecallTask).stop
    one.pass_time(9 * SECOND)
    assert one.killed()


def test_cancelled_task_that_starts_all_the_same_is_watched(stage):
    one = stage(Contract(name="echo", deadline_ms=1_000), recall_after_ms=10_000).start()
    one.warm(10_000)
    first, second = one.offer(), one.offer(seconds=0.5)
    one.handle(Withdrawn(second))
    one.answer(first)  # the worker had not read the recall yet
    one.pass_time(SECOND)
    assert one.killed()


def test_task_that_waits_too_long_expires_without_effect(stage):
    one = stage().start()
    one.offer()
    waits = one.offer(seconds=1)
    one.pass_time(SECOND)
    assert (one.failure(waits).code, one.failure(waits).effect) == ("expired", Effect.NONE)


def test_prefetched_task_that_expires_may_have_started(stage):
    one = stage(recall_after_ms=10_000).start()
    one.warm(10_000)
    one.offer()
    behind = one.offer(seconds=1)
    one.pass_time(SECOND)
    # The answer of the task before it may be on its way: the worker knows, the supervisor does not.
    assert (one.failure(behind).code, one.failure(behind).effect) == ("expired", Effect.MAYBE)
    assert one.last(RecallTask).give == one.give_of(behind).give


def test_killed_process_that_does_not_end_is_written_off(stage):
    one = stage(Contract(name="echo", deadline_ms=1_000), kill_grace_ms=500).start()
    task = one.offer()
    one.pass_time(SECOND)
    assert one.outcome(task) is None
    one.pass_time(500 * MS)
    assert one.failure(task).code == "deadline"
    one.exit(1)
    one.answer(task)
    assert one.core.counters.late_answers == 1


def test_what_waited_in_a_process_that_is_written_off_may_have_started(stage):
    one = stage(Contract(name="echo", deadline_ms=1_000), recall_after_ms=10_000, kill_grace_ms=500).start()
    one.warm(10_000)
    first, behind = one.offer(), one.offer()
    assert one.give_of(behind).worker == one.give_of(first).worker
    one.pass_time(SECOND)  # killed for the first one; whether it had gone on to the second, nobody has read
    one.pass_time(500 * MS)
    assert (one.failure(behind).code, one.failure(behind).effect.value) == ("worker_died", "maybe")


# ---- deaths --------------------------------------------------------------------------------------------


def test_unstarted_tasks_of_a_dead_worker_go_to_another(stage):
    one = stage().start()
    one.warm(10_000)
    tasks = [one.offer() for _ in range(4)]
    worker = one.give_of(tasks[0]).worker
    assert {one.give_of(task).worker for task in tasks} == {worker}
    one.exit(worker, "exit code 3")
    assert (one.failure(tasks[0]).code, one.failure(tasks[0]).effect) == ("worker_died", Effect.MAYBE)
    assert "exit code 3" in one.failure(tasks[0]).message
    for task in tasks[1:]:
        assert one.give_of(task).worker != worker
        one.answer(task)
        assert one.succeeded(task)


def test_all_running_tasks_of_a_concurrent_worker_are_lost_together(stage):
    one = stage(Contract(name="echo", concurrency=2, runtime="asyncio", deadline_ms=1_000)).start()
    first = one.offer()
    one.pass_time(500 * MS)
    second = one.offer()
    assert one.give_of(second).worker == one.give_of(first).worker
    one.pass_time(500 * MS)
    one.exit(1)
    assert one.failure(first).code == "deadline"
    assert one.failure(second).code == "worker_died"
    assert "deadline" in one.failure(second).message


def test_dead_spare_is_replaced_after_a_pause(stage):
    one = stage().start()
    assert len(one.of(SpawnWorker)) == 2
    one.exit(2)
    assert one.last(WorkersFailing).worker == 2
    one.pass_time(SECOND)
    assert len(one.of(SpawnWorker)) == 3


def test_junk_kills_and_counts_against_the_running_agent(stage):
    one = stage(max_kills=1).start()
    for _ in range(2):
        task = one.offer()
        worker = one.give_of(task).worker
        one.handle(WorkerMisbehaved(worker, "junk"))
        one.handle(WorkerMisbehaved(worker, "more junk"))
        one.exit(worker)
        assert "junk" in one.failure(task).message
        one.handle(WorkerReady(one.of(SpawnWorker)[-1].worker, 1, one.contracts))
    assert len(one.killed()) == 2
    assert len(one.of(AgentQuarantined)) == 1


def test_answer_to_a_task_it_never_had_is_junk(stage):
    one = stage().start()
    one.handle(WorkerAnswered(1, 77, "returned", b"1"))
    assert one.killed() == [1]


# ---- memory --------------------------------------------------------------------------------------------


def test_memory_is_measured_only_while_a_limited_task_runs(stage):
    one = stage(Contract(name="echo", memory_bytes=64 << 20), memory_check_ms=50).start()
    one.pass_time(SECOND)
    assert not one.of(MeasureMemory)
    task = one.offer()
    one.pass_time(50 * MS)
    assert one.of(MeasureMemory) == [MeasureMemory(1)]
    one.handle(MemoryMeasured(1, 60 << 20))
    one.pass_time(50 * MS)
    assert len(one.of(MeasureMemory)) == 2
    one.answer(task)
    one.handle(MemoryMeasured(1, 60 << 20))
    one.pass_time(SECOND)
    assert len(one.of(MeasureMemory)) == 2


def test_memory_breach_kills_and_names_the_sizes(stage):
    one = stage(Contract(name="echo", memory_bytes=64 << 20)).start()
    task = one.offer()
    one.pass_time(50 * MS)
    one.handle(MemoryMeasured(1, 65 << 20))
    assert one.killed() == [1]
    one.exit(1)
    assert one.failure(task).code == "out_of_memory"
    assert "65 MiB" in one.failure(task).message
