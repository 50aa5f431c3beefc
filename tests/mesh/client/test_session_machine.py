"""Whatever happens to connections, every task is with one node or none, and is answered exactly once."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hubless.client.gateways import Dial, HangUp, Phase, Trouble, TroubleKind
from hubless.client.session import Session
from hubless.wire import Accepted, Answer, Cancel, Envelope, Limits, Refused, Submit, Welcome, decode

MESH = bytes(range(8))
ADDRESSES = tuple(f"127.0.0.1:{port}" for port in (1, 2, 3))
LEARNED = "127.0.0.1:4"
ALL = (*ADDRESSES, LEARNED)
S = 1_000_000_000
pick = st.integers(0, 1_000)


class Client(RuleBasedStateMachine):
    """The model: a mesh that keeps every id it was ever given, and answers what it likes, also twice."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.calls_made = 0
        self.session = Session(ADDRESSES, entropy=random.Random(0).randbytes, now_ns=0, patience_ns=3_600 * S)
        self.wanted: set[str] = set()
        self.linked: set[str] = set()
        self.declining: set[str] = set()
        self.replies: dict[int, int] = {}
        self.calls: dict[int, object] = {}
        self.given: dict[str, set[bytes]] = {address: set() for address in ALL}
        self.known: list[bytes] = []
        self.perform(self.session.start(0))

    def perform(self, effects) -> None:
        for effect in effects:
            match effect:
                case Dial(address=address):
                    assert address not in self.wanted
                    self.wanted.add(address)
                case HangUp(address=address):
                    self.drop(address)

    def drop(self, address: str) -> None:
        self.wanted.discard(address)
        self.linked.discard(address)
        self.declining.discard(address)
        self.given[address].clear()

    def deliver(self) -> None:
        for address, parts in self.session.frames():
            assert address in self.linked
            for message in decode(parts, Limits()).messages:
                if isinstance(message, Submit):
                    self.given[address].add(message.task)
                    self.known.append(message.task)
                elif isinstance(message, Cancel):
                    self.given[address].discard(message.task)

    @rule(number=pick)
    def connect(self, number: int) -> None:
        waiting = sorted(self.wanted - self.linked)
        if waiting:
            address = waiting[number % len(waiting)]
            self.linked.add(address)
            welcome = Welcome(0, MESH, "n", 1, "", 16, (LEARNED,), (number % 16,))
            self.perform(self.session.received(self.now, address, Envelope(MESH, "n", 1, [welcome])))

    @rule(number=pick)
    def lose(self, number: int) -> None:
        if self.wanted:
            address = sorted(self.wanted)[number % len(self.wanted)]
            self.drop(address)
            trouble = Trouble(TroubleKind.GONE, "lost")
            self.perform(self.session.lost(self.now, address, trouble))

    @rule(key=st.sampled_from(["", "a", "b"]))
    def call(self, key: str) -> None:
        if self.session.shards == 0:
            return
        self.calls_made += 1
        name = self.calls_made
        self.replies[name] = 0

        def settle(_reply) -> None:
            self.replies[name] += 1

        self.calls[name] = self.session.calls.submit(self.now, "echo", b"1", settle=settle, key=key)

    @rule(number=pick, by=pick)
    def answer(self, number: int, by: int) -> None:
        """Any connected node may know the outcome of any task, also of one that was answered before."""
        if self.known and self.linked:
            task = self.known[number % len(self.known)]
            address = sorted(self.linked)[by % len(self.linked)]
            for tasks in self.given.values():
                tasks.discard(task)
            answer = Answer(task, b"1", None, "n", 1)
            self.perform(self.session.received(self.now, address, Envelope(MESH, "n", 1, [answer])))

    @rule(number=pick)
    def refuse(self, number: int) -> None:
        """A node that leaves takes one task no longer, and keeps the others."""
        at = [(address, task) for address in sorted(self.linked) for task in sorted(self.given[address])]
        if at:
            address, task = at[number % len(at)]
            self.given[address].discard(task)
            self.declining.add(address)
            refused = Refused("leaving", "this node is leaving", task)
            self.perform(self.session.received(self.now, address, Envelope(MESH, "n", 1, [refused])))

    @rule(number=pick)
    def find_no_quorum(self, number: int) -> None:
        """A node cannot reach a task's shard: the task rests, or becomes one of another shard."""
        at = [(address, task) for address in sorted(self.linked) for task in sorted(self.given[address])]
        if at:
            address, task = at[number % len(at)]
            self.given[address].discard(task)
            refused = Refused("no_quorum", "no quorum", task)
            self.perform(self.session.received(self.now, address, Envelope(MESH, "n", 1, [refused])))

    @rule(number=pick)
    def accept(self, number: int) -> None:
        """A receipt that nobody asked for changes nothing."""
        if self.known and self.linked:
            accepted = Accepted(self.known[number % len(self.known)])
            address = min(self.linked)
            self.perform(self.session.received(self.now, address, Envelope(MESH, "n", 1, [accepted])))

    @rule(number=pick)
    def cancel(self, number: int) -> None:
        open_calls = [name for name in sorted(self.calls) if self.replies[name] == 0]
        if open_calls:
            name = open_calls[number % len(open_calls)]
            self.session.calls.cancel(self.calls.pop(name))
            del self.replies[name]

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds * S
        self.perform(self.session.due(self.now))

    @invariant()
    def every_task_is_answered_once_or_still_somewhere(self) -> None:
        self.deliver()
        assert all(count <= 1 for count in self.replies.values())
        assert len(self.session.calls) == sum(count == 0 for count in self.replies.values())
        serving = {known.address for known in self.session.gateways if known.phase is Phase.UP}
        assert serving == self.linked
        placed = sum(len(self.given[address]) for address in self.linked)
        assert placed <= len(self.session.calls)
        if serving - self.declining:
            resting = self.session.calls.unplaced.resting
            assert placed + resting == len(self.session.calls), "a task is with one connected node, or rests"


Client.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestClient = Client.TestCase
