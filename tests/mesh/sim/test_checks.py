"""The checks of whole nodes: a run that holds is accepted, and every small lie about it is found by its rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from hubless.tasks.machine import Machine
from hubless.tasks.row import Row, State
from hubless_agents import Effect
from hubless_sim.mesh import checks
from hubless_sim.mesh.notes import Answered
from hubless_sim.mesh.observed import Start
from hubless_sim.mesh.run import MeshRun
from hubless_sim.mesh.swarm import drawn_tape

SEED = 3


class Changed:
    """A run of which some things are seen otherwise."""

    def __init__(self, run: MeshRun, **seen: Any) -> None:
        self._run = run
        self.__dict__.update(seen)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


Lie = Callable[[MeshRun], Iterator[Changed]]


@pytest.fixture(scope="module")
def run() -> MeshRun:
    found = MeshRun(drawn_tape(SEED))
    found.finish()
    return found


def succeeded(run: MeshRun) -> Iterator[tuple[int, int, Answered]]:
    """The answers that tell of kept tasks which succeeded: number of the call, time, answer."""
    for number, (at_ns, answer) in run.answers.items():
        if answer.code == "" and checks.is_kept(run, run.calls[number]) and answer.task in run.receipts:
            yield number, at_ns, answer


def answering(run: MeshRun, number: int, **changes: Any) -> Changed:
    at_ns, answer = run.answers[number]
    return Changed(run, answers={**run.answers, number: (at_ns, replace(answer, **changes))})


def with_row(run: MeshRun, task: bytes, change: Callable[[Machine, Row], None]) -> Changed:
    """What all replicas hold of a task is another thing."""

    def machine(name: str, shard: int) -> Machine | None:
        held = run.machine(name, shard)
        if held is None or task not in held.rows:
            return held
        copy = Machine.from_state(held.state())
        change(copy, copy.rows[task])
        return copy

    return Changed(run, machine=machine)


def no_owner(run: MeshRun) -> Iterator[Changed]:
    for shard in run.owners():
        yield Changed(run, owners=lambda shard=shard: {**run.owners(), shard: ()})
        yield Changed(run, owners=lambda shard=shard: {**run.owners(), shard: ("n0", "n1")})
        yield Changed(run, unowned={shard: ()})


def another_replica(run: MeshRun) -> Iterator[Changed]:
    """One replica of a shard has counted the attempts of a task otherwise."""
    for shard, (owner,) in run.owners().items():

        def machine(name: str, number: int, shard: int = shard, owner: str = owner) -> Machine | None:
            held = run.machine(name, number)
            if held is None or (name, number) != (owner, shard):
                return held
            copy = Machine.from_state(held.state())
            copy.applied = held.applied
            next(iter(copy.rows.values())).attempt += 1
            return copy

        held = run.machine(owner, shard)
        if held is not None and held.rows:
            yield Changed(run, machine=machine)


def something_left(run: MeshRun) -> Iterator[Changed]:
    for name in run.running():
        yield Changed(run, unfinished=lambda name=name: {name: "a task"})


def a_task_without_end(run: MeshRun) -> Iterator[Changed]:
    def begun(_machine: Machine, row: Row) -> None:
        row.state = State.QUEUED

    for _, _, answer in succeeded(run):
        yield with_row(run, answer.task, begun)


def a_lost_receipt(run: MeshRun) -> Iterator[Changed]:
    def gone(machine: Machine, row: Row) -> None:
        del machine.rows[row.task]

    for _, _, answer in succeeded(run):
        yield with_row(run, answer.task, gone)


def another_end(run: MeshRun) -> Iterator[Changed]:
    def failed(_machine: Machine, row: Row) -> None:
        row.state = State.FAILED

    for number, _, answer in succeeded(run):
        yield with_row(run, answer.task, failed)
        yield answering(run, number, payload=b"{}")


def a_second_process(run: MeshRun) -> Iterator[Changed]:
    for _, _, answer in succeeded(run):
        starts = run.starts[answer.task]
        last = starts[-1]
        other = Start(last.at_ns, "n9", 1, last.attempt)
        yield Changed(run, starts={**run.starts, answer.task: [*starts, other]})


def an_attempt_that_nobody_ordered(run: MeshRun) -> Iterator[Changed]:
    for _, _, answer in succeeded(run):
        starts = run.starts[answer.task]
        later = Start(starts[-1].at_ns, starts[-1].node, starts[-1].boot, starts[-1].attempt + 7)
        yield Changed(run, starts={**run.starts, answer.task: [*starts, later]})


def an_earlier_attempt_after_a_later_one(run: MeshRun) -> Iterator[Changed]:
    for _, _, answer in succeeded(run):
        starts = run.starts[answer.task]
        early = Start(starts[-1].at_ns, starts[-1].node, starts[-1].boot, starts[-1].attempt - 1)
        yield Changed(run, starts={**run.starts, answer.task: [*starts, early]})


def a_second_outcome(run: MeshRun) -> Iterator[Changed]:
    retried = {run.queried[number][1] for number in run.queried if run.queries[number].what == "retry"}
    for _, at_ns, answer in succeeded(run):
        if answer.task in retried:
            continue  # it may have one
        yield Changed(run, repeats=[*run.repeats, (at_ns + 1, replace(answer, payload=b"{}"))])
        failed = replace(answer, code="raised", payload=b"")
        yield Changed(run, repeats=[*run.repeats, (at_ns + 1, failed)])


def the_result_of_another_attempt(run: MeshRun) -> Iterator[Changed]:
    for number, _, answer in succeeded(run):
        yield answering(run, number, attempt=answer.attempt + 1)


def a_result_of_another_attempt_that_is_kept(run: MeshRun) -> Iterator[Changed]:
    def change(_machine: Machine, row: Row) -> None:
        row.attempt += 1

    for _, _, answer in succeeded(run):
        yield with_row(run, answer.task, change)


def an_effect_denied(run: MeshRun) -> Iterator[Changed]:
    for number, _, _ in succeeded(run):
        yield answering(run, number, code="worker_died", effect=Effect.NONE, payload=b"")


def late(run: MeshRun) -> list[int]:
    return [number for number, call in enumerate(run.calls) if call.at_ms >= (run.system.owned_ms or 0)]


def no_answer(run: MeshRun) -> Iterator[Changed]:
    for number in late(run):
        yield Changed(run, answers={each: run.answers[each] for each in run.answers if each != number})


def a_failure_in_the_calm(run: MeshRun) -> Iterator[Changed]:
    for number in late(run):
        yield answering(run, number, code="expired", payload=b"")


def a_task_in_two_shards(run: MeshRun) -> Iterator[Changed]:
    """Two shards are seen to hold what one of them holds."""
    held = {shard: run.machine(owner, shard) for shard, (owner,) in run.owners().items()}
    for shard, machine in held.items():
        if machine is not None and machine.rows:
            other = (shard + 1) % len(held)
            seen = {**held, other: machine}
            yield Changed(run, machine=lambda _name, number, seen=seen: seen[number])


LIES: list[tuple[Lie, str]] = [
    (no_owner, "one owner"),
    (another_replica, "equal replicas"),
    (something_left, "nothing left behind"),
    (a_task_without_end, "nothing left behind"),
    (a_lost_receipt, "nothing lost"),
    (another_end, "nothing lost"),
    (a_second_process, "attempts"),
    (an_attempt_that_nobody_ordered, "attempts"),
    (an_earlier_attempt_after_a_later_one, "attempts"),
    (a_second_outcome, "linearizable"),
    (the_result_of_another_attempt, "right answers"),
    (a_result_of_another_attempt_that_is_kept, "right results"),
    (an_effect_denied, "right answers"),
    (no_answer, "answered"),
    (a_failure_in_the_calm, "calm calls succeed"),
    (a_task_in_two_shards, "one shard a key"),
]


def rules(run: Any) -> set[str]:
    return {violation.checker for violation in checks.violations(run)}


def test_a_run_that_holds_is_accepted(run: MeshRun) -> None:
    assert rules(run) == set()
    assert len(list(succeeded(run))) > 10


@pytest.mark.parametrize(("lie", "rule"), LIES, ids=lambda each: getattr(each, "__name__", None))
def test_every_lie_is_found_by_its_rule(run: MeshRun, lie: Lie, rule: str) -> None:
    lies = list(lie(run))[:12]
    assert len(lies) >= 3
    assert [each for each in lies if rule not in rules(each)] == []
