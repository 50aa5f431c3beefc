"""An owner with everybody around it played by the test: its log, executors and gateways."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from hubless.effects import NodeEffect, ToPeer
from hubless.guard import Breakers
from hubless.placement import mint_task_id
from hubless.tasks import Dispatch, Owner, Unlogged
from hubless.tasks.entries import Entry, decode_entry, encode_entry
from hubless.tasks.log import Decided
from hubless.tasks.machine import Machine
from hubless.tasks.row import Row
from hubless.view import View
from hubless.wire import Assign, Ended, Place, Settled
from hubless_agents import Effect, Failure

SUBMITTED_MS = 1_700_000_000_000
EPOCH_NS = SUBMITTED_MS * 1_000_000
BROKEN = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)


def task_of(number: int, shard: int = 0) -> bytes:
    return mint_task_id(shard, number.to_bytes(14, "big"))


TASK = task_of(0)


class LateLog:
    """The log of shards that this node owns: it holds what is proposed until the test lets it be decided."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.proposed: list[bytes] = []
        self.decided: list[Decided] = []
        self.is_open = True
        self.current_term = 1

    def row(self, task: bytes) -> Row | None:
        return self.machine.rows.get(task)

    def may_have_forgotten(self, task: bytes, since_ms: int) -> bool:
        return self.machine.forgotten_ms >= since_ms

    def term(self, task: bytes) -> int:
        return self.current_term

    def propose(self, now_ns: int, task: bytes, entry: Entry) -> bool:
        if self.is_open:
            self.proposed.append(encode_entry(entry))
        return self.is_open

    def decide(self, count: int = 1_000_000) -> None:
        """The oldest so many proposals are in the log for good."""
        for body in self.proposed[:count]:
            entry, row = self.machine.apply(body)
            assert entry is not None
            self.decided.append(Decided(entry, row))
        del self.proposed[:count]

    def lose(self) -> None:
        """Another owner's log was longer: what was proposed here is in nobody's."""
        self.proposed.clear()

    def take_decided(self) -> list[Decided]:
        decided, self.decided = self.decided, []
        return decided

    @property
    def waiting(self) -> list[Entry]:
        """What is proposed and not decided."""
        entries = [decode_entry(body) for body in self.proposed]
        return [entry for entry in entries if entry is not None]


class Desk:
    """An owner on n0. A prompt desk decides at once what is proposed; else the test says `decide`."""

    def __init__(
        self, view: View, log: LateLog | Unlogged, *, own_room: int = 0, is_prompt: bool = True
    ) -> None:
        self.view = view
        self.log = log
        self.is_prompt = is_prompt
        self.now_ns = 0
        self.own_room = own_room
        self.new_owner()

    def new_owner(self) -> None:
        """Another owner starts, over the same log."""
        self.breakers = Breakers(rng=random.Random(1))
        self.breakers.watch(*self.view.pools())
        self.dispatch = Dispatch(
            me="n0", view=self.view, breakers=self.breakers, own_room=lambda _: self.own_room
        )
        self.owner = Owner(me="n0", view=self.view, log=self.log, dispatch=self.dispatch, epoch_ns=EPOCH_NS)

    def place(
        self,
        task: bytes = TASK,
        *,
        gateway: str = "g1",
        agent: str = "echo",
        payload: bytes = b"1",
        deadline_ms: int = 30_000,
        **fields: object,
    ) -> list[ToPeer]:
        place = Place(task, agent, "", payload, deadline_ms, gateway, **fields)  # type: ignore[arg-type]
        return self.said(self.owner.place, place)

    def ended(
        self,
        executor: str,
        attempt: int = 1,
        failure: Failure | None = None,
        task: bytes = TASK,
        payload: bytes = b"2",
    ) -> list[ToPeer]:
        ended = Ended(task, attempt, payload if failure is None else None, failure)
        return self.said(self.owner.ended, executor, ended)

    def tick(self, now_ns: int | None = None) -> list[ToPeer]:
        self.now_ns = self.now_ns if now_ns is None else now_ns
        return self.said(self.owner.tick)

    def gone(self, node: str) -> list[ToPeer]:
        return self.said(self.owner.peer_gone, node)

    def withdraw(self, gateway: str, task: bytes = TASK) -> list[ToPeer]:
        return self.said(self.owner.withdraw, gateway, task)

    def cancel(self, task: bytes = TASK) -> list[ToPeer]:
        return self.said(self.owner.cancel, task)

    def retry(self, task: bytes = TASK) -> bool:
        return self.owner.retry(self.now_ns, task)

    def view_changed(self) -> list[ToPeer]:
        return self.said(self.owner.view_changed)

    def took_over(self) -> list[ToPeer]:
        assert isinstance(self.log, LateLog)
        unmerged = self.log.machine.unmerged()
        return self.said(partial(self.owner.took_over, unmerged=unmerged), self.log.machine.live())

    def gave_up(self, shard: int = 0) -> list[ToPeer]:
        return self.said(self.owner.gave_up, shard)

    def decide(self, count: int = 1_000_000) -> list[ToPeer]:
        """What the owner says when so many of its proposals have been decided."""
        assert isinstance(self.log, LateLog)
        self.log.decide(count)
        out: list[NodeEffect] = []
        self._hear(out)
        return [effect for effect in out if isinstance(effect, ToPeer)]

    def held(self) -> tuple[int, int, int]:
        """Unfinished tasks, attempts that are counted as running, permits of breakers."""
        return len(self.owner), len(self.dispatch), self.breakers.in_flight

    def said(self, do: Callable[..., object], *arguments: object) -> list[ToPeer]:
        """What the owner says to others when it is told something."""
        out: list[NodeEffect] = []
        do(self.now_ns, *arguments, out)
        while self.is_prompt and self._hear(out):
            pass
        return [effect for effect in out if isinstance(effect, ToPeer)]

    def _hear(self, out: list[NodeEffect]) -> bool:
        if self.is_prompt and isinstance(self.log, LateLog):
            self.log.decide()
        decided = self.log.take_decided()
        for entry, row in decided:
            self.owner.decided(self.now_ns, entry, row, out)
        return bool(decided)


def order(effects: list[ToPeer]) -> tuple[str, Assign]:
    """The one thing that the owner says: who is to run what."""
    ((node, message),) = [(effect.node, effect.message) for effect in effects]
    assert isinstance(message, Assign)
    return node, message


def outcome(effects: list[ToPeer]) -> Settled:
    """The one thing that the owner says: how a task has ended."""
    (effect,) = effects
    assert isinstance(effect.message, Settled)
    return effect.message


def running(desk: Desk, **fields: object) -> str:
    """A task that runs; where."""
    desk.place(**fields)  # type: ignore[arg-type]
    return order(desk.decide())[0]


def another_owner(desk: Desk) -> list[ToPeer]:
    """The last owner is no more, and with it what it had only proposed; what the next one says first."""
    assert isinstance(desk.log, LateLog)
    desk.log.lose()
    desk.log.current_term += 1
    desk.new_owner()
    return desk.took_over()
