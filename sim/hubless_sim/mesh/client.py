"""A client of the mesh by script: submits tasks at given times, goes elsewhere when its gateway fails it.

It keeps nothing but its own calls.  A call that a gateway does not answer is submitted again under the same
id: at once, to another gateway, when the link to the first one went down or it refused; after some patience
when it merely says nothing.
"""

from heapq import heappop, heappush

import msgspec

from hubless.client.ids import derived_task_id
from hubless.placement import mint_task_id, shard_of_key
from hubless.wire import (
    Accepted,
    Answer,
    Ask,
    Cancel,
    FrameError,
    Hello,
    Limits,
    Message,
    Outbox,
    Refused,
    ShardChoice,
    Submit,
    Told,
    Welcome,
    decode,
)
from hubless_sim.faults import index_of
from hubless_sim.mesh.notes import Answered, GaveUp, Handed, Queried, Receipt, Stray
from hubless_sim.packets import WORK, to_frame, to_packet
from hubless_sim.sealed import seal, unseal
from hubless_sim.tapes.operations import Call, Query
from hubless_sim.world.chance import draw, stream
from hubless_sim.world.hosts import (
    Birth,
    Command,
    Delivered,
    Due,
    HostEffect,
    HostEvent,
    LinkDown,
    LinkUp,
    Note,
    Send,
    Watch,
)

MS = 1_000_000
_STREAM = 5
_REPEAT, _QUERY = b"r", b"q"
_GRACE_NS = 3_000 * MS
_GREET_EVERY_NS = 500 * MS
_HOMELESS_NS = 100 * MS
_ELSEWHERE_NS = 30 * MS
_LEAST_REPEATED_MS = 1_000

FIRST_QUERY = 1 << 20
"""The request number of a tape's first query."""


class Question(msgspec.Struct, frozen=True):
    """An order to a client: ask a gateway what an operator would. What it is told is noted as it is."""

    gateway: int
    ask: Ask


class _Open:
    """A call that waits for its answer."""

    __slots__ = ("call", "deadline_ns", "gateway", "number", "resend_ns", "sent", "task", "was_sent_before")

    def __init__(self, number: int, call: Call, task: bytes, deadline_ns: int) -> None:
        self.number = number
        self.call = call
        self.task = task
        self.deadline_ns = deadline_ns
        self.gateway = index_of(call.gateway)
        self.resend_ns = 0
        self.sent = False
        """Whether a gateway may have taken it."""
        self.was_sent_before = False
        """The same, before the last submission."""


class MeshClient:
    """One client process with the calls ``numbers`` of a workload."""

    def __init__(
        self,
        birth: Birth,
        *,
        calls: tuple[tuple[int, Call], ...],
        queries: tuple[tuple[int, Query], ...] = (),
        nodes: int,
        mesh: bytes,
        shards: int,
        patience_ms: int,
    ) -> None:
        self._nodes = nodes
        self._shards = shards
        self._patience_ns = patience_ms * MS
        self._chance = stream(birth.seed, _STREAM)
        self._draws = 0
        self._calls = dict(calls)
        self._queries = dict(queries)
        self._open: dict[bytes, _Open] = {}
        self._tasks: dict[int, bytes] = {}
        self._call_of: dict[bytes, int] = {}
        self._repeated: dict[bytes, int] = {}
        self._owned: dict[int, tuple[int, ...]] = {}
        self._linked: dict[int, int] = {}
        self._serving: set[int] = set()
        self._outbox: Outbox[int] = Outbox(mesh=mesh, sender="", boot=0, limits=Limits())
        self._times: list[tuple[int, int, bytes]] = []
        for number, call in calls:
            heappush(self._times, (call.at_ms * MS, number, b""))
            if call.repeat_after_ms is not None:
                heappush(self._times, ((call.at_ms + call.repeat_after_ms) * MS, number, _REPEAT))
        for number, query in queries:
            heappush(self._times, (query.at_ms * MS, number, _QUERY))
        self._out: list[HostEffect] = []
        self._is_started = False

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """Apply one event; everything for one gateway leaves in one frame."""
        self._out = []
        match event:
            case Delivered(packet=packet, source=source):
                self._frame(now_ns, source, packet)
            case Due():
                self._due(now_ns)
            case LinkUp(peer=peer):
                self._linked[peer] = now_ns
                self._outbox.add(peer, Hello("client"))
            case LinkDown(peer=peer):
                self._linked.pop(peer, None)
                self._leave(now_ns, peer)
            case Command(order=Question(gateway=gateway, ask=ask)):
                self._outbox.add(gateway, ask)
            case Command():
                self._out.append(Watch(tuple(range(self._nodes))))
            case _:
                pass
        for gateway, frame in self._outbox.frames():
            self._out.append(Send(gateway, seal(to_packet(WORK, frame))))
        return self._out

    @property
    def is_idle(self) -> bool:
        """Whether no call waits for its answer just now."""
        return not self._open

    def next_deadline_ns(self) -> int | None:
        """When the next call, repetition or end of patience is due."""
        return self._times[0][0] if self._times else None

    # What comes in

    def _frame(self, now_ns: int, source: int, packet: bytes) -> None:
        content = unseal(packet)
        if not content:
            return
        try:
            envelope = decode(to_frame(content), Limits())
        except FrameError:
            return
        for message in envelope.messages:
            self._message(now_ns, source, message)

    def _message(self, now_ns: int, source: int, message: Message) -> None:
        match message:
            case Answer(task=task):
                waiting = self._open.pop(task, None)
                number = self._repeated.get(task) if waiting is None else waiting.number
                told = Stray(task, source) if number is None else Answered.told(number, source, message)
                self._out.append(Note(told))
            case Accepted(task=task) if task in self._call_of:
                self._out.append(Note(Receipt(self._call_of[task], task)))
            case Told():
                self._out.append(Note(message))
            case Welcome(owned=owned):
                self._owned[source] = owned
                self._serving.add(source)
            case Refused(code="leaving" | "starting", task=task):
                refused = self._open.get(task)
                if refused is not None and refused.gateway == source:
                    refused.sent = refused.was_sent_before
                self._leave(now_ns, source)
            case Refused(code="no_quorum", task=task, may_be_known=may_be_known) if task in self._open:
                self._without_quorum(now_ns, self._open[task], may_be_known=may_be_known)
            case _:
                pass

    def _without_quorum(self, now_ns: int, waiting: _Open, *, may_be_known: bool) -> None:
        """Nobody within the gateway's reach owns the shard just now: the call goes elsewhere, a little later.

        One that nobody can have taken gets the id of another shard.
        """
        if not (may_be_known or waiting.was_sent_before or waiting.call.idempotency):
            del self._open[waiting.task]
            self._outbox.add(waiting.gateway, Hello("client"))
            waiting.sent = False
            waiting.task = mint_task_id(self._shard(waiting.call), self._entropy())
            self._open[waiting.task] = waiting
            heappush(self._times, (waiting.deadline_ns + _GRACE_NS, waiting.number, waiting.task))
            if waiting.call.cancel_after_ms is not None:
                heappush(self._times, (self._cancel_ns(waiting), waiting.number, waiting.task))
        waiting.resend_ns = now_ns + _ELSEWHERE_NS
        heappush(self._times, (waiting.resend_ns, waiting.number, waiting.task))

    # What goes out

    def _due(self, now_ns: int) -> None:
        for gateway, asked_ns in self._linked.items():
            if gateway not in self._serving and now_ns >= asked_ns + _GREET_EVERY_NS:
                self._linked[gateway] = now_ns
                self._outbox.add(gateway, Hello("client"))
        while self._times and self._times[0][0] <= now_ns:
            _, number, task = heappop(self._times)
            waiting = self._open.get(task)
            if not task:
                self._begin(now_ns, number)
            elif task == _REPEAT:
                self._repeat(now_ns, number)
            elif task == _QUERY:
                self._query(number)
            elif waiting is None:
                continue
            elif now_ns >= waiting.deadline_ns + _GRACE_NS:
                del self._open[task]
                self._out.append(Note(GaveUp(waiting.number, task)))
            elif waiting.call.cancel_after_ms is not None and now_ns >= self._cancel_ns(waiting):
                del self._open[task]
                self._outbox.add(waiting.gateway, Cancel(task))
            elif waiting.resend_ns <= now_ns < waiting.deadline_ns:
                self._move_on(waiting)
                self._submit(now_ns, waiting)

    def _begin(self, now_ns: int, number: int) -> None:
        call = self._calls[number]
        task = mint_task_id(self._shard(call), self._entropy())
        if call.idempotency:
            task = derived_task_id(call.idempotency, call.key, self._shards)
        waiting = _Open(number, call, task, now_ns + call.deadline_ms * MS)
        self._open[task] = waiting
        heappush(self._times, (waiting.deadline_ns + _GRACE_NS, number, task))
        if call.cancel_after_ms is not None:
            heappush(self._times, (self._cancel_ns(waiting), number, task))
        if waiting.gateway not in self._serving:
            self._move_on(waiting)
        self._submit(now_ns, waiting)

    def _submit(self, now_ns: int, waiting: _Open) -> None:
        """Hands a call to its gateway, or waits a little for one that serves."""
        is_served = waiting.gateway in self._serving
        waiting.resend_ns = now_ns + (self._patience_ns if is_served else _HOMELESS_NS)
        heappush(self._times, (waiting.resend_ns, waiting.number, waiting.task))
        if not is_served:
            return
        remaining_ms = max(1, (waiting.deadline_ns - now_ns) // MS)
        self._hand_over(waiting.gateway, waiting.number, waiting.task, remaining_ms, again=waiting.sent)
        waiting.was_sent_before, waiting.sent = waiting.sent, True

    def _hand_over(self, gateway: int, number: int, task: bytes, remaining_ms: int, *, again: bool) -> None:
        call = self._calls[number]
        if task not in self._call_of:
            self._tasks[number], self._call_of[task] = task, number
            self._out.append(Note(Handed(number, task)))
        payload = call.script.to_payload()
        shard = ShardChoice.FIXED if call.key or call.idempotency else ShardChoice.FREE
        submit = Submit(
            task, call.agent, call.key, payload, remaining_ms, again=again, receipt=call.receipt, shard=shard
        )
        self._outbox.add(gateway, submit)

    def _repeat(self, now_ns: int, number: int) -> None:
        """Submits a call once more through another gateway, whatever has become of it."""
        task, call = self._tasks.get(number), self._calls[number]
        if task is None:
            return
        before = self._open[task].gateway if task in self._open else index_of(call.gateway)
        gateway = self._next_after(before)
        if gateway in self._serving:
            self._repeated[task] = number
            remaining_ms = call.at_ms + call.deadline_ms - now_ns // MS
            self._hand_over(gateway, number, task, max(_LEAST_REPEATED_MS, remaining_ms), again=True)

    def _query(self, number: int) -> None:
        query = self._queries[number]
        subject = query.node or query.shard
        task = b"" if subject else self._tasks.get(query.call, b"")
        gateway = index_of(query.gateway)
        if gateway not in self._serving:
            gateway = self._next_after(gateway)
        if gateway in self._serving and (task or subject):
            self._out.append(Note(Queried(number, task)))
            self._outbox.add(gateway, Ask(FIRST_QUERY + number, query.what, subject or task.hex()))

    def _leave(self, now_ns: int, gateway: int) -> None:
        """Everything that waits at a gateway goes elsewhere."""
        self._serving.discard(gateway)
        for waiting in [waiting for waiting in self._open.values() if waiting.gateway == gateway]:
            self._move_on(waiting)
            self._submit(now_ns, waiting)

    def _move_on(self, waiting: _Open) -> None:
        """The next node in turn that has welcomed this client; any next one while there is none."""
        waiting.gateway = self._next_after(waiting.gateway)

    def _next_after(self, gateway: int) -> int:
        others = [(gateway + step) % self._nodes for step in range(1, self._nodes)]
        others.append(gateway)
        return next((node for node in others if node in self._serving), others[0])

    def _cancel_ns(self, waiting: _Open) -> int:
        after_ms = waiting.call.cancel_after_ms or 0
        return waiting.deadline_ns - (waiting.call.deadline_ms - after_ms) * MS

    def _shard(self, call: Call) -> int:
        if call.key:
            return shard_of_key(call.key, self._shards)
        owned = self._owned.get(index_of(call.gateway), ()) if call.own_shard else ()
        chance = self._draw()
        return owned[chance % len(owned)] if owned else chance % self._shards

    def _entropy(self) -> bytes:
        return (self._draw().to_bytes(8, "big") + self._draw().to_bytes(8, "big"))[:14]

    def _draw(self) -> int:
        self._draws += 1
        return draw(self._chance, self._draws)
