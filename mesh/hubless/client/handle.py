"""A task that the mesh has accepted, and how its outcome is waited for, by whoever knows its id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from hubless.client.errors import MeshError, TaskFailed, UnreachableError, failed
from hubless.client.reply import Reply
from hubless.client.rows import is_whole, reply_of
from hubless.client.waiter import Waiter
from hubless_agents import Effect, Failure

if TYPE_CHECKING:
    from hubless.client.mesh import Mesh

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
_PATIENCE_S = 10.0

Ask = Callable[[str, str], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class TaskHandle:
    """The receipt of a task: a majority of its shard's replicas has it on disk.

    `id` (32 hex digits) is all that anybody needs to ask for it, here or elsewhere, now or later.
    """

    id: str
    _mesh: Mesh = field(repr=False, compare=False)
    _waiter: Waiter = field(repr=False, compare=False)

    async def result(self, timeout: float | None = None) -> Any:
        """Waits for the answer; errors as `Mesh.result`."""
        return (await self.reply(timeout)).value

    async def reply(self, timeout: float | None = None) -> Reply:
        """Waits for the outcome; a task's failure is a value here. Errors as `Mesh.result` otherwise."""
        return await outcome(self._mesh.ask, self.id, timeout, self._waiter)

    async def status(self) -> dict[str, Any]:
        """What the mesh says of the task; see `Mesh.status`."""
        return await self._mesh.status(self.id)

    async def cancel(self) -> dict[str, Any]:
        """Cancels the task; see `Mesh.cancel`."""
        return await self._mesh.cancel(self.id)


async def outcome(ask: Ask, task: str, timeout: float | None, told: Waiter | None = None) -> Reply:
    """Asks until the task has ended, with growing pauses.

    Args:
        timeout: seconds to wait; None waits as long as the mesh can be asked.
        told: who may hear of the outcome without asking.

    Raises:
        TaskTimedOut: it has not ended in time. The mesh keeps it, and can be asked again.
        UnreachableError: for ten seconds nobody could say.
        TaskFailed: the mesh does not know the task.
    """
    told = told or Waiter()
    state = "not known"
    pause_s = _FIRST_PAUSE_S
    silent_since: float | None = None
    with anyio.move_on_after(timeout):
        while told.reply is None:
            try:
                row = await ask("status", task)
                if not is_whole(row):
                    row = await ask("result", task)
            except MeshError as problem:
                silent_since = _checked_silence(problem, silent_since, timeout)
            else:
                state, silent_since = row["state"], None
                reply = reply_of(row)
                if reply is not None:
                    return reply
            with anyio.move_on_after(pause_s):
                await told.settled.wait()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    if told.reply is not None:
        return told.reply
    text = (
        f"task {task} has not ended after {timeout:g} s, its state is {state}: the mesh keeps it, ask again"
    )
    raise failed(Failure(code="expired", message=text, where="client", effect=Effect.MAYBE))


def _checked_silence(problem: MeshError, since: float | None, timeout: float | None) -> float:
    """Since when nobody could say anything.

    Raises:
        MeshError: `problem`, if asking again does not help, or has been tried for long and there is no other end.
    """
    passing = isinstance(problem, UnreachableError) or (
        isinstance(problem, TaskFailed) and problem.failure.code == "unreachable"
    )
    now = anyio.current_time()
    since = now if since is None else since
    if not passing or (timeout is None and now - since >= _PATIENCE_S):
        raise problem
    return since
