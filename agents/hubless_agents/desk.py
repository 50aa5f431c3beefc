"""The desk: tasks that this node holds, on their way into workers and out of them, each reported once."""

import msgspec

from .catalogue import Agent, Catalogue, Held
from .config import SupervisorConfig
from .crew import Condition, Crew, Worker, choose
from .events import Assignment, Failed, GiveTask, Outcome, RecallTask, Report, Succeeded, SupervisorEffect
from .failure import Code, Effect, Failure, failure
from .rungs import MS
from .timers import Due, Timers


class Counters(msgspec.Struct):
    """What has happened since the start."""

    offered: int = 0
    refused: int = 0
    duplicates: int = 0
    succeeded: int = 0
    failed: int = 0
    repeated: int = 0
    recalled: int = 0
    regiven: int = 0
    late_answers: int = 0
    kills: int = 0
    deaths: int = 0
    failed_starts: int = 0
    quarantines: int = 0


class Desk:
    """Queues per agent in front, lanes of workers behind. Effects are appended to `out`, in order."""

    __slots__ = (
        "_catalogue",
        "_config",
        "_crew",
        "_node",
        "_serial",
        "_timers",
        "_turn",
        "counters",
        "held",
        "lingering",
        "out",
    )

    def __init__(
        self,
        config: SupervisorConfig,
        catalogue: Catalogue,
        crew: Crew,
        timers: Timers[Held | Due],
        *,
        node: str,
    ) -> None:
        self._config = config
        self._catalogue = catalogue
        self._crew = crew
        self._timers = timers
        self._node = node
        self._serial = 0
        self._turn = 0
        self.held: dict[bytes, Held] = {}
        self.lingering = 0
        self.out: list[SupervisorEffect] = []
        self.counters = Counters()

    # ---- in -------------------------------------------------------------------------------------------

    def take(self, now_ns: int, assignment: Assignment) -> None:
        """An admitted task: queue it, and give what can be given."""
        agent = self._catalogue.agents[assignment.agent]
        self._serial += 1
        held = Held(self._serial, assignment, agent)
        self.held[assignment.task] = held
        agent.queue[held.serial] = held
        self._pump_agent(now_ns, agent)
        if held.run_due_ns is None:
            self._timers.arm(held, assignment.deadline_ns)

    def requeue(self, held: Held) -> None:
        """Back to the front of its queue, as if it had never been given."""
        held.worker = None
        held.run_due_ns = None
        held.recalled = False
        self._timers.arm(held, held.assignment.deadline_ns)
        held.agent.put_back(held)

    def withdraw(self, held: Held, message: str) -> bool:
        """End the task for its owner. True if its worker has to be killed to stop it."""
        if held.worker is None:
            del held.agent.queue[held.serial]
            self.fail(held, "cancelled", message, Effect.NONE)
            return False
        self.fail(held, "cancelled", message, Effect.MAYBE)
        return self.abandon(held)

    def abandon(self, held: Held) -> bool:
        """A given task has ended for its owner, but its worker still has it. True if that must be killed."""
        if held.worker is None:
            return False
        self.lingering += 1
        if held.run_due_ns is None:
            self.out.append(RecallTask(held.worker, held.give, stop=True))
            return False
        if held.agent.contract.on_cancel == "kill":
            return True
        self.out.append(RecallTask(held.worker, held.give, stop=True))
        self._timers.arm(held, held.run_due_ns)
        return False

    # ---- to workers -----------------------------------------------------------------------------------

    def pump(self, now_ns: int) -> None:
        """Give what can be given, one task of each agent in turn."""
        agents = [agent for agent in self._catalogue.agents.values() if agent.queue]
        if len(agents) == 1:
            self._pump_agent(now_ns, agents[0])
            return
        while agents:
            self._turn += 1
            first = self._turn % len(agents)
            in_turn = agents[first:] + agents[:first]
            agents = [agent for agent in in_turn if self._give_one(now_ns, agent) and agent.queue]

    def _pump_agent(self, now_ns: int, agent: Agent) -> None:
        while agent.queue and self._give_one(now_ns, agent):
            pass

    def _give_one(self, now_ns: int, agent: Agent) -> bool:
        if not agent.intensity.allows(agent.given):
            return False
        serial = next(iter(agent.queue))
        held = agent.queue[serial]
        worker = choose(self._crew.workers.values(), held, self._config)
        if worker is None:
            return False
        del agent.queue[serial]
        self._serial += 1
        held.give = self._serial
        held.worker = worker.number
        held.cost_ns = min(agent.mean_ns, 1e15)
        worker.backlog_ns += held.cost_ns
        agent.given += 1
        assignment = held.assignment
        if held.failures:
            failures = assignment.failures + held.failures
            assignment = msgspec.structs.replace(assignment, failures=failures)
        if worker.lane.add(held.give, held) is not None:
            self.started(now_ns, held)
        elif not self._timers.armed(worker.recall_due):
            self._watch_for_stall(now_ns, worker)
        self.out.append(
            GiveTask(worker.number, held.give, assignment, max(assignment.deadline_ns - now_ns, 0))
        )
        return True

    def started(self, now_ns: int, held: Held) -> None:
        """By the lane's rule this task runs from now on: its contract's deadline counts."""
        contract = held.agent.contract
        held.run_due_ns = now_ns + contract.deadline_ms * MS
        due_ns = held.run_due_ns if held.ended else min(held.run_due_ns, held.assignment.deadline_ns)
        self._timers.arm(held, due_ns)
        if contract.memory_bytes is not None:
            check = Due("memory", held.worker or 0)
            if not self._timers.armed(check):
                self._timers.arm(check, now_ns + self._config.memory_check_ms * MS)

    def recall(self, now_ns: int, worker: Worker) -> None:
        """Take prefetched tasks back from behind a slow one."""
        if not worker.lane.waiting or worker.condition is not Condition.ACTIVE:
            return
        if worker.answered != worker.recall_mark:
            self._watch_for_stall(now_ns, worker)
            return
        worker.stalled = True
        # Last first: each goes to the front of its queue when it comes back, so their order stays.
        for give, held in reversed(worker.lane.waiting.items()):
            if not held.ended and not held.recalled:
                held.recalled = True
                self.counters.recalled += 1
                self.out.append(RecallTask(worker.number, give, stop=False))

    def _watch_for_stall(self, now_ns: int, worker: Worker) -> None:
        worker.recall_mark = worker.answered
        self._timers.arm(worker.recall_due, now_ns + int(self._config.recall_after_ms * MS))

    # ---- out ------------------------------------------------------------------------------------------

    def left_lane(self, now_ns: int, worker: Worker, give: int) -> Held | None:
        """The worker has done with a give, or had it taken away; those behind it may have started."""
        held, started = worker.lane.remove(give)
        if held is None:
            return None
        held.agent.given -= 1
        worker.backlog_ns = worker.backlog_ns - held.cost_ns if len(worker.lane) else 0.0
        for _, following in started:
            self.started(now_ns, following)
        return held

    def forget(self, held: Held) -> None:
        """An ended task has left its worker too."""
        self.lingering -= 1
        self._timers.disarm(held)

    def succeed(self, held: Held, payload: bytes) -> None:
        self.counters.succeeded += 1
        self._finish(held, Succeeded(held.assignment.task, held.assignment.attempt, payload))

    def fail(self, held: Held, code: Code, message: str, effect: Effect, detail: str = "") -> None:
        self.end(held, self.failure_of(held, code, message, effect, detail))

    def end(self, held: Held, failed: Failure) -> None:
        """Report a failure. A task that waits for a repetition has run: its effect is not "none"."""
        if failed.effect is Effect.NONE and held.failures:
            failed = msgspec.structs.replace(failed, effect=held.failures[-1].effect)
        self.counters.failed += 1
        self._finish(held, Failed(held.assignment.task, held.assignment.attempt, failed))

    def failure_of(self, held: Held, code: Code, message: str, effect: Effect, detail: str = "") -> Failure:
        """The failure of this task, with its place in `where`."""
        where = f"{self._node}/{held.lane_agent}"
        if held.worker is not None:
            where += f"/worker-{held.worker}"
        return failure(code, message, where=where, effect=effect, detail=detail)

    def _finish(self, held: Held, outcome: Outcome) -> None:
        held.ended = True
        del self.held[held.assignment.task]
        self._timers.disarm(held)
        self.out.append(Report(outcome))
