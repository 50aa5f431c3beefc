"""A gateway with everybody around it played by the test: its clients, and owners of shards."""

from __future__ import annotations

from collections.abc import Callable

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.guard import Admission
from hubless.placement import mint_task_id, shard_of_task
from hubless.tasks import Gateway
from hubless.view import View
from hubless.wire import Answer, Moved, OwnedBy, Place, Settled, Submit, Taken, Whose
from hubless_agents import Failure

ROUTE = b"client"


def task_of(shard: int, number: int = 0) -> bytes:
    return mint_task_id(shard, number.to_bytes(14, "big"))


class Room:
    """A gateway on n0. Of the sixteen shards the first is owned by n0, the next by n1, and so on round the members."""

    def __init__(self, view: View, admission: Admission | None = None, *, term: int = 1) -> None:
        self.view = view
        nodes = [known.member.node for known in view.known()]
        for shard in range(16 if term else 0):
            view.learn_owner(shard, term, nodes[shard % len(nodes)])
        self.gateway = Gateway(
            me="n0", view=view, shards=16, payload_bytes=100, admission=admission or Admission()
        )

    def submit(self, task: bytes, now_ns: int = 0, **fields: object) -> list[NodeEffect]:
        values: dict[str, object] = {
            "agent": "echo",
            "key": "",
            "payload": b"1",
            "deadline_ms": 30_000,
            **fields,
        }
        return self.said(self.gateway.submit, now_ns, ROUTE, Submit(task, **values))  # type: ignore[arg-type]

    def owned_by(self, node: str, number: int = 0) -> bytes:
        return task_of(self.view.owned(node)[0], number)

    def owns(self, node: str, term: int, *tasks: bytes, now_ns: int = 0) -> list[NodeEffect]:
        """A node has become the owner of these tasks' shards, as it says itself."""
        shards = [shard_of_task(task) for task in tasks]
        news = [shard for shard in shards if self.view.learn_owner(shard, term, node)]
        return self.said(self.gateway.owners_changed, now_ns, news)

    def moved(self, node: str, task: bytes, term: int = 0, owner: str = "") -> list[NodeEffect]:
        """A node that was asked says that it is not the owner."""
        return self.said(self.gateway.moved, 0, node, Moved(task, term, owner))

    def hint(self, node: str, task: bytes, term: int, owner: str) -> list[NodeEffect]:
        """A node that was asked says who owns the task's shard."""
        return self.said(self.gateway.owned_by, 0, node, OwnedBy(shard_of_task(task), term, owner))

    def taken(self, owner: str, task: bytes) -> list[NodeEffect]:
        return self.said(self.gateway.taken, owner, Taken(task))

    def cancel(self, task: bytes) -> list[NodeEffect]:
        return self.said(self.gateway.cancel, task)

    def tick(self, now_ns: int) -> list[NodeEffect]:
        return self.said(self.gateway.tick, now_ns)

    def settle(self, task: bytes, failure: Failure | None = None, attempt: int = 1) -> list[NodeEffect]:
        payload = b"2" if failure is None else None
        return self.said(self.gateway.settled, Settled(task, payload, failure, "n1", attempt))

    def said(self, do: Callable[..., object], *arguments: object) -> list[NodeEffect]:
        """What the gateway says when it is told something."""
        out: list[NodeEffect] = []
        do(*arguments, out)
        return out


def places(effects: list[NodeEffect]) -> list[tuple[str, Place]]:
    return [
        (effect.node, effect.message)
        for effect in effects
        if isinstance(effect, ToPeer) and isinstance(effect.message, Place)
    ]


def questions(effects: list[NodeEffect]) -> list[tuple[str, Whose]]:
    return [
        (effect.node, effect.message)
        for effect in effects
        if isinstance(effect, ToPeer) and isinstance(effect.message, Whose)
    ]


def answer(effects: list[NodeEffect]) -> Answer:
    (effect,) = effects
    assert isinstance(effect, ToClient)
    assert isinstance(effect.message, Answer)
    return effect.message
