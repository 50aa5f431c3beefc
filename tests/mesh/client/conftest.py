"""A client's core with its shell and the mesh played by the test."""

from __future__ import annotations

import itertools

import pytest

from hubless.client.reply import Reply
from hubless.client.session import Session
from hubless.wire import Answer, Envelope, Limits, Message, Submit, Welcome, decode

MESH = bytes(range(8))
SHARDS = 16
MS = 1_000_000
S = 1_000 * MS


def welcome(*, mesh: bytes = MESH, peers=(), owned=(), payload_bytes=1024, reachable=()) -> Welcome:
    gossip = "127.0.0.1:9"
    return Welcome(
        0, mesh, "n", 1, gossip, SHARDS, tuple(peers), tuple(owned), payload_bytes, tuple(reachable)
    )


def envelope(*messages) -> Envelope:
    return Envelope(MESH, "n", 1, list(messages))


class _Desk:
    """A session with its shell played by the test: what it says is collected, what arrives is told."""

    def __init__(self, *addresses: str, patience_ns: int = 10 * S, mesh: bytes = b"") -> None:
        numbers = itertools.count()
        self.session = Session(
            addresses,
            entropy=lambda size: next(numbers).to_bytes(size),
            now_ns=0,
            mesh=mesh,
            patience_ns=patience_ns,
        )
        self.replies: dict[str, list[Reply]] = {}
        self.receipts: list[str] = []
        self.effects = self.session.start(0)

    def submit(self, name: str, *, agent: str = "echo", now_ns: int = 0, payload: bytes = b"1", **options):
        def settle(reply: Reply) -> None:
            self.replies.setdefault(name, []).append(reply)

        return self.session.calls.submit(now_ns, agent, payload, settle=settle, **options)

    def hand_in(self, name: str, **options):
        """A submission that wants a receipt."""
        return self.submit(name, accepted=lambda: self.receipts.append(name), **options)

    def up(self, *addresses: str, now_ns: int = 0, **fields) -> None:
        for address in addresses:
            self.hear(address, welcome(**fields), now_ns=now_ns)

    def hear(self, address: str, *messages: Message, now_ns: int = 0) -> None:
        self.effects += self.session.received(now_ns, address, envelope(*messages))

    def sent(self) -> dict[str, list]:
        """What goes out now, by address."""
        out: dict[str, list] = {}
        for address, parts in self.session.frames():
            out.setdefault(address, []).extend(decode(parts, Limits()).messages)
        return out

    def submits(self) -> dict[str, list[Submit]]:
        return {
            address: [message for message in messages if isinstance(message, Submit)]
            for address, messages in self.sent().items()
        }

    def answer(self, address: str, task: bytes, *, payload: bytes = b"1", now_ns: int = 0) -> None:
        self.hear(address, Answer(task, payload, None, "n", 1), now_ns=now_ns)

    def let_pass(self, since_ns: int, until_ns: int) -> list:
        """Lets time pass with nobody saying a word."""
        effects: list = []
        while (since_ns := max(since_ns + 1, self.session.next_deadline_ns())) <= until_ns:
            effects += self.session.due(since_ns)
        return effects


@pytest.fixture
def Desk() -> type[_Desk]:
    return _Desk
