"""A supervisor and a pool in a plain select loop: agents without a mesh, for scripts, tests and benchmarks."""

import random
import select
import time
from collections.abc import Callable
from typing import Self

from .config import SupervisorConfig
from .events import (
    DeadlineReached,
    GiveTask,
    KillWorker,
    MeasureMemory,
    NodeEffect,
    Offered,
    Outcome,
    RecallTask,
    Report,
    SpawnWorker,
    SupervisorEffect,
    SupervisorEvent,
)
from .pool import OnLog, Pool
from .supervisor import Supervisor


class Standalone:
    """`offer` tasks, `step` until `outcomes` has what you wait for. Use it as a context manager.

    `told` collects the other effects for the node (offers, quarantines, failing starts), oldest first.
    """

    def __init__(
        self,
        target: str,
        *,
        config: SupervisorConfig | None = None,
        node: str = "standalone",
        on_log: OnLog | None = None,
    ) -> None:
        config = config or SupervisorConfig()
        self.supervisor = Supervisor(
            config=config, node=node, rng=random.Random(node), now_ns=time.monotonic_ns()
        )
        self.pool = Pool(target, node=node, max_payload_bytes=config.max_payload_bytes, on_log=on_log)
        self.outcomes: dict[tuple[bytes, int], Outcome] = {}
        self.told: list[NodeEffect] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()

    def handle(self, event: SupervisorEvent) -> None:
        """One event into the supervisor; its effects are performed, and sent by the next `step`."""
        self._apply(self.supervisor.handle(time.monotonic_ns(), event))

    def offer(self, *events: Offered) -> None:
        """Some tasks, sent together."""
        for event in events:
            self.handle(event)
        self.pool.flush()

    def step(self, timeout_s: float = 1.0) -> None:
        """Wait for the pool or the next deadline (at most `timeout_s`) and handle what there is: answers
        first, so that one that has arrived counts before its deadline does."""
        due_ns = self.supervisor.next_deadline_ns()
        if due_ns is not None:
            timeout_s = min(timeout_s, max(due_ns - time.monotonic_ns(), 0) / 1e9)
        select.select([self.pool], [], [], timeout_s)
        for event in self.pool.collect():
            self.handle(event)
        due_ns = self.supervisor.next_deadline_ns()
        if due_ns is not None and due_ns <= time.monotonic_ns():
            self.handle(DeadlineReached())
        self.pool.flush()

    def until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Step until the condition holds; TimeoutError otherwise."""
        ends_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > ends_s:
                raise TimeoutError(f"not within {timeout_s} s; told: {self.told[-5:]}")
            self.step()

    def _apply(self, effects: list[SupervisorEffect]) -> None:
        for effect in effects:
            match effect:
                case Report(outcome):
                    self.outcomes[outcome.task, outcome.attempt] = outcome
                case SpawnWorker() | GiveTask() | RecallTask() | KillWorker() | MeasureMemory():
                    self.pool.perform(effect)
                case _:
                    self.told.append(effect)
