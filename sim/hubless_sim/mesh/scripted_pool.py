"""Workers by script: what a task's payload says is what becomes of it, after a drawn service time.

Stands where `hubless_agents.Pool` stands in a real node: it performs the supervisor's effects and brings
events back later.  Tasks wait in the line of their worker by the rule that real workers use (``Lane``).
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Literal

import msgspec

from hubless_agents import (
    MERGE,
    Assignment,
    Contract,
    GiveTask,
    KillWorker,
    MeasureMemory,
    MemoryMeasured,
    PoolEvent,
    RecallTask,
    SpawnWorker,
    WorkerAnswered,
    WorkerExited,
    WorkerMisbehaved,
    WorkerReady,
)
from hubless_agents.events import PoolEffect
from hubless_agents.lane import Lane
from hubless_sim.world.chance import draw, stream, tail_ns

MS = 1_000_000
_STREAM = 4
_RESIDENT_BYTES = 1 << 20

Deed = Literal["answer", "raise", "garble", "crash", "hang", "babble"]
"""What a worker does with a task: answers; raises; answers what the schema forbids; dies; never comes back;
writes something that is not of the protocol."""


class Script(msgspec.Struct, frozen=True):
    """The payload of a scripted task: attempt ``k`` does ``does[k - 1]``, later ones answer.

    ``ms`` null draws the service time: the profile's shortest plus an exponential share.
    """

    n: int
    does: tuple[Deed, ...] = ()
    ms: float | None = None

    def to_payload(self) -> bytes:
        """As a task carries it."""
        return msgspec.json.encode(self)


class Reply(msgspec.Struct, frozen=True):
    """What a scripted agent answers: ``out`` follows from ``n``, so that anybody can check it."""

    n: int
    out: int


class Signed(Reply, frozen=True):
    """A reply as it is written, with the attempt that came to it."""

    attempt: int


class PoolProfile(msgspec.Struct, frozen=True):
    """Timing of the workers, in ns."""

    start_ns: int = 80 * MS
    exit_ns: int = 2 * MS
    service_ns: int = 1 * MS
    service_jitter_ns: int = 4 * MS


class Started(msgspec.Struct, frozen=True):
    """A worker has begun to run an attempt: from here on its effect may have happened."""

    task: bytes
    attempt: int
    agent: str


def answer_of(n: int) -> int:
    """What the scripted agents compute."""
    return n * n + 7


class _Results(msgspec.Struct, frozen=True):
    """The payload of a `merge`."""

    first: Reply
    second: Reply


def _work_of(assignment: Assignment) -> tuple[Script, int]:
    """What an attempt is to do, and what it computes: a `merge` adds up what it is given."""
    if assignment.agent.endswith(MERGE):
        both = msgspec.json.decode(assignment.payload, type=_Results)
        return Script(both.first.n), both.first.out + both.second.out
    script = msgspec.json.decode(assignment.payload, type=Script)
    return script, answer_of(script.n)


class _Given:
    """One task in a worker; shaped for ``Lane``."""

    __slots__ = ("assignment", "give", "lane_agent", "lane_limit")

    def __init__(self, give: int, assignment: Assignment, limit: int) -> None:
        self.give = give
        self.assignment = assignment
        self.lane_agent = assignment.agent
        self.lane_limit = limit


def _healthy() -> int:
    return 1


class ScriptedPool:
    """The worker processes of one simulated node, which is ``slowness()`` times slower than a healthy one."""

    def __init__(
        self,
        *,
        seed: int,
        contracts: tuple[Contract, ...],
        profile: PoolProfile | None = None,
        slowness: Callable[[], int] = _healthy,
    ) -> None:
        self._seed = seed
        self._contracts = contracts
        self._limits = {contract.name: contract.concurrency for contract in contracts}
        self._profile = profile or PoolProfile()
        self._slowness = slowness
        self._lanes: dict[int, Lane[_Given]] = {}
        self._heap: list[tuple[int, int, PoolEvent]] = []
        self._sequence = 0
        self._started: list[Started] = []

    def perform(self, now_ns: int, effect: PoolEffect) -> None:
        """Carry out one effect of the supervisor."""
        match effect:
            case SpawnWorker(worker):
                self._lanes[worker] = Lane()
                self._later(now_ns + self._profile.start_ns, WorkerReady(worker, worker, self._contracts))
            case GiveTask(worker, give, assignment):
                lane = self._lanes.get(worker)
                if lane is not None:
                    given = _Given(give, assignment, self._limits[assignment.agent])
                    if lane.add(give, given) is not None:
                        self._begin(now_ns, worker, given)
            case RecallTask(worker, give):
                lane = self._lanes.get(worker)
                if lane is not None and give in lane.waiting:
                    self._later(now_ns, WorkerAnswered(worker, give, "dropped"))
            case KillWorker(worker):
                if self._lanes.pop(worker, None) is not None:
                    self._later(
                        now_ns + self._profile.exit_ns, WorkerExited(worker, "exited", "signal SIGKILL")
                    )
            case MeasureMemory(worker):
                self._later(now_ns, MemoryMeasured(worker, _RESIDENT_BYTES))

    def due(self, now_ns: int) -> list[PoolEvent]:
        """Events whose time has come, in order."""
        events: list[PoolEvent] = []
        while self._heap and self._heap[0][0] <= now_ns:
            event = heappop(self._heap)[2]
            lane = self._lanes.get(event.worker)
            match event:
                case WorkerExited():
                    self._lanes.pop(event.worker, None)
                    events.append(event)
                case _ if lane is None:
                    pass  # it was killed before it came to that
                case WorkerAnswered(worker, give):
                    _, started = lane.remove(give)
                    for _, following in started:
                        self._begin(now_ns, worker, following)
                    events.append(event)
                case _:
                    events.append(event)
        return events

    def next_due_ns(self) -> int | None:
        """When ``due`` next has something."""
        return self._heap[0][0] if self._heap else None

    def take_notes(self) -> list[Started]:
        """The attempts that began since the last call."""
        started, self._started = self._started, []
        return started

    def _begin(self, now_ns: int, worker: int, given: _Given) -> None:
        assignment = given.assignment
        self._started.append(Started(assignment.task, assignment.attempt, assignment.agent))
        script, out = _work_of(assignment)
        deed = script.does[assignment.attempt - 1] if assignment.attempt <= len(script.does) else "answer"
        took_ns = self._service_ns(script, assignment) * self._slowness()
        due_ns = now_ns + took_ns
        match deed:
            case "answer":
                payload = msgspec.json.encode(Signed(script.n, out, assignment.attempt))
                answered = WorkerAnswered(worker, given.give, "returned", payload, took_ns=took_ns)
                self._later(due_ns, answered)
            case "garble":
                self._later(due_ns, WorkerAnswered(worker, given.give, "returned", b'"?"', took_ns=took_ns))
            case "raise":
                raised = WorkerAnswered(worker, given.give, "raised", message="ValueError: by script")
                self._later(due_ns, raised)
            case "crash":
                self._later(due_ns, WorkerExited(worker, "exited", "signal SIGSEGV"))
            case "babble":
                self._later(due_ns, WorkerMisbehaved(worker, "not of the protocol"))
            case "hang":
                pass

    def _service_ns(self, script: Script, assignment: Assignment) -> int:
        if script.ms is not None:
            return int(script.ms * MS)
        task = int.from_bytes(assignment.task[-8:], "big")
        chance = draw(stream(self._seed, _STREAM, task), assignment.attempt)
        return self._profile.service_ns + tail_ns(self._profile.service_jitter_ns, chance)

    def _later(self, due_ns: int, event: PoolEvent) -> None:
        self._sequence += 1
        heappush(self._heap, (due_ns, self._sequence, event))
