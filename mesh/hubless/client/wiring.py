"""What carries a client: the connections of its core, and the tasks that send, receive and keep the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import zmq
from anyio.abc import TaskGroup

from hubless.client.arguments import durability_of, patience_ms
from hubless.client.call import Call
from hubless.client.errors import RefusedError, UnreachableError, WrongMeshError, WrongVersionError, failed
from hubless.client.gateways import Dial, HangUp, LinkEffect, Phase, Trouble, TroubleKind
from hubless.client.link import Link, diagnosis
from hubless.client.questions import ORDERS
from hubless.client.reply import Reply
from hubless.client.session import Session
from hubless.wire import Envelope, Told
from hubless_agents import Effect

_NS_PER_S = 1_000_000_000
_GRACE_S = 0.5
_REFUSALS = {
    TroubleKind.MESH: WrongMeshError,
    TroubleKind.VERSION: WrongVersionError,
    TroubleKind.REFUSED: RefusedError,
    TroubleKind.STRANGER: RefusedError,
}


class Wiring:
    """Runs a `Session` in a task group of the event loop that made it."""

    def __init__(self, session: Session, tasks: TaskGroup) -> None:
        self.session = session
        self.tasks = tasks
        # The process's context: ending one of our own could wait for ever for a socket that a KeyboardInterrupt
        # left half made.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._links: dict[str, Link] = {}
        self._open: set[Link] = set()
        self._to_send = anyio.Event()
        self._earlier = anyio.Event()
        self._changed = anyio.Event()
        self._wakes_ns = 0

    # -- what the client's methods need ---------------------------------------------------------------

    def submit(
        self,
        agent: str,
        payload: bytes,
        settle: Callable[[Reply], None],
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        durability: Any = None,
        **options: Any,
    ) -> Call:
        """`Calls.submit`, with seconds for milliseconds and a durability's name for its number."""
        session = self.session
        call = session.calls.submit(
            time.monotonic_ns(),
            agent,
            payload,
            settle=settle,
            timeout_ms=patience_ms(timeout),
            deadline_ms=patience_ms(deadline),
            durability=durability_of(durability),
            **options,
        )
        if len(session.calls) == 1:
            self._flush()  # nobody to share a frame with
        else:
            self._to_send.set()
        if call.gateway is None:
            self._wake_by(session.next_deadline_ns())
        elif call.gives_up_ns is not None:
            self._wake_by(call.gives_up_ns)
        return call

    def cancel(self, call: Call) -> None:
        """The caller no longer waits."""
        self.session.calls.cancel(call)
        self._to_send.set()

    async def ask(self, what: str, argument: str, *, at: str | None, timeout: float) -> dict[str, Any]:
        """Asks a question and waits for the answer; errors as `Mesh.ask`.

        When the node is lost that was asked, another is; not for an order, which may have been carried out.
        """
        is_order = what in ORDERS
        answer: Told | Trouble | None = None
        with anyio.move_on_after(timeout):
            while True:
                before, answer = answer, await self._answer(what, argument, at)
                if is_order or isinstance(answer, Told):
                    break
                if _is_absent(answer):
                    answer = before or answer
                    break
        if isinstance(answer, Told):
            if answer.failure is not None:
                raise failed(answer.failure)
            body: dict[str, Any] = msgspec.json.decode(answer.body)
            return body
        text = f"no answer to {what!r} in {timeout:g} s" if answer is None else answer.text
        raise _unanswered(text, may_be_done=is_order and not _is_absent(answer))

    async def _answer(self, what: str, argument: str, at: str | None) -> Told | Trouble:
        """What one node says, or why it says nothing."""
        box: list[Told | Trouble] = []
        told = anyio.Event()

        def settle(answer: Told | Trouble) -> None:
            box.append(answer)
            told.set()

        request = self.session.questions.ask(what, argument, settle=settle, address=at)
        self._to_send.set()
        try:
            await told.wait()
        finally:
            self.session.questions.forget(request)
        return box[0]

    # -- opening and closing --------------------------------------------------------------------------

    async def opened(self, timeout: float) -> None:
        """Dials, and returns when all given nodes are connected, or one is and the others had half a second."""
        self.tasks.start_soon(self._send)
        self.tasks.start_soon(self._keep_time)
        self._perform(self.session.start(time.monotonic_ns()))
        given = list(self.session.gateways)
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

    # -- inside ---------------------------------------------------------------------------------------

    def _wake_by(self, due_ns: int) -> None:
        if due_ns < self._wakes_ns:
            self._earlier.set()

    def _received(self, address: str, envelope: Envelope) -> None:
        gateway = self.session.gateways[address]
        phase_before = gateway.phase
        self._perform(self.session.received(time.monotonic_ns(), address, envelope))
        if gateway.phase is not phase_before:
            self._note_change()
        if self.session.has_mail:
            self._to_send.set()
        if self.session.calls.unplaced:
            self._wake_by(self.session.next_deadline_ns())

    def _lost(self, address: str, trouble: Trouble) -> None:
        self._links.pop(address, None)
        self._perform(self.session.lost(time.monotonic_ns(), address, trouble))
        self._to_send.set()
        self._wake_by(self.session.next_deadline_ns())
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
                    self.tasks.start_soon(self._run_link, link)
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
        for address, parts in self.session.frames():
            link = self._links.get(address)
            if link is not None:
                link.send(parts)

    async def _keep_time(self) -> None:
        while True:
            self._earlier = anyio.Event()
            self._wakes_ns = self.session.next_deadline_ns()
            wait_s = max(0, self._wakes_ns - time.monotonic_ns()) / _NS_PER_S
            with anyio.move_on_after(wait_s):
                await self._earlier.wait()
            self._perform(self.session.due(time.monotonic_ns()))
            self._to_send.set()


def _is_absent(answer: Told | Trouble | None) -> bool:
    return isinstance(answer, Trouble) and answer.kind is TroubleKind.ABSENT


def _unanswered(text: str, *, may_be_done: bool) -> UnreachableError:
    if may_be_done:
        return UnreachableError(f"{text}: it may have been done, see `mesh status`", effect=Effect.MAYBE)
    return UnreachableError(f"{text}: see whether its nodes are well, or ask others")
