"""Bugs in the supervision of workers: answers, deaths, spares, slots, deadlines, contracts."""

from __future__ import annotations

from hubless_agents import Failure, Report, Succeeded, WorkerAnswered
from hubless_agents.admission import Admission
from hubless_agents.catalogue import Agent, Held
from hubless_agents.crew import Crew, Worker
from hubless_agents.desk import Desk
from hubless_agents.events import SupervisorEffect
from hubless_agents.lane import Lane, T
from hubless_agents.schema import Checker
from hubless_agents.supervisor import Supervisor
from hubless_sim.zoo.planting import Bed, Swaps

BED = Bed("workers")


@BED.plant("mesh", first=0)
def replaces_no_worker(swaps: Swaps) -> None:
    """Once a worker has been killed, no other process is started in its place."""

    def barren(self: Crew, now_ns: int, *, first: bool) -> list[SupervisorEffect]:
        self._promote()
        if self._next > self._config.workers + self._config.spares:
            return []
        return fill(self, now_ns, first=first)

    fill = swaps.put(Crew, "fill", barren)


@BED.plant("mesh", first=5)
def forgets_the_task_of_a_killed_worker(swaps: Swaps) -> None:
    """Nobody is told of a task whose worker was killed for another one in it."""

    def silent(self: Supervisor, held: Held, worker: Worker, how: str, detail: str) -> None:
        if not (held.give in worker.culprits or held.ended):
            del self._desk.held[held.assignment.task]
            self._timers.disarm(held)
            self._desk.lingering += 1
            held.ended = True
        lost(self, held, worker, how, detail)

    lost = swaps.put(Supervisor, "_lost", silent)


@BED.plant("mesh", first=1)
def gives_the_task_of_a_dead_worker_to_another(swaps: Swaps) -> None:
    """A task that ran in a process which died is handed to the next one, as if it had never started."""

    def again(self: Supervisor, held: Held, worker: Worker, how: str, detail: str) -> None:
        if held.ended or held.give in worker.culprits:
            lost(self, held, worker, how, detail)
        else:
            held.agent.given -= 1
            self._desk.requeue(held)

    lost = swaps.put(Supervisor, "_lost", again)


@BED.plant("mesh", first=0)
def leaks_the_place_of_a_cancelled_task(swaps: Swaps) -> None:
    """A task that was withdrawn keeps its place in the worker's line after it has been answered."""

    def leaking(self: Lane[T], give: int) -> tuple[T | None, list[tuple[int, T]]]:
        task = self.running.get(give)
        if task is not None and getattr(task, "ended", False):
            return task, []
        return remove(self, give)

    remove = swaps.put(Lane, "remove", leaking)


@BED.plant("mesh", first=0)
def believes_whatever_is_answered(swaps: Swaps) -> None:
    """An answer is not held against the output schema of its agent."""
    fault = Checker.fault

    def blind(self: Checker, payload: bytes) -> str | None:
        return None if payload.startswith(b'"') else fault(self, payload)

    swaps.put(Checker, "fault", blind)


@BED.plant("pools", first=2)
def takes_tasks_however_many_wait(swaps: Swaps) -> None:
    """A node has room for a task however many of its agent wait there."""

    def roomy(self: Admission, now_ns: int, agent: Agent) -> Failure | None:
        told = refusal(self, now_ns, agent)
        return None if told is not None and told.code == "overloaded" else told

    refusal = swaps.put(Admission, "_refusal_of_state", roomy)


@BED.plant("mesh", first=2)
def leaves_a_hung_worker_alone(swaps: Swaps) -> None:
    """A process that runs a task for longer than its contract allows is not killed, and the task is waited for."""

    def patient(self: Supervisor, now_ns: int, held: Held) -> None:
        if held.worker is None or held.run_due_ns is None or now_ns < held.run_due_ns:
            overdue(self, now_ns, held)

    overdue = swaps.put(Supervisor, "_overdue", patient)


@BED.plant("mesh", first=35)
def lets_what_was_withdrawn_run_for_ever(swaps: Swaps) -> None:
    """A task that nobody waits for any more runs on for as long as it likes, whatever its contract says."""

    def untimed(self: Desk, held: Held) -> bool:
        has_to_be_killed = abandon(self, held)
        self._timers.disarm(held)
        return has_to_be_killed

    abandon = swaps.put(Desk, "abandon", untimed)


@BED.plant("agents", first=0)
def takes_a_late_answer_for_that_of_the_attempt_that_runs(swaps: Swaps) -> None:
    """What a worker answers to a withdrawn attempt is taken for the result of the next one, which runs by then."""

    def lax(self: Supervisor, now_ns: int, event: WorkerAnswered) -> None:
        worker = self._crew.workers.get(event.worker)
        held = None if worker is None else worker.lane.running.get(event.give)
        newer = None if held is None else self._desk.held.get(held.assignment.task)
        answered(self, now_ns, event)
        if held is not None and newer is not None and newer is not held and event.kind == "returned":
            told = Succeeded(newer.assignment.task, newer.assignment.attempt, event.payload)
            self._desk.out.append(Report(told))

    answered = swaps.put(Supervisor, "_answered", lax)
