"""The workers of one simulated node that run users' agents; see ``WorkerPool``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

import msgspec

from hubless_agents import (
    GiveTask,
    KillWorker,
    MeasureMemory,
    MemoryMeasured,
    PoolEvent,
    RecallTask,
    SpawnWorker,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
)
from hubless_agents.events import PoolEffect
from hubless_agents.server import Job, describe
from hubless_agents.signature import Bound
from hubless_sim.checkers.deadlines import Overrun
from hubless_sim.mesh.ailing import WELL, Ailment, ailment_of, misshapen
from hubless_sim.mesh.notes import Started
from hubless_sim.mesh.scripted_pool import PoolProfile
from hubless_sim.testing.process import WorkerProcess
from hubless_sim.testing.strands import ProcessClock
from hubless_sim.world.chance import draw, stream, tail_ns

MS = 1_000_000
_STREAM = 6
_RESIDENT_BYTES = 64 << 20

PROFILE = PoolProfile(service_ns=MS // 10, service_jitter_ns=3 * MS // 10)
"""An attempt begins so long after its turn has come; what it then takes is what it waits for."""


class Logged(msgspec.Struct, frozen=True):
    """An agent has logged a line."""

    worker: int
    line: str


class _Ready(msgspec.Struct, frozen=True):
    worker: int


class _Begin(msgspec.Struct, frozen=True):
    process: WorkerProcess
    act: Callable[[], None]


class _Ailing(msgspec.Struct, frozen=True):
    """What is wrong with an attempt that began then."""

    ailment: Ailment
    since_ns: int


class AgentPool:
    """``load`` gives the agents for one more process; ``processes`` collects all of them, for who unwinds them.

    ``ills()`` are the faults of agents here: they befall attempts as in scripted workers, but for what only a script
    can say, or lean on. A slow attempt is one whose answer is late.
    """

    def __init__(
        self,
        node: str,
        load: Callable[[], list[Bound]],
        *,
        seed: int,
        epoch_ns: int,
        max_payload_bytes: int,
        busy_s: float,
        slowness: Callable[[], int],
        ills: Callable[[], Sequence[Any]],
        processes: list[WorkerProcess],
    ) -> None:
        self._node = node
        self._load = load
        self._seed = seed
        self._epoch_ns = epoch_ns
        self._max_payload_bytes = max_payload_bytes
        self._busy_s = busy_s
        self._slowness = slowness
        self._ills = ills
        self._ailing: dict[tuple[int, int], _Ailing] = {}
        """By worker and give, the attempts with which something is wrong."""
        self._leaked: dict[int, int] = {}
        self._all = processes
        self._starting: set[int] = set()
        self._running: dict[int, WorkerProcess] = {}
        self._heap: list[tuple[int, int, PoolEvent | _Ready | _Begin]] = []
        self._sequence = 0
        self._now_ns = 0
        self._notes: list[Started | Logged] = []

    def perform(self, now_ns: int, effect: PoolEffect) -> None:
        """Carry out one effect of the supervisor."""
        self._now_ns = now_ns
        match effect:
            case SpawnWorker(worker):
                self._starting.add(worker)
                self._later(now_ns + PROFILE.start_ns, _Ready(worker))
            case GiveTask(worker) | RecallTask(worker):
                if worker in self._running:
                    self._running[worker].order(effect)
            case KillWorker(worker):
                self._kill(now_ns, worker)
            case MeasureMemory(worker):
                self._later(now_ns, MemoryMeasured(worker, _RESIDENT_BYTES + self._leaked.get(worker, 0)))

    def due(self, now_ns: int) -> list[PoolEvent]:
        """Events whose time has come, in order; the agents run here."""
        self._now_ns = now_ns
        events: list[PoolEvent] = []
        while self._heap and self._heap[0][0] <= now_ns:
            match heappop(self._heap)[2]:
                case _Ready(worker):
                    if worker in self._starting:
                        events.append(self._start(worker))
                case _Begin(process, act):
                    if process.exit is None:
                        act()
                case event:
                    events.append(event)
        for process in list(self._running.values()):
            due_ns = process.next_due_ns()
            if due_ns is not None and due_ns <= now_ns:
                process.step(now_ns)
                for report in process.reports():
                    events += self._told(report)
            if process.exit is not None:
                del self._running[process.number]
                self._later(now_ns + PROFILE.exit_ns, WorkerExited(process.number, "exited", process.exit))
        return events

    def next_due_ns(self) -> int | None:
        """When ``due`` next has something."""
        times = [
            due_ns for process in self._running.values() if (due_ns := process.next_due_ns()) is not None
        ]
        if self._heap:
            times.append(self._heap[0][0])
        return min(times, default=None)

    def overdue(self, now_ns: int) -> Sequence[Overrun]:  # noqa: ARG002 as the protocol has it
        """Nothing: users' agents take the time that they take, and nobody else measures it."""
        return ()

    def take_notes(self) -> list[Started | Logged]:
        """The attempts that began since the last call, and what agents logged."""
        notes, self._notes = self._notes, []
        return notes

    def _start(self, worker: int) -> WorkerReady | WorkerExited:
        self._starting.discard(worker)
        try:
            bounds = self._load()
        except BaseException as error:  # noqa: BLE001 the user's module may raise anything
            return WorkerExited(worker, "import_error", *describe(error))
        process = WorkerProcess(
            worker,
            bounds,
            name=f"worker {worker} of {self._node}",
            clock=ProcessClock(self._now_ns, self._epoch_ns),
            begin=lambda act, job: self._begin(process, act, job),
            log=lambda line: self._notes.append(Logged(worker, line)),
            max_payload_bytes=self._max_payload_bytes,
            busy_s=self._busy_s,
        )
        self._running[worker] = process
        self._all.append(process)
        return WorkerReady(worker, worker, tuple(bound.contract for bound in bounds))

    def _begin(self, process: WorkerProcess, act: Callable[[], None], job: Job) -> None:
        task = job.order.assignment
        self._notes.append(Started(task.task, task.attempt, task.agent))
        ills = self._ills()
        ailment = ailment_of(ills, self._seed, task) if ills else WELL
        if ailment != WELL:
            self._ailing[process.number, job.give] = _Ailing(ailment, self._now_ns)
            self._leaked[process.number] = self._leaked.get(process.number, 0) + ailment.leaked_bytes
        if ailment.hangs:
            return
        chance = draw(stream(self._seed, _STREAM, int.from_bytes(task.task[-8:], "big")), task.attempt)
        delay_ns = PROFILE.service_ns + tail_ns(PROFILE.service_jitter_ns, chance)
        self._later(self._now_ns + delay_ns * self._slowness(), _Begin(process, act))

    def _told(self, report: PoolEvent) -> Iterator[PoolEvent]:
        """What a worker's report has become, by what is wrong with its attempt; some comes later, or never."""
        give = report.give if isinstance(report, WorkerAnswered) else -1
        ailing = self._ailing.pop((report.worker, give), None)
        if ailing is None or not isinstance(report, WorkerAnswered):
            yield report
            return
        ailment = ailing.ailment
        if report.kind == "returned":
            report = msgspec.structs.replace(report, payload=misshapen(report.payload, ailment.does))
        late_ns = (self._now_ns - ailing.since_ns) * (ailment.factor - 1)
        copies = {"missing": 0, "repeated": 2}.get(ailment.does or "", 1)
        for _ in range(copies):
            if late_ns:
                self._later(self._now_ns + late_ns, report)
            else:
                yield report

    def _kill(self, now_ns: int, worker: int) -> None:
        process = self._running.pop(worker, None)
        if process is not None:
            process.kill()
            for report in process.reports():
                self._later(now_ns, report)
        elif worker not in self._starting:
            return
        self._starting.discard(worker)
        self._later(now_ns + PROFILE.exit_ns, WorkerExited(worker, "exited", "signal SIGKILL"))

    def _later(self, due_ns: int, item: PoolEvent | _Ready | _Begin) -> None:
        self._sequence += 1
        heappush(self._heap, (due_ns, self._sequence, item))
