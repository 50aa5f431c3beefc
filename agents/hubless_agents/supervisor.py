"""The supervisor: every task that this node takes ends here exactly once, whatever its worker does.

Three rungs (the contract chooses per breach): the same task again with what was wrong in `ctx.failures`;
the process killed and its place taken by a warm spare; the agent set aside on this node for a while. Only
the last two count for restart intensity. After a death nothing is repeated here: the task's owner learns
whether the effect may have happened, and decides. Tasks that had certainly not started go to another worker.
"""

import math
import random
from typing import Final, assert_never

from .admission import Admission
from .catalogue import Agent, AgentLoad, Catalogue, Held
from .config import SupervisorConfig
from .contract import Breach
from .crew import Condition, Crew, Worker
from .desk import Counters, Desk
from .events import (
    Assignment,
    DeadlineReached,
    Drain,
    Drained,
    Failed,
    MeasureMemory,
    MemoryMeasured,
    Offered,
    Report,
    SupervisorEffect,
    SupervisorEvent,
    Withdrawn,
    WorkerAnswered,
    WorkerExited,
    WorkerMisbehaved,
    WorkerReady,
    WorkersFailing,
)
from .failure import Code, Effect, failure
from .marks import sometimes
from .offering import Offering
from .rungs import MS, Standing
from .timers import Due, Timers

_CODES: Final[dict[Breach, Code]] = {
    "schema": "bad_output",
    "raised": "raised",
    "deadline": "deadline",
    "memory": "out_of_memory",
}


class Supervisor:
    """The core of a node's agents: `handle` events, perform the effects (the pool does, on real processes).

    The first deadline is due at once and starts the first worker.
    """

    def __init__(self, *, config: SupervisorConfig, node: str, rng: random.Random, now_ns: int) -> None:
        self._config = config
        self._node = node
        self._timers: Timers[Held | Due] = Timers()
        self._catalogue = Catalogue(config, random.Random(f"{rng.getrandbits(64)}:quarantine"))
        self._crew = Crew(config, random.Random(f"{rng.getrandbits(64)}:backoff"), self._timers)
        self._gate = Admission(config, self._catalogue, self._crew.backoff, node=node)
        self._desk = Desk(config, self._catalogue, self._crew, self._timers, node=node)
        self._offering = Offering(self._catalogue, self._gate, self._desk, self._timers)
        self._drained = False
        self._timers.arm(Due("spawn"), now_ns)

    @property
    def counters(self) -> Counters:
        return self._desk.counters

    def handle(self, now_ns: int, event: SupervisorEvent) -> list[SupervisorEffect]:
        """Apply one event; effects in the order in which they must be performed."""
        out: list[SupervisorEffect] = []
        self._desk.out = out
        match event:
            case WorkerAnswered():
                self._answered(now_ns, event)
            case Offered(assignment):
                self._offered(now_ns, assignment)
            case Withdrawn(task):
                self._withdrawn(now_ns, task, "nobody waits for this task any more")
            case WorkerReady():
                self._ready(now_ns, event)
            case WorkerExited():
                self._exited(now_ns, event.worker, event)
            case WorkerMisbehaved(number, message):
                self._misbehaved(now_ns, number, message)
            case MemoryMeasured(number, resident):
                self._measured(now_ns, number, resident)
            case DeadlineReached():
                self._deadlines(now_ns)
            case Drain():
                self._gate.draining = True
            case _:
                assert_never(event)
        if self._gate.draining and not self._drained and not self._desk.held:
            sometimes("drained: nothing is left here to run")
            self._drained = True
            out.append(Drained())
        return out

    def next_deadline_ns(self) -> int | None:
        """When a `DeadlineReached` is wanted."""
        return self._timers.next_ns()

    def load(self) -> dict[str, AgentLoad]:
        """Slots, queue and running tasks per agent, sorted by name."""
        active = len(self._crew.having(Condition.ACTIVE))
        return {
            name: AgentLoad(
                slots=0
                if agent.intensity.standing is Standing.QUARANTINED
                else active * agent.contract.concurrency,
                queued=len(agent.queue),
                running=agent.given,
            )
            for name, agent in self._catalogue.agents.items()
        }

    def is_clogged(self) -> bool:
        """Whether every worker runs only what nobody waits for any more: new tasks would wait behind that."""
        if not self._desk.lingering:
            return False
        active = self._crew.having(Condition.ACTIVE)
        return bool(active) and all(
            worker.lane.running and all(held.ended for held in worker.lane.running.values())
            for worker in active
        )

    def mean_ns(self, agent: str) -> float:
        """How long a task of an agent has taken lately; infinity while none has ended here."""
        known = self._catalogue.agents.get(agent)
        return math.inf if known is None else known.mean_ns

    # ---- tasks ----------------------------------------------------------------------------------------

    def _offered(self, now_ns: int, assignment: Assignment) -> None:
        self.counters.offered += 1
        older = self._desk.held.get(assignment.task)
        if older is not None and assignment.attempt == older.assignment.attempt:
            self.counters.duplicates += 1
            return
        if older is not None and assignment.attempt < older.assignment.attempt:
            text = f"attempt {older.assignment.attempt} of this task is here already"
            refusal = failure("cancelled", text, where=f"{self._node}/{assignment.agent}")
        else:
            if older is not None:
                text = f"superseded by attempt {assignment.attempt}"
                self._withdrawn(now_ns, assignment.task, text)
            admitted = self._gate.refusal(now_ns, assignment)
            if admitted is None:
                self._desk.take(now_ns, assignment)
                return
            refusal = admitted
        self.counters.refused += 1
        self._desk.out.append(Report(Failed(assignment.task, assignment.attempt, refusal)))

    def _withdrawn(self, now_ns: int, task: bytes, message: str) -> None:
        held = self._desk.held.get(task)
        if held is not None and self._desk.withdraw(held, message):
            self._retire_of(now_ns, held, "one of its tasks was cancelled")

    def _answered(self, now_ns: int, event: WorkerAnswered) -> None:
        worker = self._crew.workers.get(event.worker)
        if worker is None:
            self.counters.late_answers += 1
            return
        held = self._desk.left_lane(now_ns, worker, event.give)
        if held is None:
            self._misbehaved(now_ns, event.worker, f"it answered give {event.give}, which it does not have")
        elif event.kind == "dropped":
            self._dropped(now_ns, worker, held)
        else:
            worker.answered += 1
            worker.stalled = False
            self._crew.backoff.worked()
            held.agent.took(event.took_ns)
            if held.ended:
                self.counters.late_answers += 1
                sometimes("a worker answered what nobody waits for any more")
                self._desk.forget(held)
                self._offering.unharmed(held.agent)
            else:
                self._conclude(now_ns, worker, held, event)
        self._desk.pump(now_ns)

    def _dropped(self, now_ns: int, worker: Worker, held: Held) -> None:
        if held.ended:
            self._desk.forget(held)
            return
        asked = held.recalled
        if asked:
            sometimes("a task came back from behind a slow one")
        self._offering.requeue(now_ns, held)
        if not asked:
            self._misbehaved(now_ns, worker.number, "it gave back a task that was not recalled")

    def _conclude(self, now_ns: int, worker: Worker, held: Held, event: WorkerAnswered) -> None:
        """The worker has done with a task that somebody waits for."""
        desk, limit = self._desk, self._config.max_payload_bytes
        match event.kind:
            case "returned" if len(event.payload) <= limit:
                fault = held.agent.output.fault(event.payload)
                if fault is None:
                    desk.succeed(held, event.payload)
                    self._offering.unharmed(held.agent)
                else:
                    text = f"the answer does not fit the contract: {fault}"
                    self._breach(now_ns, worker, held, "schema", text)
            case "returned" | "too_large":
                size = len(event.payload)
                text = event.message or f"the answer has {size} bytes; the limit is {limit} bytes"
                desk.fail(held, "payload_too_large", text, Effect.DONE)
                self._offering.unharmed(held.agent)
            case "bad_input":
                desk.fail(held, "bad_input", event.message, Effect.NONE)
                self._offering.unharmed(held.agent)
            case "bad_output":
                self._breach(now_ns, worker, held, "schema", event.message)
            case "raised":
                self._breach(now_ns, worker, held, "raised", event.message, detail=event.detail)
            case "out_of_memory":
                self._breach(now_ns, worker, held, "memory", event.message, detail=event.detail)
            case _:
                raise AssertionError("dropped tasks do not conclude")

    def _breach(
        self, now_ns: int, worker: Worker, held: Held, breach: Breach, message: str, *, detail: str = ""
    ) -> None:
        """The task has ended in its worker, but not well: take the rung that the contract chose."""
        contract = held.agent.contract
        code = _CODES[breach]
        effect = Effect.DONE if breach == "schema" else Effect.MAYBE
        failed = self._desk.failure_of(held, code, message, effect, detail)
        rung = getattr(contract.on_breach, breach)
        if rung == "retry":
            in_time = now_ns < held.assignment.deadline_ns
            if len(held.failures) < contract.retries and in_time and worker.condition is Condition.ACTIVE:
                self.counters.repeated += 1
                sometimes("an answer was rejected, and the task given again with what was wrong")
                held.failures += (failed,)
                self._offering.requeue(now_ns, held)
                self._offering.unharmed(held.agent)
                return
            # Who cannot be corrected within the budget has broken its contract; an exception breaks nothing.
            rung = "kill" if breach == "schema" else "fail"
        self._desk.end(held, failed)
        if rung == "fail":
            self._offering.unharmed(held.agent)
        else:
            self._punish(now_ns, worker, held.agent, message, at_once=rung == "quarantine")

    # ---- processes ------------------------------------------------------------------------------------

    def _ready(self, now_ns: int, event: WorkerReady) -> None:
        worker = self._crew.workers.get(event.worker)
        if worker is None or worker.condition is not Condition.STARTING:
            return
        fault = self._catalogue.adopt(event.contracts)
        if fault is not None:
            self._start_failed(now_ns, event.worker, fault, "")
            self._desk.out.extend(self._crew.kill(now_ns, worker, fault))
            return
        self._crew.ready(event.worker)
        self._offering.startable()
        self._desk.out.extend(self._crew.fill(now_ns, first=False))
        self._desk.pump(now_ns)

    def _exited(self, now_ns: int, number: int, event: WorkerExited | None) -> None:
        """Everything the process wrote has been handled: what it still has will not be answered.

        `event` None: it was killed a while ago and cannot be seen to end; it is written off. Answers of it may be
        unread then, so that tasks which seem to wait may have started.
        """
        worker = self._crew.gone(number)
        if worker is None:
            return
        self.counters.deaths += 1
        message = event.message if event is not None else ""
        detail = event.detail if event is not None else ""
        dying = worker.condition is Condition.DYING
        running = list(worker.lane.running.values())
        waiting = list(worker.lane.waiting.values())
        if event is None:
            running, waiting = running + waiting, []
        how = worker.death if dying else message
        for held in running:
            self._lost(held, worker, how, "" if dying else detail)
        if running and not dying:
            self._offering.charge(now_ns, running[0].agent, f"worker-{number} died: {message}")
        elif not dying:
            self._start_failed(now_ns, number, message or "the process ended", detail)
        for held in reversed(waiting):
            held.agent.given -= 1
            if held.ended:
                self._desk.forget(held)
            else:
                self.counters.regiven += 1
                sometimes("a task that had not started outlived its worker")
                self._offering.requeue(now_ns, held)
        self._desk.out.extend(self._crew.fill(now_ns, first=not self._catalogue.known))
        self._desk.pump(now_ns)

    def _lost(self, held: Held, worker: Worker, how: str, detail: str) -> None:
        held.agent.given -= 1
        if held.ended:
            self._desk.forget(held)
            return
        code, message = worker.culprits.get(held.give, ("worker_died", f"its worker died: {how}"))
        self._desk.fail(held, code, message, Effect.MAYBE, detail)

    def _punish(
        self, now_ns: int, worker: Worker, agent: Agent, reason: str, *, at_once: bool = False
    ) -> None:
        """Kill the process for what its agent did, and count it. The count comes first: an agent that is
        set aside by it must not be handed to the spare."""
        if worker.condition is not Condition.DYING:
            self._offering.charge(now_ns, agent, reason, at_once=at_once)
            self._retire(now_ns, worker, reason)

    def _retire(self, now_ns: int, worker: Worker, reason: str) -> None:
        """Rung 2: kill the process; a spare takes its place now, its tasks are settled when it is gone."""
        if worker.condition is not Condition.DYING:
            self.counters.kills += 1
            self._desk.out.extend(self._crew.kill(now_ns, worker, reason))
            self._desk.pump(now_ns)

    def _retire_of(self, now_ns: int, held: Held, reason: str) -> None:
        worker = None if held.worker is None else self._crew.workers.get(held.worker)
        if worker is not None:
            self._retire(now_ns, worker, reason)

    def _misbehaved(self, now_ns: int, number: int, message: str) -> None:
        worker = self._crew.workers.get(number)
        if worker is None or worker.condition is Condition.DYING:
            return
        running = list(worker.lane.running.values())
        text = f"it broke the protocol: {message}"
        if running:
            sometimes("killed a worker that broke the protocol")
            self._punish(now_ns, worker, running[0].agent, text)
            return
        self._start_failed(now_ns, number, text, "")
        self._retire(now_ns, worker, text)

    def _start_failed(self, now_ns: int, number: int, message: str, detail: str) -> None:
        """A process was lost without any task to blame: pause before the next, and say so."""
        self.counters.failed_starts += 1
        backoff = self._crew.backoff
        backoff.failed(now_ns)
        failed = failure("no_executor", message, where=f"{self._node}/worker-{number}", detail=detail)
        self._desk.out.append(WorkersFailing(number, failed, backoff.consecutive, backoff.not_before_ns))
        alive = self._crew.having(Condition.ACTIVE) + self._crew.having(Condition.SPARE)
        if backoff.consecutive >= self._config.failing_after and not alive:
            self._offering.unstartable(now_ns)

    # ---- time and memory ------------------------------------------------------------------------------

    def _deadlines(self, now_ns: int) -> None:
        while (key := self._timers.pop_due(now_ns)) is not None:
            if isinstance(key, Held):
                self._overdue(now_ns, key)
            else:
                self._due(now_ns, key)

    def _due(self, now_ns: int, due: Due) -> None:
        out = self._desk.out
        match due.what:
            case "spawn":
                out.extend(self._crew.fill(now_ns, first=not self._catalogue.known))
            case "start":
                text = (
                    f"the module was not imported within {self._config.start_timeout_s:g} s (start_timeout_s)"
                )
                self._start_failed(now_ns, due.worker, text, "")
                self._retire(now_ns, self._crew.workers[due.worker], text)
            case "bury":
                self._exited(now_ns, due.worker, None)
            case "recall":
                self._desk.recall(now_ns, self._crew.workers[due.worker])
            case "memory":
                out.append(MeasureMemory(due.worker))
            case "quarantine":
                self._offering.quarantine_over(due.agent)
            case _:
                assert_never(due.what)

    def _overdue(self, now_ns: int, held: Held) -> None:
        """The caller's deadline, or that of the contract, has passed."""
        if held.worker is None:
            sometimes("a task expired while it waited for a worker")
            del held.agent.queue[held.serial]
            self._desk.fail(held, "expired", "its deadline passed while it waited for a worker", Effect.NONE)
            return
        if held.run_due_ns is not None and now_ns >= held.run_due_ns:
            worker = self._crew.workers[held.worker]
            seconds = held.agent.contract.deadline_ms / 1000
            text = f"agent {held.lane_agent} ran over its deadline of {seconds:g} s and was killed"
            sometimes("killed a worker whose task ran over its contract's deadline")
            worker.culprits[held.give] = ("deadline", text)
            at_once = held.agent.contract.on_breach.deadline == "quarantine"
            self._punish(now_ns, worker, held.agent, text, at_once=at_once)
            return
        if held.run_due_ns is None:
            self._desk.fail(held, "expired", "its deadline passed in a worker's line", Effect.MAYBE)
        else:
            self._desk.fail(held, "deadline", "the caller's deadline passed while it ran", Effect.MAYBE)
        if self._desk.abandon(held):
            self._retire_of(now_ns, held, "the caller's deadline of one of its tasks passed")

    def _measured(self, now_ns: int, number: int, resident_bytes: int | None) -> None:
        worker = self._crew.workers.get(number)
        if worker is None or worker.condition is Condition.DYING:
            return
        watched = [
            held for held in worker.lane.running.values() if held.agent.contract.memory_bytes is not None
        ]
        if not watched or resident_bytes is None:
            return
        agent = watched[0].agent
        limit = agent.contract.memory_bytes or 0
        if resident_bytes <= limit:
            self._timers.arm(Due("memory", number), now_ns + self._config.memory_check_ms * MS)
            return
        used_mb, limit_mb = resident_bytes >> 20, limit >> 20
        text = (
            f"agent {agent.contract.name} used {used_mb} MiB of memory (limit {limit_mb} MiB) and was killed"
        )
        for held in watched:
            worker.culprits[held.give] = ("out_of_memory", text)
        at_once = agent.contract.on_breach.memory == "quarantine"
        self._punish(now_ns, worker, agent, text, at_once=at_once)
