"""The client's methods over a core whose mesh is played by the test: no sockets."""

from __future__ import annotations

import pytest
import trio

from hubless.client.errors import TaskFailed, TaskTimedOut
from hubless.client.mesh import Mesh
from hubless.client.reply import Reply
from hubless.wire import Accepted, Answer, Cancel, Durability
from hubless_agents import Effect, Failure

A = "127.0.0.1:1"


class Wiring:
    """Hands submissions to a real core; `submits` are what left it."""

    def __init__(self, desk) -> None:
        self._desk = desk
        self.session = desk.session
        self.sent: list = []

    def submit(self, agent, payload, settle, *, timeout=None, deadline=None, durability=None, **options):
        call = self.session.calls.submit(0, agent, payload, settle=settle, **options)
        self.sent += self._desk.sent().get(A, [])
        return call

    def cancel(self, call) -> None:
        self.session.calls.cancel(call)
        self.sent += self._desk.sent().get(A, [])

    async def ask(self, what, argument, *, at, timeout):
        return {"what": what, "task": argument}


@pytest.fixture
def desk(Desk):
    desk = Desk(A)
    desk.up(A)
    return desk


async def told_while(desk, wiring, method, *messages_of):
    """Runs `method` and, once it waits, has the node send what `messages_of` make of the task's id."""
    box = []

    async def run() -> None:
        box.append(await method())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        task = wiring.sent[0].task
        for message_of in messages_of:
            desk.hear(A, message_of(task))
    return box[0]


async def test_the_receipt_ends_the_wait_and_the_outcome_may_follow(desk):
    wiring = Wiring(desk)
    mesh = Mesh(wiring)
    handle = await told_while(desk, wiring, lambda: mesh.submit("echo", [1]), Accepted)
    (submit,) = wiring.sent
    assert (handle.id, submit.payload, submit.durability) == (
        submit.task.hex(),
        b"[1]",
        Durability.REPLICATED,
    )
    assert repr(handle) == f"TaskHandle(id={handle.id!r})"
    desk.answer(A, submit.task, payload=b"[2]")
    assert await handle.result() == [2]
    assert await handle.status() == {"what": "status", "task": handle.id}
    assert await handle.cancel() == {"what": "cancel", "task": handle.id}


async def test_a_task_that_was_refused_has_no_handle(desk):
    wiring = Wiring(desk)
    refusal = Failure(code="unknown_agent", message="no such agent")
    with pytest.RaisesGroup(pytest.RaisesExc(TaskFailed, match="no such agent")):
        await told_while(
            desk,
            wiring,
            lambda: Mesh(wiring).submit("nobody"),
            lambda task: Answer(task, None, refusal, "", 0),
        )
    with pytest.raises(TaskFailed, match="payload_too_large"):
        await Mesh(wiring).submit("echo", "x" * 2000)


async def test_a_task_that_ended_before_its_receipt_came_has_a_handle(desk):
    wiring = Wiring(desk)
    failure = Failure(code="raised", message="no", effect=Effect.MAYBE)
    handle = await told_while(
        desk, wiring, lambda: Mesh(wiring).submit("echo"), lambda task: Answer(task, None, failure, "n", 3)
    )
    assert await handle.reply() == Reply(b"", failure, "n", 3)


async def test_who_is_cancelled_before_the_receipt_withdraws_the_task(desk):
    wiring = Wiring(desk)
    with trio.move_on_after(0):
        await Mesh(wiring).submit("echo")
    submit, cancel = wiring.sent
    assert cancel == Cancel(submit.task, alone=True)


async def test_a_task_is_asked_about_by_its_id_alone(desk):
    mesh = Mesh(Wiring(desk))
    task = "AB" * 16
    assert await mesh.status(task) == {"what": "status", "task": task.lower()}
    assert await mesh.cancel(task) == {"what": "cancel", "task": task.lower()}
    assert await mesh.retry(task) == {"what": "retry", "task": task.lower()}
    with pytest.raises(ValueError, match="32 hex digits"):
        await mesh.result("17")


async def test_an_expired_call_is_a_timeout(desk):
    wiring = Wiring(desk)
    expired = Failure(code="expired", message="too late")
    with pytest.RaisesGroup(TaskTimedOut):
        await told_while(
            desk, wiring, lambda: Mesh(wiring).call("echo"), lambda task: Answer(task, None, expired, "", 0)
        )
