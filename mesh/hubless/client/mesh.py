"""The asynchronous client's methods, under trio and asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

import anyio
import msgspec

from hubless.client.arguments import DurabilityName
from hubless.client.call import Call
from hubless.client.gateways import Phase
from hubless.client.handle import TaskHandle, outcome
from hubless.client.ids import checked_task_id
from hubless.client.reply import Reply
from hubless.client.results import Replies, Results
from hubless.client.settling import settled
from hubless.client.waiter import Waiter
from hubless.client.wiring import Wiring

_encode = msgspec.json.Encoder().encode
_ASK_S = 5.0


class Mesh:
    """A connected client. Made by `connect`; all methods belong to the event loop that entered it."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    # -- calls ----------------------------------------------------------------------------------------

    async def call(
        self,
        agent: str,
        payload: Any = None,
        *,
        key: str = "",
        timeout: float | None = None,
        durability: DurabilityName | None = None,
        idempotency_key: str = "",
        wait_for_quorum: bool = True,
    ) -> Any:
        """Calls an agent and returns its answer.

        Args:
            payload: anything that msgspec can encode as JSON: plain values, dataclasses, Structs.
            key: calls with the same key go to the same shard of the mesh.
            timeout: seconds of patience; None leaves the limit to the agent's own deadline. The task has no longer.
            durability: "replicated": it is kept by a majority of its shard; "none": it is lost with its node, and
                faster; None leaves the choice to the agent.
            idempotency_key: names the task: whoever calls with the same key, from whatever client, calls the same
                task and gets its one outcome, for as long as the mesh keeps it. Together with `key` it does so for
                each key. Such a task is never withdrawn because a caller went away.
            wait_for_quorum: a task with either key belongs to one shard. While no majority of that can be reached,
                wait until `timeout` (None: the patience of `connect`), or fail at once.

        Raises:
            TaskFailed: the mesh answered with a failure; `TaskTimedOut` if that is a deadline; code "unreachable" with
                effect "none" if no majority of the task's shard could be reached.
            UnreachableError: no node of the mesh answers any more.
            TypeError: the payload cannot be encoded as JSON.
            ValueError: a name, key, timeout or durability that no mesh could accept, or two that contradict each other.
        """
        raw = await self.call_raw(
            agent,
            _encode(payload),
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
        )
        return msgspec.json.decode(raw)

    async def call_raw(
        self,
        agent: str,
        payload: bytes,
        *,
        key: str = "",
        timeout: float | None = None,
        durability: DurabilityName | None = None,
        idempotency_key: str = "",
        wait_for_quorum: bool = True,
    ) -> bytes:
        """Like `call`, with payload and answer as JSON bytes."""
        reply = await self.reply(
            agent,
            payload,
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
        )
        return reply.answer()

    async def reply(
        self,
        agent: str,
        payload: bytes,
        *,
        key: str = "",
        timeout: float | None = None,
        durability: DurabilityName | None = None,
        idempotency_key: str = "",
        wait_for_quorum: bool = True,
    ) -> Reply:
        """Calls with a payload of JSON bytes and returns the reply; failures are values here. Arguments as `call`."""
        waiter = Waiter()
        call = self._wiring.submit(
            agent,
            payload,
            waiter.settle,
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            waits_for_quorum=wait_for_quorum,
        )
        while waiter.reply is None:
            await self._heard(waiter.settled, call)
        return waiter.reply

    def map(
        self,
        agent: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        key: Callable[[Any], str] | None = None,
        timeout: float | None = None,
        durability: DurabilityName | None = None,
        idempotency_key: Callable[[Any], str] | None = None,
        wait_for_quorum: bool = True,
        in_flight: int = 256,
        ordered: bool = True,
    ) -> Results:
        """Calls the agent with each item and iterates over the answers: `async for answer in mesh.map(...)`.

        A failed task raises `TaskFailed` when its turn comes, and the rest is cancelled; use `stream` to get
        failures as values and go on. Arguments are those of `stream`.
        """
        replies = self.stream(
            agent,
            items,
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
            in_flight=in_flight,
            ordered=ordered,
        )
        return Results(replies)

    def stream(
        self,
        agent: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        key: Callable[[Any], str] | None = None,
        timeout: float | None = None,
        durability: DurabilityName | None = None,
        idempotency_key: Callable[[Any], str] | None = None,
        wait_for_quorum: bool = True,
        in_flight: int = 256,
        ordered: bool = True,
        raw: bool = False,
    ) -> Replies:
        """Calls the agent with each item and iterates over `Reply` values; a failed task is a value too.

        Args:
            items: any iterable or async iterable; it is read only as fast as answers are taken.
            key: gives the key of an item.
            timeout: seconds of patience for each task.
            durability: as in `call`, for each task.
            idempotency_key: gives the idempotency key of an item.
            wait_for_quorum: as in `call`, for each task.
            in_flight: most tasks under way, and answers not yet taken, at one time.
            ordered: replies come in the order of the items; otherwise as they arrive, see `Reply.index`.
            raw: the items are JSON bytes already.

        A task that the mesh refuses as overloaded is submitted again after the time that the mesh asks for,
        until its own timeout, or one minute.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight is {in_flight}; it must be positive")
        submit = self._wiring.submit
        replies = Replies(
            submit=lambda payload, item_key, name, settle: submit(
                agent,
                payload,
                settle,
                key=item_key,
                timeout=timeout,
                durability=durability,
                idempotency_key=name,
                waits_for_quorum=wait_for_quorum,
            ),
            cancel=self._wiring.cancel,
            encode=(lambda item: item) if raw else _encode,
            key=key,
            idempotency_key=idempotency_key,
            in_flight=in_flight,
            ordered=ordered,
            retry_s=60.0 if timeout is None else timeout,
        )
        self._wiring.tasks.start_soon(replies.feed, items)
        return replies

    # -- tasks that outlive their callers -------------------------------------------------------------

    async def submit(
        self,
        agent: str,
        payload: Any = None,
        *,
        key: str = "",
        idempotency_key: str = "",
        timeout: float = 10.0,
        deadline: float | None = None,
        wait_for_quorum: bool = True,
        raw: bool = False,
    ) -> TaskHandle:
        """Hands a task in and returns its receipt, once a majority of its shard's replicas has the task on disk.

        From then on the caller may go away: whoever knows the id gets the outcome, for as long as the mesh keeps it.
        When the gateway is lost before the receipt has come, another is asked for it, under the same id.

        Args:
            timeout: seconds of patience for the receipt.
            deadline: seconds that the task has; None leaves the limit to the agent's own deadline.
            raw: the payload is JSON bytes already.
            key, idempotency_key, wait_for_quorum: as in `call`.

        Raises:
            TaskTimedOut: no receipt in time. With effect "maybe" it may have been accepted all the same; a task without
                an idempotency key has been withdrawn, as far as the mesh hears of it.
            TaskFailed: the mesh did not take it: unknown agent, bad input, overloaded, no majority of its shard, ...
            UnreachableError, TypeError, ValueError: as `call`.
        """
        waiter = Waiter()
        call = self._wiring.submit(
            agent,
            payload if raw else _encode(payload),
            waiter.settle,
            key=key,
            idempotency_key=idempotency_key,
            timeout=timeout,
            deadline=deadline,
            waits_for_quorum=wait_for_quorum,
            accepted=waiter.accept,
        )
        await self._heard(waiter.heard, call)
        reply = waiter.reply
        if reply is not None and reply.attempt == 0 and not waiter.is_accepted:
            reply.answer()  # raises: without an attempt there is no answer
        return TaskHandle(call.submit.task.hex(), self, waiter)

    async def result(self, task: str, timeout: float | None = None) -> Any:
        """Waits for the answer of a task that the mesh has accepted, from any client.

        Raises:
            TaskTimedOut: it has not ended in `timeout` seconds, and goes on; or it ended by a deadline.
            TaskFailed: it failed, or the mesh does not know it (code "refused").
            UnreachableError: for ten seconds, or until `timeout`, nobody could say.
            ValueError: that is no task id.
        """
        return (await outcome(self.ask, checked_task_id(task), timeout)).value

    async def status(self, task: str) -> dict[str, Any]:
        """What the mesh keeps of a task: its state, attempts, failures, times and the beginning of its result.

        Raises:
            TaskFailed: the mesh does not know it (code "refused"), or in two seconds found no owner of its shard that
                answers ("unreachable").
            UnreachableError, ValueError: as `result`.
        """
        return await self.ask("status", checked_task_id(task))

    async def cancel(self, task: str) -> dict[str, Any]:
        """Cancels a task that has not ended; returns {"task", "state"}. What its agent did may have happened.

        Errors as `status`; `UnreachableError`, and "unreachable" of an owner that fell silent, have the effect "maybe".
        """
        return await self.ask("cancel", checked_task_id(task))

    async def retry(self, task: str) -> dict[str, Any]:
        """Queues a task again that ended without a result; returns {"task", "state"}. Errors as `cancel`."""
        return await self.ask("retry", checked_task_id(task))

    async def settled(self, *, replicas: int = 3, timeout: float = 60.0) -> None:
        """Waits until every shard has its replicas, or as many as there are nodes: none of them is indispensable then.

        A new mesh, or one that nodes have joined or left, takes a moment to spread what it keeps.

        Raises:
            TimeoutError: not in time; see `mesh shards`.
        """
        with anyio.fail_after(timeout):
            await settled(self.ask, replicas)

    # -- questions ------------------------------------------------------------------------------------

    @property
    def mesh_id(self) -> str:
        """The id of the mesh, as hex digits."""
        return self._wiring.session.mesh.hex()

    @property
    def shards(self) -> int:
        """How many shards the mesh has."""
        return self._wiring.session.shards

    def connected(self) -> list[str]:
        """The addresses of the nodes that are connected now."""
        return [known.address for known in self._wiring.session.gateways if known.phase is Phase.UP]

    async def members(self) -> list[dict[str, Any]]:
        """The members of the mesh, as the asked node believes them to be."""
        members: list[dict[str, Any]] = (await self.ask("members"))["members"]
        return members

    async def ask(
        self, what: str, argument: str = "", *, at: str | None = None, timeout: float = _ASK_S
    ) -> dict[str, Any]:
        """Asks a node an operator's question, or gives it an order; see `hubless.wire.Ask` for which there are.

        Args:
            at: the address, among those given to `connect`, of the node to ask; None asks any.

        Raises:
            UnreachableError: the node is not connected, was lost, or did not answer in time; of an order the effect is
                "maybe".
            TaskFailed: the node refused the question.
        """
        return await self._wiring.ask(what, argument, at=at, timeout=timeout)

    async def _heard(self, event: anyio.Event, call: Call) -> None:
        try:
            await event.wait()
        except BaseException:
            self._wiring.cancel(call)
            raise
