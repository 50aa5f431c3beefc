"""The blocking client: the same methods for programs without an event loop.

    with hubless.connect_blocking("127.0.0.1:7000") as mesh:
        print(mesh.call("hello", "Ada"))

An event loop runs in a thread of its own for as long as the `with` lasts; methods may be called from any thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from hubless.client.arguments import DurabilityName
from hubless.client.connection import connect
from hubless.client.handle import TaskHandle
from hubless.client.mesh import Mesh
from hubless.client.reply import Reply

Result = TypeVar("Result")

_END = object()


@contextmanager
def connect_blocking(
    *addresses: str, mesh: str = "", connect_timeout: float = 5.0, patience: float = 10.0
) -> Iterator[BlockingMesh]:
    """Connects as `connect` does, with the same arguments and errors, and gives a `BlockingMesh`."""
    connection = connect(*addresses, mesh=mesh, connect_timeout=connect_timeout, patience=patience)
    with (
        start_blocking_portal(backend="trio") as portal,
        portal.wrap_async_context_manager(connection) as inner,
    ):
        yield BlockingMesh(inner, portal)


class BlockingMesh:
    """A connected client for plain threads. Made by `connect_blocking`."""

    def __init__(self, mesh: Mesh, portal: BlockingPortal) -> None:
        self._mesh = mesh
        self._portal = portal

    def call(
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
        """Calls an agent and returns its answer; see `Mesh.call`."""
        return self._run(
            self._mesh.call,
            agent,
            payload,
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
        )

    def call_raw(
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
        return self._run(
            self._mesh.call_raw,
            agent,
            payload,
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
        )

    def reply(
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
        """Calls with a payload of JSON bytes and returns the reply; failures are values here."""
        return self._run(
            self._mesh.reply,
            agent,
            payload,
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
        )

    def map(
        self,
        agent: str,
        items: Iterable[Any],
        *,
        key: Callable[[Any], str] | None = None,
        timeout: float | None = None,
        durability: DurabilityName | None = None,
        idempotency_key: Callable[[Any], str] | None = None,
        wait_for_quorum: bool = True,
        in_flight: int = 256,
        ordered: bool = True,
    ) -> Iterator[Any]:
        """Iterates over the answers for many items; see `Mesh.map`. `items` is read in the loop's thread."""
        return self._iterate(
            partial(
                self._mesh.map,
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
        )

    def stream(
        self,
        agent: str,
        items: Iterable[Any],
        *,
        key: Callable[[Any], str] | None = None,
        timeout: float | None = None,
        durability: DurabilityName | None = None,
        idempotency_key: Callable[[Any], str] | None = None,
        wait_for_quorum: bool = True,
        in_flight: int = 256,
        ordered: bool = True,
        raw: bool = False,
    ) -> Iterator[Reply]:
        """Iterates over the replies for many items; see `Mesh.stream`. `items` is read in the loop's thread."""
        return self._iterate(
            partial(
                self._mesh.stream,
                agent,
                items,
                key=key,
                timeout=timeout,
                durability=durability,
                idempotency_key=idempotency_key,
                wait_for_quorum=wait_for_quorum,
                in_flight=in_flight,
                ordered=ordered,
                raw=raw,
            )
        )

    def submit(
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
    ) -> BlockingTaskHandle:
        """Hands a task in and returns its receipt; see `Mesh.submit`."""
        handle = self._run(
            self._mesh.submit,
            agent,
            payload,
            key=key,
            idempotency_key=idempotency_key,
            timeout=timeout,
            deadline=deadline,
            wait_for_quorum=wait_for_quorum,
            raw=raw,
        )
        return BlockingTaskHandle(handle.id, handle, self._portal)

    def result(self, task: str, timeout: float | None = None) -> Any:
        """Waits for the answer of an accepted task; see `Mesh.result`."""
        return self._portal.call(self._mesh.result, task, timeout)

    def status(self, task: str) -> dict[str, Any]:
        """What the mesh keeps of a task; see `Mesh.status`."""
        return self._portal.call(self._mesh.status, task)

    def cancel(self, task: str) -> dict[str, Any]:
        """Cancels a task; see `Mesh.cancel`."""
        return self._portal.call(self._mesh.cancel, task)

    def retry(self, task: str) -> dict[str, Any]:
        """Queues a task again that ended without a result; see `Mesh.retry`."""
        return self._portal.call(self._mesh.retry, task)

    @property
    def mesh_id(self) -> str:
        """The id of the mesh, as hex digits."""
        return self._mesh.mesh_id

    def connected(self) -> list[str]:
        """The addresses of the nodes that are connected now."""
        return self._portal.call(self._mesh.connected)

    def members(self) -> list[dict[str, Any]]:
        """The members of the mesh, as the asked node believes them to be."""
        return self._portal.call(self._mesh.members)

    def ask(
        self, what: str, argument: str = "", *, at: str | None = None, timeout: float = 5.0
    ) -> dict[str, Any]:
        """Asks a node an operator's question; see `Mesh.ask`."""
        return self._portal.call(partial(self._mesh.ask, what, argument, at=at, timeout=timeout))

    def _run(self, method: Callable[..., Awaitable[Result]], *arguments: Any, **options: Any) -> Result:
        return self._portal.call(partial(method, *arguments, **options))

    def _iterate(self, start: Callable[[], AsyncIterator[Any]]) -> Iterator[Any]:
        replies: Any = self._portal.call(start)
        try:
            while (answer := self._portal.call(_next_or_end, replies)) is not _END:
                yield answer
        finally:
            self._portal.call(replies.aclose)


async def _next_or_end(replies: AsyncIterator[Any]) -> Any:
    return await anext(replies, _END)


@dataclass(frozen=True, slots=True)
class BlockingTaskHandle:
    """The receipt of a task, for plain threads; see `TaskHandle`."""

    id: str
    _handle: TaskHandle = field(repr=False, compare=False)
    _portal: BlockingPortal = field(repr=False, compare=False)

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the answer; errors as `Mesh.result`."""
        return self._portal.call(self._handle.result, timeout)

    def reply(self, timeout: float | None = None) -> Reply:
        """Waits for the outcome; a task's failure is a value here."""
        return self._portal.call(self._handle.reply, timeout)

    def status(self) -> dict[str, Any]:
        """What the mesh says of the task; see `Mesh.status`."""
        return self._portal.call(self._handle.status)

    def cancel(self) -> dict[str, Any]:
        """Cancels the task; see `Mesh.cancel`."""
        return self._portal.call(self._handle.cancel)
