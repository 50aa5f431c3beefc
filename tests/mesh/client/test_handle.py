"""Waiting for the outcome of an accepted task, with the mesh played by the test."""

from __future__ import annotations

import pytest
import trio

from hubless.client.errors import TaskFailed, TaskTimedOut, UnreachableError
from hubless.client.handle import outcome
from hubless.client.reply import Reply
from hubless.client.waiter import Waiter
from hubless_agents import Effect, Failure

TASK = "ab" * 16


def row(state: str, **fields) -> dict:
    return {
        "task": TASK,
        "agent": "a",
        "state": state,
        "attempt": 1,
        "executor": "n2",
        "result": None,
    } | fields


def failed(code: str, message: str = "no") -> TaskFailed:
    return TaskFailed(Failure(code=code, message=message))


class Mesh:
    """Answers with what it was given, at last always the same; remembers what it was asked and when."""

    def __init__(self, *answers) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, float]] = []

    async def ask(self, what: str, argument: str) -> dict:
        assert argument == TASK
        self.asked.append((what, trio.current_time()))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_it_is_asked_for_with_growing_pauses_until_it_has_ended(autojump_clock):
    mesh = Mesh(*[row("running")] * 9, row("succeeded", result="[1]"))
    began = trio.current_time()
    assert await outcome(mesh.ask, TASK, None) == Reply(b"[1]", None, "n2", 1)
    times = [round((at - began) * 1000) for _, at in mesh.asked]
    assert times == [0, 20, 60, 140, 300, 620, 1260, 2260, 3260, 4260]


async def test_a_result_that_was_cut_is_asked_for_in_full(autojump_clock):
    mesh = Mesh(row("succeeded", result='["abc'), row("succeeded", result='["abcdef"]'))
    assert (await outcome(mesh.ask, TASK, None)).value == ["abcdef"]
    assert [what for what, _ in mesh.asked] == ["status", "result"]


async def test_an_outcome_that_comes_on_its_own_ends_the_wait(autojump_clock):
    mesh, told = Mesh(row("running")), Waiter()

    async def tell() -> None:
        await trio.sleep(30.2)
        told.settle(Reply(b"5"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell)
        began = trio.current_time()
        assert (await outcome(mesh.ask, TASK, None, told)).value == 5
        assert trio.current_time() - began == pytest.approx(30.2)
    asked = len(mesh.asked)
    assert (await outcome(mesh.ask, TASK, 1, told)).value == 5
    assert len(mesh.asked) == asked


@pytest.mark.parametrize(
    ("told", "code", "effect"),
    [
        (
            row("failed", failures=[{"code": "raised", "message": "no", "effect": "maybe"}]),
            "raised",
            Effect.MAYBE,
        ),
        (row("dead", failures=[{"code": "worker_died", "message": "no"}] * 2), "worker_died", Effect.NONE),
        (row("cancelled", attempt=0), "cancelled", Effect.NONE),
        (row("cancelled", failures=[{"code": "raised", "message": "no"}]), "cancelled", Effect.MAYBE),
        (row("expired", failures=[]), "expired", Effect.MAYBE),
    ],
)
async def test_a_task_that_ended_otherwise_is_a_failure_and_says_of_its_effect(told, code, effect):
    reply = await outcome(Mesh(told).ask, TASK, None)
    assert (reply.failure.code, reply.failure.effect, reply.node) == (code, effect, "n2")


async def test_who_stops_waiting_knows_that_the_task_goes_on(autojump_clock):
    with pytest.raises(
        TaskTimedOut, match=f"task {TASK} has not ended after 3 s, its state is running"
    ) as caught:
        await outcome(Mesh(row("running")).ask, TASK, 3)
    assert caught.value.effect is Effect.MAYBE


async def test_a_task_that_the_mesh_does_not_know_is_an_error_at_once():
    mesh = Mesh(failed("refused", "no task has this id"))
    with pytest.raises(TaskFailed, match="no task has this id"):
        await outcome(mesh.ask, TASK, 60)
    assert len(mesh.asked) == 1


@pytest.mark.parametrize("problem", [UnreachableError("no node is connected"), failed("unreachable")])
async def test_silence_is_waited_out_for_a_while(autojump_clock, problem):
    mesh = Mesh(problem, problem, row("succeeded", result="1"))
    assert (await outcome(mesh.ask, TASK, None)).value == 1
    began = trio.current_time()
    with pytest.raises(type(problem)):
        await outcome(Mesh(problem).ask, TASK, None)
    assert 10 <= trio.current_time() - began < 12
    with pytest.raises(TaskTimedOut, match="its state is not known"):
        await outcome(Mesh(problem).ask, TASK, 60)
