"""The asynchronous client's methods, and the tasks that carry them out, under trio and asyncio."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

import anyio
import msgspec
import zmq
from anyio.abc import TaskGroup

from hubless.client.arguments import patience_ms
from hubless.client.calls import Call, Dial, HangUp, LinkEffect
from hubless.client.errors import (
    RefusedError,
    UnreachableError,
    WrongMeshError,
    WrongVersionError,
    failed,
)
from hubless.client.gateways import Phase, Trouble, TroubleKind
from hubless.client.link import Link, diagnosis
from hubless.client.reply import Reply
from hubless.client.results import Replies, Results
from hubless.client.session import Session
from hubless.wire import Envelope, Told
from hubless_agents import Effect

_NS_PER_S = 1_000_000_000
_GRACE_S = 0.5
_encode = msgspec.json.Encoder().encode
_REFUSALS = {
    TroubleKind.MESH: WrongMeshError,
    TroubleKind.VERSION: WrongVersionError,
    TroubleKind.REFUSED: RefusedError,
    TroubleKind.STRANGER: RefusedError,
}


class Mesh:
    """A connected client. Made by `connect`; all methods belong to the event loop that entered it."""

    def __init__(self, session: Session, tasks: TaskGroup) -> None:
        self._session = session
        self._tasks = tasks
        # The process's context: ending one of our own could wait for ever for a socket that a KeyboardInterrupt
        # left half made.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._links: dict[str, Link] = {}
        self._open: set[Link] = set()
        self._to_send = anyio.Event()
        self._earlier = anyio.Event()
        self._changed = anyio.Event()
        self._wakes_ns = 0

    # -- calls ----------------------------------------------------------------------------------------

    async def call(
        self, agent: str, payload: Any = None, *, key: str = "", timeout: float | None = None
    ) -> Any:
        """Calls an agent and returns its answer.

        Args:
            payload: anything that msgspec can encode as JSON: plain values, dataclasses, Structs.
            key: calls with the same key go to the same shard of the mesh.
            timeout: seconds of patience; None leaves the limit to the agent's own deadline.

        Raises:
            TaskFailed: the mesh answered with a failure; `TaskTimedOut` if that is a deadline.
            UnreachableError: no node of the mesh answers any more.
            TypeError: the payload cannot be encoded as JSON.
            ValueError: an agent's name, a key or a timeout that no mesh could accept.
        """
        return msgspec.json.decode(await self.call_raw(agent, _encode(payload), key=key, timeout=timeout))

    async def call_raw(
        self, agent: str, payload: bytes, *, key: str = "", timeout: float | None = None
    ) -> bytes:
        """Like `call`, with payload and answer as JSON bytes."""
        return (await self.reply(agent, payload, key=key, timeout=timeout)).answer()

    async def reply(
        self, agent: str, payload: bytes, *, key: str = "", timeout: float | None = None
    ) -> Reply:
        """Submits one task, with its payload as JSON bytes, and returns its reply; failures are values here."""
        waiter = _Waiter()
        call = self._submit(agent, payload, waiter.settle, key, timeout)
        try:
            await waiter.settled.wait()
        except BaseException:
            if call is not None:
                self._cancel(call)
            raise
        return waiter.reply

    def map(
        self,
        agent: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        key: Callable[[Any], str] | None = None,
        timeout: float | None = None,
        in_flight: int = 256,
        ordered: bool = True,
    ) -> Results:
        """Calls the agent with each item and iterates over the answers: `async for answer in mesh.map(...)`.

        A failed task raises `TaskFailed` when its turn comes, and the rest is cancelled; use `stream` to get
        failures as values and go on. Arguments are those of `stream`.
        """
        return Results(
            self.stream(agent, items, key=key, timeout=timeout, in_flight=in_flight, ordered=ordered)
        )

    def stream(
        self,
        agent: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        key: Callable[[Any], str] | None = None,
        timeout: float | None = None,
        in_flight: int = 256,
        ordered: bool = True,
        raw: bool = False,
    ) -> Replies:
        """Calls the agent with each item and iterates over `Reply` values; a failed task is a value too.

        Args:
            items: any iterable or async iterable; it is read only as fast as answers are taken.
            key: gives the key of an item.
            timeout: seconds of patience for each task.
            in_flight: most tasks under way, and answers not yet taken, at one time.
            ordered: replies come in the order of the items; otherwise as they arrive, see `Reply.index`.
            raw: the items are JSON bytes already.

        A task that the mesh refuses as overloaded is submitted again after the time that the mesh asks for,
        until its own timeout, or one minute.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight is {in_flight}; it must be positive")
        replies = Replies(
            submit=lambda payload, item_key, settle: self._submit(agent, payload, settle, item_key, timeout),
            cancel=self._cancel,
            encode=(lambda item: item) if raw else _encode,
            key=key,
            in_flight=in_flight,
            ordered=ordered,
            retry_s=60.0 if timeout is None else timeout,
        )
        self._tasks.start_soon(replies.feed, items)
        return replies

    # -- questions ------------------------------------------------------------------------------------

    @property
    def mesh_id(self) -> str:
        """The id of the mesh, as hex digits."""
        return self._session.mesh.hex()

    @property
    def shards(self) -> int:
        """How many shards the mesh has."""
        return self._session.shards

    def connected(self) -> list[str]:
        """The addresses of the nodes that are connected now."""
        return [known.address for known in self._session.gateways if known.phase is Phase.UP]

    async def members(self) -> list[dict[str, Any]]:
        """The members of the mesh, as the asked node believes them to be."""
        members: list[dict[str, Any]] = (await self.ask("members"))["members"]
        return members

    async def ask(
        self, what: str, argument: str = "", *, at: str | None = None, timeout: float = 5.0
    ) -> dict[str, Any]:
        """Asks a node an operator's question: "members", "ring", "breakers", "node" or "leave".

        Args:
            at: the address, among those given to `connect`, of the node to ask; None asks any.

        Raises:
            UnreachableError: the node is not connected, was lost, or did not answer in time.
            TaskFailed: the node refused the question.
        """
        box: list[Told | Trouble] = []
        told = anyio.Event()

        def settle(answer: Told | Trouble) -> None:
            box.append(answer)
            told.set()

        request = self._session.ask(what, argument, settle=settle, address=at)
        self._to_send.set()
        with anyio.move_on_after(timeout):
            await told.wait()
        effect = Effect.MAYBE if what == "leave" else Effect.NONE
        if not box:
            self._session.forget_question(request)
            raise UnreachableError(f"the node did not say in {timeout} s what it knows", effect=effect)
        answer = box[0]
        if isinstance(answer, Trouble):
            raise UnreachableError(answer.text, effect=effect)
        if answer.failure is not None:
            raise failed(answer.failure)
        body: dict[str, Any] = msgspec.json.decode(answer.body)
        return body

    # -- the life behind it ---------------------------------------------------------------------------

    async def opened(self, timeout: float) -> None:
        """Dials, and returns when all given nodes are connected, or one is and the others had half a second."""
        self._tasks.start_soon(self._send)
        self._tasks.start_soon(self._keep_time)
        self._perform(self._session.start(time.monotonic_ns()))
        given = list(self._session.gateways)
        ends = anyio.current_time() + timeout
        while undecided := [
            known for known in given if known.phase is not Phase.UP and known.trouble is None
        ]:
            if len(undecided) < len(given) and any(known.phase is Phase.UP for known in given):
                ends = min(ends, anyio.current_time() + _GRACE_S)
            with anyio.move_on_at(ends) as waiting:
                await self._changed.wait()
            if waiting.cancelled_caught:
                break
        for known in given:
            if known.trouble is not None and known.trouble.kind in _REFUSALS:
                raise _REFUSALS[known.trouble.kind](known.trouble.text)
        if not any(known.phase is Phase.UP for known in given):
            reasons = [f"{known.address} ({await diagnosis(known.address)})" for known in given]
            raise UnreachableError(
                f"no node answers at {', '.join(reasons)}: start one with `mesh dev` or `mesh up`, or give "
                "the address of one that runs"
            )

    def closed(self) -> None:
        """Gives back the sockets of links whose tasks were cancelled before they began."""
        for link in self._open:
            link.dispose()

    def _submit(
        self, agent: str, payload: bytes, settle: Callable[[Reply], None], key: str, timeout: float | None
    ) -> Call | None:
        now_ns = time.monotonic_ns()
        call = self._session.submit(
            now_ns, agent, payload, settle=settle, key=key, timeout_ms=patience_ms(timeout)
        )
        if len(self._session) == 1:
            self._flush()  # nobody to share a frame with
        else:
            self._to_send.set()
        if call is not None and call.gateway is None:
            self._wake_by(self._session.next_deadline_ns())
        elif call is not None and call.gives_up_ns is not None:
            self._wake_by(call.gives_up_ns)
        return call

    def _cancel(self, call: Call) -> None:
        self._session.cancel(call)
        self._to_send.set()

    def _wake_by(self, due_ns: int) -> None:
        if due_ns < self._wakes_ns:
            self._earlier.set()

    def _received(self, address: str, envelope: Envelope) -> None:
        phase_before = self._session.gateways[address].phase
        self._perform(self._session.received(time.monotonic_ns(), address, envelope))
        if self._session.gateways[address].phase is not phase_before:
            self._note_change()

    def _lost(self, address: str, trouble: Trouble) -> None:
        self._links.pop(address, None)
        self._perform(self._session.lost(time.monotonic_ns(), address, trouble))
        self._to_send.set()
        self._wake_by(self._session.next_deadline_ns())
        self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _perform(self, effects: list[LinkEffect]) -> None:
        for effect in effects:
            match effect:
                case Dial(address=address):
                    link = Link(self._context, address, received=self._received, lost=self._lost)
                    self._links[address] = link
                    self._open.add(link)
                    self._tasks.start_soon(self._run_link, link)
                case HangUp(address=address):
                    gone = self._links.pop(address, None)
                    if gone is not None:
                        gone.close()

    async def _run_link(self, link: Link) -> None:
        try:
            await link.run()
        finally:
            link.dispose()
            self._open.discard(link)

    async def _send(self) -> None:
        """Sends what has gathered, one frame per node and turn of the event loop."""
        while True:
            await self._to_send.wait()
            self._to_send = anyio.Event()
            self._flush()

    def _flush(self) -> None:
        for address, parts in self._session.frames():
            link = self._links.get(address)
            if link is not None:
                link.send(parts)

    async def _keep_time(self) -> None:
        while True:
            self._earlier = anyio.Event()
            self._wakes_ns = self._session.next_deadline_ns()
            wait_s = max(0, self._wakes_ns - time.monotonic_ns()) / _NS_PER_S
            with anyio.move_on_after(wait_s):
                await self._earlier.wait()
            self._perform(self._session.due(time.monotonic_ns()))
            self._to_send.set()


class _Waiter:
    """One caller waiting for one reply."""

    __slots__ = ("reply", "settled")
    reply: Reply

    def __init__(self) -> None:
        self.settled = anyio.Event()

    def settle(self, reply: Reply) -> None:
        self.reply = reply
        self.settled.set()
