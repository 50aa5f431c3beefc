"""A supervisor without processes: the test plays the pool."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from hubless_agents import (
    Assignment,
    Contract,
    DeadlineReached,
    Failed,
    Failure,
    GiveTask,
    KillWorker,
    Offered,
    Report,
    SpawnWorker,
    Succeeded,
    Supervisor,
    SupervisorConfig,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
)

MS = 1_000_000
SECOND = 1_000 * MS


class Stage:
    """Time, a supervisor, and every effect that it has asked for."""

    def __init__(self, *contracts: Contract, **knobs: Any) -> None:
        self.now_ns = 0
        self.contracts = contracts or (Contract(name="echo"),)
        self.core = Supervisor(
            config=SupervisorConfig(**knobs), node="n1", rng=random.Random(1), now_ns=self.now_ns
        )
        self.effects: list[Any] = []
        self._tasks = itertools.count(1)

    def handle(self, event: Any) -> list[Any]:
        effects = self.core.handle(self.now_ns, event)
        self.effects += effects
        return effects

    def of(self, kind: type) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def last(self, kind: type) -> Any:
        return self.of(kind)[-1]

    def pass_time(self, ns: int) -> list[Any]:
        """Move the clock, stopping at every deadline on the way."""
        ends_ns, effects = self.now_ns + ns, []
        while (due_ns := self.core.next_deadline_ns()) is not None and due_ns <= ends_ns:
            self.now_ns = max(self.now_ns, due_ns)
            effects += self.handle(DeadlineReached())
        self.now_ns = ends_ns
        return effects

    def start(self) -> "Stage":
        """Let every process that was asked for become ready, until none is asked for any more."""
        self.pass_time(0)
        started = 0
        while started < len(self.of(SpawnWorker)):
            worker = self.of(SpawnWorker)[started].worker
            self.handle(WorkerReady(worker, 1000 + worker, self.contracts))
            started += 1
        return self

    def offer(
        self,
        agent: str = "echo",
        payload: bytes = b"1",
        *,
        seconds: float = 100,
        task: bytes | None = None,
        attempt: int = 1,
    ) -> bytes:
        task = task or next(self._tasks).to_bytes(16, "big")
        self.handle(Offered(Assignment(task, attempt, agent, payload, self.now_ns + int(seconds * SECOND))))
        return task

    def give_of(self, task: bytes) -> GiveTask:
        return [give for give in self.of(GiveTask) if give.assignment.task == task][-1]

    def answer(self, task: bytes, kind: str = "returned", payload: bytes = b"1", **fields: Any) -> list[Any]:
        give = self.give_of(task)
        return self.handle(WorkerAnswered(give.worker, give.give, kind, payload, **fields))

    def exit(self, worker: int, message: str = "exit code 1") -> list[Any]:
        return self.handle(WorkerExited(worker, "exited", message))

    def outcome(self, task: bytes) -> Any:
        found = [effect.outcome for effect in self.of(Report) if effect.outcome.task == task]
        assert len(found) <= 1, found
        return found[0] if found else None

    def failure(self, task: bytes) -> Failure:
        outcome = self.outcome(task)
        assert isinstance(outcome, Failed), outcome
        return outcome.failure

    def succeeded(self, task: bytes) -> bool:
        return isinstance(self.outcome(task), Succeeded)

    def killed(self) -> list[int]:
        return [effect.worker for effect in self.of(KillWorker)]

    def warm(self, took_ns: int, agent: str = "echo") -> None:
        task = self.offer(agent)
        self.answer(task, took_ns=took_ns)


@pytest.fixture
def stage() -> Callable[..., Stage]:
    return Stage
