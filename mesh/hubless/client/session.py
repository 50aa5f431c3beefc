"""The client's core: which task went to which node, and where it goes when that node is lost. No I/O, no clock.

A task is with one gateway at a time. When that gateway is lost, every unanswered task of it is sent again, with the
same id, to another: a mesh recognises the ids it has, so nothing is lost and nothing is answered twice (an answer
to an id that is not waited for is dropped).

The shell performs the returned effects, sends what `frames` yields, and calls `due` when `next_deadline_ns` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from hubless.client.arguments import check_name
from hubless.client.calls import Call, Dial, HangUp, LinkEffect, Question
from hubless.client.gateways import Gateway, Gateways, Phase, Trouble, TroubleKind
from hubless.client.reply import Reply, unreachable_reply
from hubless.placement import mint_task_id, shard_of_key
from hubless.tasks.attempts import LONGEST_DEADLINE_MS
from hubless.tasks.wheel import Wheel
from hubless.wire import (
    Answer,
    Ask,
    Cancel,
    Envelope,
    Hello,
    Limits,
    Refused,
    Submit,
    Told,
    Welcome,
    limits_for,
)
from hubless.wire.outbox import Outbox
from hubless_agents import Effect, Failure

_MS = 1_000_000
_GREET_EVERY_NS = 5_000 * _MS
_ASK_AGAIN_NS = 200 * _MS
_SILENT_AFTER_GREETINGS = 2
_WHEEL_WIDTH_NS = 20 * _MS
_MOST_TASKS = 65_536
_FOR_NOW = ("leaving", "starting")


class Session:
    """All that one client has under way in one mesh.

    Args:
        addresses: work addresses that the user named, at least one.
        entropy: returns n random bytes, for task ids.
        mesh: the mesh that must answer; b"" takes the mesh of the first node that does.
        patience_ns: how long unanswered tasks wait for any node while none is connected.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        entropy: Callable[[int], bytes],
        now_ns: int,
        mesh: bytes = b"",
        patience_ns: int = 10_000 * _MS,
    ) -> None:
        if not addresses:
            raise ValueError("addresses is empty; name at least one node as host:port")
        self._entropy = entropy
        self._patience_ns = patience_ns
        self.mesh = mesh
        self.shards = 0
        self.payload_bytes = Limits().payload_bytes
        self.gateways = Gateways(addresses)
        self._calls: dict[bytes, Call] = {}
        self._homeless: dict[bytes, Call] = {}
        self._questions: dict[int, Question] = {}
        self._requests = 0
        self._wheel: Wheel[bytes] = Wheel(width_ns=_WHEEL_WIDTH_NS)
        self._outbox: Outbox[str] | None = None
        self._alone_since_ns = now_ns

    # -- what the caller asks -------------------------------------------------------------------------

    def submit(
        self,
        now_ns: int,
        agent: str,
        payload: bytes,
        *,
        settle: Callable[[Reply], None],
        key: str = "",
        timeout_ms: int | None = None,
    ) -> Call | None:
        """Takes a task; None when it was refused, and settled so, at once.

        Args:
            timeout_ms: the caller's patience; None leaves the limit to the agent's own deadline.

        Raises:
            ValueError: an argument that no mesh could accept.
            TypeError: the payload is not bytes.
        """
        if not agent:
            raise ValueError("agent is empty; give the name of an agent")
        check_name("agent", agent)
        check_name("key", key)
        if not isinstance(payload, bytes):
            raise TypeError(f"payload is a {type(payload).__name__}; give JSON as bytes")
        if timeout_ms is not None:
            if timeout_ms <= 0:
                raise ValueError(f"timeout is {timeout_ms / 1000} s; it must be positive")
            timeout_ms = min(timeout_ms, LONGEST_DEADLINE_MS)
        refusal = self._refusal(payload)
        if refusal is not None:
            settle(Reply(b"", refusal))
            return None
        gateway = self.gateways.choose()
        task = mint_task_id(self._shard(gateway, key), self._entropy(14))
        submit = Submit(task, agent, key, payload, timeout_ms or 0)
        call = Call(submit, settle, None if timeout_ms is None else now_ns + timeout_ms * _MS)
        self._calls[task] = call
        if call.gives_up_ns is not None:
            self._wheel.add(call.gives_up_ns, task)
        if gateway is None:
            self._wait_for_a_home(now_ns, call)
        else:
            self._give(call, submit, gateway)
        return call

    def cancel(self, call: Call) -> None:
        """The caller no longer waits. The agent may run all the same."""
        if self._forget(call) and call.gateway is not None:
            self._post(call.gateway, Cancel(call.submit.task))

    def ask(
        self,
        what: str,
        argument: str,
        *,
        settle: Callable[[Told | Trouble], None],
        address: str | None = None,
    ) -> int:
        """Sends an operator's question to the gateway at `address`, or to any; returns its number.

        Raises:
            ValueError: a question that no node could read.
        """
        check_name("what", what)
        check_name("argument", argument)
        gateway = self.gateways.choose() if address is None else self.gateways[address]
        self._requests += 1
        if gateway is None or gateway.phase is not Phase.UP:
            settle(Trouble(TroubleKind.GONE, "no node is connected"))
        else:
            self._questions[self._requests] = Question(gateway, settle)
            self._post(gateway, Ask(self._requests, what, argument))
        return self._requests

    def forget_question(self, request: int) -> None:
        """Nobody waits for that answer any more."""
        self._questions.pop(request, None)

    def __len__(self) -> int:
        """Tasks without a reply."""
        return len(self._calls)

    # -- what the connections report ------------------------------------------------------------------

    def start(self, now_ns: int) -> list[LinkEffect]:
        """Dials the given addresses."""
        return self._dial(now_ns)

    def received(self, now_ns: int, address: str, envelope: Envelope) -> list[LinkEffect]:
        """Takes the messages of one frame from the gateway at `address`."""
        gateway = self.gateways[address]
        gateway.unanswered = 0
        calls = self._calls
        effects: list[LinkEffect] = []
        for message in envelope.messages:
            if type(message) is Answer:
                call = calls.pop(message.task, None)
                if call is not None:
                    self._unhook(call)
                    call.settle(Reply(message.payload or b"", message.failure, message.node, message.attempt))
                continue
            match message:
                case Welcome() if gateway.phase is not Phase.DOWN:
                    effects += self._welcomed(now_ns, gateway, message)
                case Told():
                    question = self._questions.pop(message.request, None)
                    if question is not None:
                        question.settle(message)
                case Refused() if gateway.phase is not Phase.DOWN:
                    effects += self._refused(now_ns, gateway, message)
                case _:
                    pass  # nothing else is meant for a client, and an address that was hung up has no say
        self._house(now_ns)
        return effects

    def lost(self, now_ns: int, address: str, trouble: Trouble) -> list[LinkEffect]:
        """The connection is gone, or was never made: its tasks go to another gateway."""
        gateway = self.gateways[address]
        if gateway.phase is Phase.DOWN:
            return []
        was_serving = bool(self.gateways.serving)
        self.gateways.moved(gateway, Phase.DOWN, now_ns)
        gateway.trouble = trouble
        self._note_loneliness(now_ns, was_serving=was_serving)
        for task in list(gateway.submits):
            self._take_back(now_ns, self._calls[task])
        self._house(now_ns)
        for request, question in list(self._questions.items()):
            if question.gateway is gateway:
                del self._questions[request]
                question.settle(trouble)
        return self._dial(now_ns)

    # -- time -----------------------------------------------------------------------------------------

    def due(self, now_ns: int) -> list[LinkEffect]:
        """Gives up on what is overdue, dials again, greets."""
        for task in self._wheel.take_due(now_ns):
            call = self._calls.get(task)
            if call is not None and call.due_ns is not None and now_ns >= call.due_ns:
                self._expire(call)
        if not self.gateways.serving and now_ns >= self._alone_since_ns + self._patience_ns:
            self._despair()
        effects: list[LinkEffect] = []
        for gateway in self.gateways.superfluous():
            self.gateways.moved(gateway, Phase.DOWN, now_ns)
            effects.append(HangUp(gateway.address))
        return effects + self._greet(now_ns) + self._dial(now_ns)

    def next_deadline_ns(self) -> int:
        """When `due` wants to be called; there is always a next time."""
        times = [self._wheel.next_deadline_ns(), self.gateways.next_redial_ns()]
        times += [
            gateway.greeted_ns + _GREET_EVERY_NS
            for gateway in self.gateways
            if gateway.phase is not Phase.DOWN
        ]
        return min(time for time in times if time is not None)

    def frames(self) -> Iterator[tuple[str, list[bytes]]]:
        """Encodes and forgets what waits to be sent: (address, frame) pairs."""
        return self._outbox.frames() if self._outbox is not None else iter(())

    # -- inside ---------------------------------------------------------------------------------------

    def _refusal(self, payload: bytes) -> Failure | None:
        if len(payload) > self.payload_bytes:
            text = (
                f"the payload has {len(payload)} bytes, the limit is {self.payload_bytes}: "
                "send a reference instead of the content"
            )
            return Failure(code="payload_too_large", message=text, where="client", effect=Effect.NONE)
        if len(self._calls) >= _MOST_TASKS:
            text = f"{_MOST_TASKS} calls of this client are in flight: wait for some, or use map"
            return Failure(code="overloaded", message=text, where="client", retry_after_ms=100)
        return None

    def _shard(self, gateway: Gateway | None, key: str) -> int:
        if key:
            return shard_of_key(key, self.shards)
        shard = gateway.next_owned_shard() if gateway is not None else None
        return int.from_bytes(self._entropy(4)) % self.shards if shard is None else shard

    def _give(self, call: Call, submit: Submit, gateway: Gateway) -> None:
        gateway.submits[submit.task] = submit
        call.gateway = gateway
        call.sent = True
        self._post(gateway, submit)

    def _post(self, gateway: Gateway, message: Submit | Cancel | Ask | Hello) -> None:
        if self._outbox is not None:
            self._outbox.add(gateway.address, message)

    def _take_back(self, now_ns: int, call: Call) -> None:
        """The task is no longer with its gateway."""
        self._unhook(call)
        call.gateway = None
        self._wait_for_a_home(now_ns, call)

    def _wait_for_a_home(self, now_ns: int, call: Call) -> None:
        self._homeless[call.submit.task] = call
        if not self.gateways.serving:
            self._wheel.add(max(now_ns, self._alone_since_ns + self._patience_ns), b"")

    def _note_loneliness(self, now_ns: int, *, was_serving: bool) -> None:
        if was_serving and not self.gateways.serving:
            self._alone_since_ns = now_ns
            self._wheel.add(now_ns + self._patience_ns, b"")

    def _house(self, now_ns: int) -> None:
        """Finds a gateway for each task that has none, as long as one serves."""
        if not self._homeless or not self.gateways.serving:
            return
        for task, call in list(self._homeless.items()):
            gateway = self.gateways.choose()
            if gateway is None:
                return
            del self._homeless[task]
            submit = call.submit
            remaining_ms = submit.deadline_ms
            if call.due_ns is not None:
                remaining_ms = max(1, (call.due_ns - now_ns) // _MS)
            call.submit = replace(submit, deadline_ms=remaining_ms, again=call.sent)
            self._give(call, call.submit, gateway)

    def _unhook(self, call: Call) -> None:
        task = call.submit.task
        if call.gateway is not None:
            del call.gateway.submits[task]
        else:
            self._homeless.pop(task, None)

    def _forget(self, call: Call) -> bool:
        if self._calls.pop(call.submit.task, None) is None:
            return False
        self._unhook(call)
        return True

    def _expire(self, call: Call) -> None:
        effect = Effect.MAYBE if call.sent else Effect.NONE
        text = "no answer before the deadline of the call: allow more time, or see whether the mesh is well"
        self.cancel(call)
        call.settle(Reply(b"", Failure(code="expired", message=text, where="client", effect=effect)))

    def _despair(self) -> None:
        text = "no node of the mesh answers any more: see whether its nodes run"
        for call in list(self._homeless.values()):
            self._forget(call)
            call.settle(unreachable_reply(text, effect=Effect.MAYBE if call.sent else Effect.NONE))

    def _welcomed(self, now_ns: int, gateway: Gateway, welcome: Welcome) -> list[LinkEffect]:
        if self.mesh and welcome.mesh != self.mesh:
            text = (
                f"{gateway.address} is of mesh {welcome.mesh.hex()}, and mesh {self.mesh.hex()} was asked for: "
                "give addresses of one mesh"
            )
            effects = self.lost(now_ns, gateway.address, Trouble(TroubleKind.MESH, text))
            return [HangUp(gateway.address), *effects]
        self.gateways.learn(welcome.peers)
        if self._outbox is None:
            self.mesh = welcome.mesh
            self.shards = welcome.shards
            self.payload_bytes = welcome.payload_bytes
            limits = limits_for(welcome.payload_bytes)
            self._outbox = Outbox(mesh=welcome.mesh, sender="", boot=0, limits=limits)
        gateway.owned = tuple(shard for shard in welcome.owned if shard < self.shards)
        if gateway.phase is not Phase.UP:
            self.gateways.moved(gateway, Phase.UP, now_ns)
        elif gateway.declines == "starting":
            self.gateways.declined(gateway, "")  # it may have found its mesh
        return []

    def _refused(self, now_ns: int, gateway: Gateway, refused: Refused) -> list[LinkEffect]:
        """One task goes elsewhere; a gateway that leaves or starts keeps the others, and its connection."""
        call = self._calls[refused.task] if refused.task in gateway.submits else None
        if call is not None:
            call.sent = call.submit.again
        if refused.code not in _FOR_NOW:
            kind = TroubleKind.MESH if refused.code == "mesh_mismatch" else TroubleKind.REFUSED
            trouble = Trouble(kind, refused.message)
            return [HangUp(gateway.address), *self.lost(now_ns, gateway.address, trouble)]
        was_serving = bool(self.gateways.serving)
        self.gateways.declined(gateway, refused.code)
        self._note_loneliness(now_ns, was_serving=was_serving)
        if refused.code == "starting":
            gateway.greeted_ns = now_ns - _GREET_EVERY_NS + _ASK_AGAIN_NS
        if call is not None:
            self._take_back(now_ns, call)
        return self._dial(now_ns)

    def _greet(self, now_ns: int) -> list[LinkEffect]:
        """Asks connected gateways for news, and leaves those that are silent if there are others to turn to.

        Silence is counted in greetings of ours, not in time: a program that blocks its own event loop for a while
        must not take all nodes for silent.
        """
        effects: list[LinkEffect] = []
        for gateway in list(self.gateways):
            if gateway.phase is Phase.DOWN or now_ns < gateway.greeted_ns + _GREET_EVERY_NS:
                continue
            is_silent = gateway.unanswered >= _SILENT_AFTER_GREETINGS and len(self.gateways) > 1
            if gateway.phase is Phase.DIALLING or is_silent:
                trouble = Trouble(
                    TroubleKind.SILENT, f"{gateway.address} accepts connections and says nothing"
                )
                effects += [HangUp(gateway.address), *self.lost(now_ns, gateway.address, trouble)]
                continue
            gateway.greeted_ns = now_ns
            gateway.unanswered += 1
            self._post(gateway, Hello("client"))
        return effects

    def _dial(self, now_ns: int) -> list[LinkEffect]:
        effects: list[LinkEffect] = []
        for gateway in self.gateways.to_dial(now_ns):
            self.gateways.moved(gateway, Phase.DIALLING, now_ns)
            effects.append(Dial(gateway.address))
        return effects
