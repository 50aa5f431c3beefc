"""The processes of one node: which work, which wait as warm spares, when others are started.

A module's first start is made alone: an import error then shows once, and nodes that start together do not
fight for the cores. Spares follow when every worker is there.
"""

import enum
import random
from collections.abc import Iterable

from .catalogue import Held
from .config import SupervisorConfig
from .events import KillWorker, SpawnWorker, SupervisorEffect
from .failure import Code
from .lane import Lane
from .marks import sometimes
from .rungs import MS, StartBackoff
from .timers import Due, Timers


class Condition(enum.Enum):
    STARTING = "starting"
    SPARE = "spare"
    ACTIVE = "active"
    DYING = "dying"


class Worker:
    """One process. `culprits`: those of its gives for which it is killed, with the code and text to report.

    `stalled`: its prefetched tasks have been called back, because the running one is slow; it gets no others
    until it answers. `recall_mark` is the count of answers when that was last looked at, `recall_due` the key of the
    timer for the next look.
    """

    __slots__ = (
        "answered",
        "backlog_ns",
        "condition",
        "culprits",
        "death",
        "lane",
        "number",
        "recall_due",
        "recall_mark",
        "stalled",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.condition = Condition.STARTING
        self.lane: Lane[Held] = Lane()
        self.backlog_ns = 0.0
        self.answered = 0
        self.recall_due = Due("recall", number)
        self.recall_mark = 0
        self.stalled = False
        self.culprits: dict[int, tuple[Code, str]] = {}
        self.death = ""


def choose(workers: Iterable[Worker], held: Held, config: SupervisorConfig) -> Worker | None:
    """The worker that should take this task now, or None: an idle one, one that runs the same concurrent
    agent and has room, or a busy one whose expected work fits the prefetch horizon."""
    cost_ns = held.agent.mean_ns
    horizon_ns = config.prefetch_horizon_ms * MS
    prefetch = config.prefetch_max > 0 and len(held.assignment.payload) <= config.prefetch_payload_bytes
    best: Worker | None = None
    best_rank: tuple[int, float] = (3, 0.0)
    for worker in workers:
        if worker.condition is not Condition.ACTIVE:
            continue
        lane = worker.lane
        if not lane.running:
            return worker
        if lane.has_room_for(held):
            rank = (1, float(len(lane.running)))
        elif (
            prefetch
            and not worker.stalled
            and len(lane.waiting) < config.prefetch_max
            and worker.backlog_ns + cost_ns <= horizon_ns
        ):
            rank = (2, worker.backlog_ns)
        else:
            continue
        if rank < best_rank:
            best, best_rank = worker, rank
    return best


class Crew:
    """Workers by number (never reused)."""

    __slots__ = ("_config", "_next", "_timers", "backoff", "workers")

    def __init__(self, config: SupervisorConfig, rng: random.Random, timers: Timers[Held | Due]) -> None:
        self._config = config
        self._timers = timers
        self._next = 1
        self.backoff = StartBackoff(config, rng)
        self.workers: dict[int, Worker] = {}

    def having(self, condition: Condition) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.condition is condition]

    def fill(self, now_ns: int, *, first: bool) -> list[SupervisorEffect]:
        """Promote spares, then start what is missing. `first`: no worker has been ready yet."""
        starting = len(self.having(Condition.STARTING))
        active = self._promote()
        spares = len(self.having(Condition.SPARE))
        missing = self._config.workers - active - starting
        if missing <= 0 and active >= self._config.workers:
            missing = self._config.spares - spares - starting
        room = (1 if first or self.backoff.consecutive else self._config.starts_at_once) - starting
        if min(missing, room) <= 0:
            return []
        if now_ns < self.backoff.not_before_ns:
            self._timers.arm(Due("spawn"), self.backoff.not_before_ns)
            return []
        return [self._spawn(now_ns) for _ in range(min(missing, room))]

    def ready(self, number: int) -> Worker | None:
        """The worker has started; None if it is not one that was starting."""
        worker = self.workers.get(number)
        if worker is None or worker.condition is not Condition.STARTING:
            return None
        self._timers.disarm(Due("start", number))
        worker.condition = Condition.SPARE
        self._promote()
        return worker

    def kill(self, now_ns: int, worker: Worker, reason: str) -> list[SupervisorEffect]:
        """Send it to death (it is not dying yet); its place is free from now on."""
        self._timers.disarm(Due("start", worker.number))
        worker.condition = Condition.DYING
        worker.death = reason
        self._timers.arm(Due("bury", worker.number), now_ns + self._config.kill_grace_ms * MS)
        return [KillWorker(worker.number, reason), *self.fill(now_ns, first=False)]

    def gone(self, number: int) -> Worker | None:
        """The process has ended; None if that was known already."""
        self._timers.disarm(Due("start", number))
        self._timers.disarm(Due("bury", number))
        self._timers.disarm(Due("recall", number))
        self._timers.disarm(Due("memory", number))
        return self.workers.pop(number, None)

    def _promote(self) -> int:
        active = len(self.having(Condition.ACTIVE))
        dying = self.having(Condition.DYING)
        for worker in self.having(Condition.SPARE):
            if active >= self._config.workers:
                break
            if dying:
                sometimes("spare took over")
            worker.condition = Condition.ACTIVE
            active += 1
        return active

    def _spawn(self, now_ns: int) -> SpawnWorker:
        worker = Worker(self._next)
        self._next += 1
        self.workers[worker.number] = worker
        self._timers.arm(Due("start", worker.number), now_ns + int(self._config.start_timeout_s * 1e9))
        return SpawnWorker(worker.number)
