"""Workers by script: what a task's payload says is what becomes of it, after a drawn service time.

Stands where `hubless_agents.Pool` stands in a real node: it performs the supervisor's effects and brings
events back later.  Tasks wait in the line of their worker by the rule that real workers use (``Lane``).
"""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any, Literal, NamedTuple

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
from hubless_sim.checkers.deadlines import Overrun
from hubless_sim.mesh.ailing import WELL, Ailment, ailment_of, misshapen
from hubless_sim.mesh.notes import Misled, Started
from hubless_sim.mesh.store import Store, token_of
from hubless_sim.tapes.script import Deed, Reply, Script, Signed, answer_of
from hubless_sim.world.chance import draw, stream, tail_ns

MS = 1_000_000
_STREAM = 4
_RESIDENT_BYTES = 1 << 20


class PoolProfile(msgspec.Struct, frozen=True):
    """Timing of the workers, in ns."""

    start_ns: int = 80 * MS
    exit_ns: int = 2 * MS
    service_ns: int = 1 * MS
    service_jitter_ns: int = 4 * MS


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
    """One task in a worker; shaped for ``Lane``. ``began_ns`` is when its turn came, None before."""

    __slots__ = ("assignment", "began_ns", "give", "lane_agent", "lane_limit")

    def __init__(self, give: int, assignment: Assignment, limit: int) -> None:
        self.give = give
        self.began_ns: int | None = None
        self.assignment = assignment
        self.lane_agent = assignment.agent
        self.lane_limit = limit


class Silent(NamedTuple):
    """A worker is done with a task and tells nobody."""

    worker: int
    give: int


class Outside(NamedTuple):
    """The store, who uses it, and which process they run in here."""

    store: Store
    agents: frozenset[str]
    place: str


class Writing(NamedTuple):
    """A worker is done with a task, and writes to the store before it answers."""

    worker: int
    answered: WorkerAnswered
    assignment: Assignment
    token: str
    outside: Outside


def _healthy() -> int:
    return 1


def _well() -> Sequence[Any]:
    return ()


class ScriptedPool:
    """The worker processes of one simulated node, which is ``slowness()`` times slower than a healthy one.

    ``ills()`` are the faults of agents there; ``outside`` is the store, if any agent uses it.
    """

    def __init__(
        self,
        *,
        seed: int,
        contracts: tuple[Contract, ...],
        profile: PoolProfile | None = None,
        slowness: Callable[[], int] = _healthy,
        ills: Callable[[], Sequence[Any]] = _well,
        outside: Outside | None = None,
    ) -> None:
        self._seed = seed
        self._contracts = contracts
        self._limits = {contract.name: contract.concurrency for contract in contracts}
        self._deadlines_ns = {contract.name: contract.deadline_ms * MS for contract in contracts}
        self._profile = profile or PoolProfile()
        self._slowness = slowness
        self._ills = ills
        self._outside = outside
        self._leaked: dict[int, int] = {}
        """By worker, the bytes of memory that it does not give back."""
        self._lanes: dict[int, Lane[_Given]] = {}
        self._heap: list[tuple[int, int, PoolEvent | Silent | Writing]] = []
        self._sequence = 0
        self._notes: list[Started | Misled] = []

    def perform(self, now_ns: int, effect: PoolEffect) -> None:
        """Carry out one effect of the supervisor."""
        match effect:
            case SpawnWorker(worker):
                self._lanes[worker] = Lane()
                self._leaked[worker] = 0
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
                self._later(now_ns, MemoryMeasured(worker, _RESIDENT_BYTES + self._leaked.get(worker, 0)))

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
                    self._go_on(now_ns, worker, give, lane)
                    events.append(event)
                case Silent(worker, give):
                    self._go_on(now_ns, worker, give, lane)
                case Writing(worker, answered):
                    self._go_on(now_ns, worker, answered.give, lane)
                    events.append(_written(now_ns, event))
                case _:
                    events.append(event)
        return events

    def next_due_ns(self) -> int | None:
        """When ``due`` next has something."""
        return self._heap[0][0] if self._heap else None

    def overdue(self, now_ns: int) -> list[Overrun]:
        """The attempts that run in a process which is not being killed although their contract's time is over."""
        return [
            Overrun(
                given.assignment.task, given.assignment.attempt, given.lane_agent, now_ns - given.began_ns
            )
            for lane in self._lanes.values()
            for given in lane.running.values()
            if given.began_ns is not None and now_ns >= given.began_ns + self._deadlines_ns[given.lane_agent]
        ]

    def take_notes(self) -> list[Started | Misled]:
        """The attempts that began since the last call, and what those say that are misled."""
        notes, self._notes = self._notes, []
        return notes

    def _go_on(self, now_ns: int, worker: int, give: int, lane: Lane[_Given]) -> None:
        """A task has left its worker: those behind it may begin."""
        for _, following in lane.remove(give)[1]:
            self._begin(now_ns, worker, following)

    def _begin(self, now_ns: int, worker: int, given: _Given) -> None:
        assignment = given.assignment
        given.began_ns = now_ns
        self._notes.append(Started(assignment.task, assignment.attempt, assignment.agent))
        script, out = _work_of(assignment)
        deed: Deed | Literal["sever"] = "answer"
        if assignment.attempt <= len(script.does):
            deed = script.does[assignment.attempt - 1]
        ills = self._ills()
        ailment = ailment_of(ills, self._seed, assignment) if ills else WELL
        self._leaked[worker] += ailment.leaked_bytes
        took_ns = self._service_ns(script, assignment) * self._slowness() * ailment.factor
        outside = self._outside
        if outside is not None and assignment.agent in outside.agents:
            took_ns += ailment.store_ns
            if ailment.is_severed:
                deed = "sever"
            else:
                outside.store.read(now_ns, assignment.task, assignment.attempt, outside.place)
        if ailment.hangs:
            deed = "hang"
        due_ns = now_ns + took_ns
        match deed:
            case "answer":
                payload = msgspec.json.encode(Signed(script.n, out, assignment.attempt))
                answered = WorkerAnswered(worker, given.give, "returned", payload, took_ns=took_ns)
                self._answer(due_ns, answered, assignment, ailment)
            case "garble":
                self._later(due_ns, WorkerAnswered(worker, given.give, "returned", b'"?"', took_ns=took_ns))
            case "raise":
                self._later(due_ns, _raised(worker, given.give, "ValueError: by script"))
            case "sever":
                self._later(due_ns, _raised(worker, given.give, "ConnectionError: the store does not answer"))
            case "crash":
                self._later(due_ns, WorkerExited(worker, "exited", "signal SIGSEGV"))
            case "babble":
                self._later(due_ns, WorkerMisbehaved(worker, "not of the protocol"))
            case "hang":
                pass

    def _answer(
        self, due_ns: int, answered: WorkerAnswered, assignment: Assignment, ailment: Ailment
    ) -> None:
        """The attempt has come to a result: it is told, unless something is wrong with telling."""
        match ailment.does:
            case "missing":
                self._later(due_ns, Silent(answered.worker, answered.give))
                return
            case "wrong":
                said = msgspec.json.decode(answered.payload, type=Signed)
                wrong = msgspec.json.encode(msgspec.structs.replace(said, out=said.out + 1))
                answered = msgspec.structs.replace(answered, payload=wrong)
                self._notes.append(Misled(assignment.task, assignment.attempt, wrong))
            case _:
                payload = misshapen(answered.payload, ailment.does)
                answered = msgspec.structs.replace(answered, payload=payload)
        outside = self._outside
        if outside is not None and assignment.agent in outside.agents:
            token = _token(assignment, ailment)
            self._later(due_ns, Writing(answered.worker, answered, assignment, token, outside))
        else:
            self._later(due_ns, answered)
        if ailment.does == "repeated":
            self._later(due_ns, answered)

    def _service_ns(self, script: Script, assignment: Assignment) -> int:
        if script.ms is not None:
            return int(script.ms * MS)
        task = int.from_bytes(assignment.task[-8:], "big")
        chance = draw(stream(self._seed, _STREAM, task), assignment.attempt)
        return self._profile.service_ns + tail_ns(self._profile.service_jitter_ns, chance)

    def _later(self, due_ns: int, event: PoolEvent | Silent | Writing) -> None:
        self._sequence += 1
        heappush(self._heap, (due_ns, self._sequence, event))


def _written(now_ns: int, writing: Writing) -> WorkerAnswered:
    """What the worker says once the store has taken its write, or refused it."""
    task, attempt = writing.assignment.task, writing.assignment.attempt
    outside = writing.outside
    why = outside.store.write(now_ns, task, attempt, outside.place, writing.token)
    if not why:
        return writing.answered
    return _raised(writing.worker, writing.answered.give, f"PermissionError: {why}")


def _raised(worker: int, give: int, message: str) -> WorkerAnswered:
    return WorkerAnswered(worker, give, "raised", message=message)


def _token(assignment: Assignment, ailment: Ailment) -> str:
    """What the attempt shows the store for a token."""
    match ailment.token:
        case None:
            return token_of(assignment.task, assignment.attempt)
        case "corrupted":
            return token_of(assignment.task, assignment.attempt)[::-1]
        case "replayed":
            return token_of(assignment.task, assignment.attempt - 1)
