"""Many calls at once: replies and answers to iterate over, with a bound on what is under way."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec

from hubless.client.call import Call
from hubless.client.errors import MeshError
from hubless.client.reply import Reply

_MOST_RETRY_S = 5.0


class Replies:
    """What `Mesh.stream` returns: an async iterator of `Reply`.

    Leaving the loop early leaves tasks under way; `aclose`, or `async with` around the loop, cancels them.
    """

    def __init__(
        self,
        *,
        submit: Callable[[bytes, str, str, Callable[[Reply], None]], Call],
        cancel: Callable[[Call], None],
        encode: Callable[[Any], bytes],
        key: Callable[[Any], str] | None,
        idempotency_key: Callable[[Any], str] | None,
        in_flight: int,
        ordered: bool,
        retry_s: float,
    ) -> None:
        self._submit = submit
        self._cancel = cancel
        self._encode = encode
        self._key = key
        self._name = idempotency_key
        self._most = in_flight
        self._ordered = ordered
        self._retry_s = retry_s
        self._replies: dict[int, Reply] = {}
        self._calls: dict[int, Call | None] = {}
        self._again: list[_Again] = []
        self._fed = 0
        self._taken = 0
        self._is_fed = False
        self._problem: Exception | None = None
        self._arrived = anyio.Event()
        self._room = anyio.Event()
        self._scope = anyio.CancelScope()

    async def feed(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Submits the items as room comes up. Run once, by the mesh; a failing iterable fails the iteration."""
        with self._scope:
            try:
                if isinstance(items, AsyncIterable):
                    async for item in items:
                        await self._feed_one(item)
                else:
                    for item in items:
                        await self._feed_one(item)
            except Exception as problem:  # noqa: BLE001 - it is the caller's, and raised where the caller iterates
                self._problem = problem
            self._is_fed = True
            self._arrived.set()
            while not self._is_finished():
                await self._wait_for_room()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Reply:
        while True:
            index = self._next_index()
            if index is not None:
                self._taken += 1
                self._room.set()
                return self._replies.pop(index)
            if self._is_finished():
                if self._problem is not None:
                    problem, self._problem = self._problem, None
                    raise problem
                raise StopAsyncIteration
            self._arrived = anyio.Event()
            await self._arrived.wait()

    async def aclose(self) -> None:
        """Cancels what is under way."""
        self._scope.cancel()
        self._is_fed = True
        for call in self._calls.values():
            if call is not None:
                self._cancel(call)
        self._calls.clear()
        self._again.clear()
        self._fed = self._taken
        self._replies.clear()
        self._arrived.set()
        await anyio.lowlevel.checkpoint()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose()

    def _is_finished(self) -> bool:
        return self._is_fed and self._taken >= self._fed

    def _next_index(self) -> int | None:
        if self._ordered:
            return self._taken if self._taken in self._replies else None
        return next(iter(self._replies), None)

    async def _feed_one(self, item: Any) -> None:
        while self._fed - self._taken >= self._most:
            await self._wait_for_room()
        payload, key = self._encode(item), self._key(item) if self._key else ""
        name = self._name(item) if self._name else ""
        index, self._fed = self._fed, self._fed + 1
        try:
            self._try(_Again(0.0, index, payload, key, name, anyio.current_time() + self._retry_s))
        except Exception:
            self._fed = index  # nobody will answer it
            self._calls.pop(index, None)
            raise

    def _try(self, attempt: _Again) -> None:
        self._calls[attempt.index] = None

        def settle(reply: Reply) -> None:
            self._settled(attempt, reply)

        call = self._submit(attempt.payload, attempt.key, attempt.name, settle)
        if attempt.index in self._calls:
            self._calls[attempt.index] = call

    def _settled(self, attempt: _Again, reply: Reply) -> None:
        if attempt.index not in self._calls:
            return  # closed
        del self._calls[attempt.index]
        failure = reply.failure
        if failure is not None and failure.code == "overloaded":
            now = anyio.current_time()
            wait_s = min(_MOST_RETRY_S, (failure.retry_after_ms or 100) / 1000)
            if now + wait_s < attempt.ends:
                attempt.due = now + wait_s
                self._again.append(attempt)
                self._room.set()
                return
        self._replies[attempt.index] = msgspec.structs.replace(reply, index=attempt.index)
        self._arrived.set()

    async def _wait_for_room(self) -> None:
        """Waits for an answer to be taken, and submits again what the mesh put off."""
        self._room = anyio.Event()
        due = min((attempt.due for attempt in self._again), default=float("inf"))
        with anyio.move_on_at(due):
            await self._room.wait()
        now = anyio.current_time()
        ready = [attempt for attempt in self._again if attempt.due <= now]
        self._again = [attempt for attempt in self._again if attempt.due > now]
        for attempt in ready:
            self._try(attempt)


class Results:
    """What `Mesh.map` returns: an async iterator of answers."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        reply = await self._replies.__anext__()
        try:
            return reply.value
        except MeshError:
            await self._replies.aclose()
            raise

    async def aclose(self) -> None:
        """Cancels what is under way."""
        await self._replies.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._replies.__aexit__(kind, problem, trace)


@dataclass(slots=True)
class _Again:
    """A task to be submitted, at `due` or at once, and again until `ends` (both on the event loop's clock).

    `name` is its idempotency key.
    """

    due: float
    index: int
    payload: bytes
    key: str
    name: str
    ends: float
