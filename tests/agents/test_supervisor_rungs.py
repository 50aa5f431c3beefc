"""The supervisor's three rungs, event by event; the test plays the workers."""

import msgspec
import pytest

from hubless_agents import (
    AgentQuarantined,
    AgentReleased,
    Contract,
    Effect,
    GiveTask,
    OffersChanged,
    SpawnWorker,
    Withdrawn,
    WorkerReady,
)
from hubless_agents.contract import OnBreach

MS = 1_000_000
SECOND = 1_000 * MS
INT = Contract(name="int", output_schema=b'{"type":"integer"}')


# ---- rungs ---------------------------------------------------------------------------------------------


def test_rejected_answer_is_repeated_with_what_was_wrong(stage):
    contract = msgspec.structs.replace(INT, on_breach=OnBreach(schema="retry"), retries=1)
    one = stage(contract).start()
    task = one.offer("int")
    one.answer(task, payload=b'"x"')
    assert one.outcome(task) is None
    (told,) = one.give_of(task).assignment.failures
    assert (told.code, told.effect) == ("bad_output", Effect.DONE)
    assert not one.killed()
    one.answer(task, payload=b"3")
    assert one.succeeded(task)


def test_repetitions_used_up_lead_to_the_second_rung(stage):
    contract = msgspec.structs.replace(INT, on_breach=OnBreach(schema="retry"), retries=1)
    one = stage(contract).start()
    task = one.offer("int")
    one.answer(task, payload=b'"x"')
    one.answer(task, payload=b'"y"')
    assert one.failure(task).code == "bad_output"
    assert len(one.killed()) == 1


def test_waiting_repetition_does_not_claim_to_be_without_effect(stage):
    contract = msgspec.structs.replace(INT, on_breach=OnBreach(schema="retry"), retries=5, deadline_ms=500)
    one = stage(contract, Contract(name="other"), prefetch_max=0).start()
    task = one.offer("int")
    one.offer("other")
    for _ in range(3):  # until it is the other agent's turn
        if not one.core.load()["int"].queued:
            one.answer(task, payload=b'"x"')
    assert one.core.load()["int"].queued
    one.pass_time(SECOND)  # longer than one run may take: it is not running
    assert one.outcome(task) is None
    one.handle(Withdrawn(task))
    assert one.failure(task).effect is Effect.DONE


@pytest.mark.parametrize(("rung", "kills"), [("fail", 0), ("kill", 1), ("quarantine", 1)])
def test_contract_chooses_the_rung(stage, rung, kills):
    one = stage(msgspec.structs.replace(INT, on_breach=OnBreach(schema=rung))).start()
    task = one.offer("int")
    one.answer(task, payload=b"null")
    assert (one.failure(task).code, one.failure(task).effect) == ("bad_output", Effect.DONE)
    assert len(one.killed()) == kills
    assert len(one.of(AgentQuarantined)) == (rung == "quarantine")


def crash(one, agent="echo"):
    task = one.offer(agent)
    worker = one.give_of(task).worker
    one.exit(worker, "signal SIGSEGV")
    one.start_new()
    return task


@pytest.fixture
def crashing(stage):
    """A stage whose workers can be crashed one after the other."""

    def make(*contracts, **knobs):
        one = stage(*contracts, **knobs).start()
        ready = {spawn.worker for spawn in one.of(SpawnWorker)}

        def start_new():
            for spawn in one.of(SpawnWorker):
                if spawn.worker not in ready:
                    ready.add(spawn.worker)
                    one.handle(WorkerReady(spawn.worker, 1, one.contracts))

        one.start_new = start_new
        return one

    return make


def test_too_many_kills_quarantine_the_agent_and_only_it(crashing):
    one = crashing(Contract(name="echo"), Contract(name="calm"), max_kills=2, kill_window_s=10)
    crash(one)
    crash(one)
    assert not one.of(AgentQuarantined)
    crash(one)
    (told,) = one.of(AgentQuarantined)
    assert told.agent == "echo"
    assert [contract.name for contract in one.last(OffersChanged).contracts] == ["calm"]
    refused = one.offer()
    assert one.failure(refused).code == "quarantined"
    assert one.failure(refused).retry_after_ms > 0
    calm = one.offer("calm")
    one.answer(calm)
    assert one.succeeded(calm)


def test_kills_far_apart_are_forgiven(crashing):
    one = crashing(max_kills=1, kill_window_s=10)
    for _ in range(5):
        crash(one)
        one.pass_time(11 * SECOND)
    assert not one.of(AgentQuarantined)


def quarantined(crashing, **knobs):
    one = crashing(max_kills=1, quarantine_base_ms=10_000, **knobs)
    crash(one)
    crash(one)
    assert one.of(AgentQuarantined)
    return one


def test_after_the_quarantine_one_single_try_decides(crashing):
    one = quarantined(crashing, workers=2)
    one.pass_time(13 * SECOND)
    assert one.last(AgentReleased).trial
    trial, waits = one.offer(), one.offer()
    assert one.core.load()["echo"].queued == 1
    one.answer(trial)
    assert not one.last(AgentReleased).trial
    one.answer(waits)
    assert one.succeeded(waits)


def test_failed_trial_doubles_the_quarantine(crashing):
    one = quarantined(crashing)
    one.pass_time(13 * SECOND)
    crash(one)
    first, second = one.of(AgentQuarantined)
    assert (second.until_ns - one.now_ns) > 1.3 * first.failure.retry_after_ms * MS


def test_queue_of_a_quarantined_agent_is_turned_away(crashing):
    one = crashing(max_kills=1, prefetch_max=0)
    crash(one)
    task, waits = one.offer(), one.offer()
    one.exit(one.give_of(task).worker)
    assert one.failure(task).code == "worker_died"
    assert (one.failure(waits).code, one.failure(waits).effect) == ("quarantined", Effect.NONE)


def test_kill_that_quarantines_gives_the_spare_nothing_of_that_agent(stage):
    one = stage(
        Contract(name="echo", deadline_ms=1_000, on_breach=OnBreach(deadline="quarantine")),
        recall_after_ms=9_000,
    ).start()
    one.warm(10_000)
    tasks = [one.offer() for _ in range(3)]
    waits = [one.offer(payload=b'"' + b"x" * 70_000 + b'"') for _ in range(2)]  # too large to be prefetched
    given = len(one.of(GiveTask))
    one.pass_time(SECOND)
    for task in waits:
        assert one.failure(task).code == "quarantined"
    one.exit(1)
    assert len(one.of(GiveTask)) == given
    assert [one.failure(task).code for task in tasks] == ["deadline", "quarantined", "quarantined"]


def test_exceptions_do_not_count_for_intensity(stage):
    one = stage(max_kills=1).start()
    for _ in range(10):
        one.answer(one.offer(), "raised", b"", message="ValueError: x")
    assert not one.of(AgentQuarantined)
    assert not one.killed()
