"""The checker accepts what a linearizable run said, kills what was tampered with, and agrees with trying everything."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_sim.checkers import (
    REJECTED,
    UNKNOWN,
    Cancel,
    Operation,
    Outcome,
    Read,
    RegisterSpec,
    Result,
    Specification,
    Status,
    Submit,
    TaskSpec,
    Write,
    check,
)

History = list[Operation]


def timetable(rng: random.Random, operations: int, clients: int) -> Iterator[tuple[int, int, int, int]]:
    """For each call of clients that call one after the other: (when it takes effect, client, call, return)."""
    free_ns = [0] * clients
    calls = []
    for _ in range(operations):
        client = rng.randrange(clients)
        call_ns = free_ns[client] + rng.randrange(1, 5)
        point_ns = call_ns + rng.randrange(1, 50)
        free_ns[client] = point_ns + rng.randrange(1, 50)
        calls.append((point_ns, client, call_ns, free_ns[client]))
    return iter(sorted(calls))


def register_run(
    seed: int, *, operations: int, clients: int, keys: int = 1, open_share: float = 0.0
) -> History:
    """What clients saw of registers that really are some. Every write has a value of its own."""
    rng = random.Random(seed)
    held: dict[int, Any] = {}
    history = []
    for number, (_, client, call_ns, return_ns) in enumerate(timetable(rng, operations, clients)):
        key = rng.randrange(keys)
        output = None
        op_input: Write | Read = Read(key)
        if rng.random() < 0.5:
            op_input = Write(key, number)
            held[key] = number
        else:
            output = held.get(key)
        if rng.random() < open_share:
            history.append(Operation(call_ns, None, op_input, client=str(client)))
        else:
            history.append(Operation(call_ns, return_ns, op_input, output, str(client)))
    rng.shuffle(history)
    return history


def task_run(seed: int, *, operations: int, clients: int, tasks: int) -> History:
    """What clients saw of tasks that are submitted, run and ended once, whoever asks."""
    rng = random.Random(seed)
    ends: dict[int, Result] = {}
    live: set[int] = set()
    history = []
    for number, (_, client, call_ns, return_ns) in enumerate(timetable(rng, operations, clients)):
        task = rng.randrange(tasks)
        if task in live and rng.random() < 0.2:  # nobody sees it end
            live.discard(task)
            ends[task] = Result(rng.choice(["succeeded", "failed"]), number)
        kind = rng.randrange(4)
        op_input: Any = Submit(task)
        output: Any = None
        if kind == 1:
            op_input, output = Status(task), "unknown"
            if task in live:
                output = rng.choice(["queued", "running"])
            elif task in ends:
                output = ends[task].status
        elif kind == 2 and rng.random() < 0.2:
            op_input = Cancel(task)
            if task in live:
                live.discard(task)
                ends[task] = Result("cancelled")
            output = task in ends and ends[task].status == "cancelled"
        elif kind == 3 and task in ends:
            op_input, output = Outcome(task), ends[task]
        elif task not in ends:
            live.add(task)
        if rng.random() < 0.03:
            history.append(Operation(call_ns, None, op_input, client=str(client)))
        else:
            history.append(Operation(call_ns, return_ns, op_input, output, str(client)))
    rng.shuffle(history)
    return history


def tried_out(history: History, specification: Specification[Any]) -> bool:
    """Whether any order of all that returned and some of the rest explains the history: every one is tried."""
    returned = [operation for operation in history if operation.return_ns is not None]
    never = [operation for operation in history if operation.return_ns is None]
    for chosen in product((False, True), repeat=len(never)):
        some = returned + [operation for operation, is_in in zip(never, chosen, strict=True) if is_in]
        if any(explains(order, specification) for order in permutations(some)):
            return True
    return False


def explains(order: tuple[Operation, ...], specification: Specification[Any]) -> bool:
    state = specification.initial()
    latest_call_ns = -1
    for operation in order:
        if operation.return_ns is not None and operation.return_ns < latest_call_ns:
            return False
        latest_call_ns = max(latest_call_ns, operation.call_ns)
        state = specification.step(state, operation.input, operation.output)
        if state is REJECTED:
            return False
    return True


spans = st.tuples(st.integers(0, 12), st.integers(0, 6), st.sampled_from([True, True, True, True, False]))


@st.composite
def histories(draw: st.DrawFn, calls: st.SearchStrategy[tuple[Any, Any]], most: int) -> History:
    history = []
    for op_input, output in draw(st.lists(calls, min_size=1, max_size=most)):
        call_ns, took_ns, has_returned = draw(spans)
        if has_returned:
            history.append(Operation(call_ns, call_ns + took_ns, op_input, output))
        else:
            history.append(Operation(call_ns, None, op_input))
    return history


values = st.integers(0, 2)
register_calls = st.one_of(
    values.map(lambda value: (Write("x", value), None)),
    values.map(lambda value: (Read("x"), value)),
    st.just((Read("x"), None)),
)
task_calls = st.one_of(
    st.just((Submit("t"), None)),
    st.booleans().map(lambda is_cancelled: (Cancel("t"), is_cancelled)),
    st.sampled_from(["unknown", "running", "succeeded", "cancelled"]).map(lambda word: (Status("t"), word)),
    st.sampled_from(
        [Result("succeeded", 1), Result("succeeded", 2), Result("failed", 1), Result("cancelled")]
    ).map(lambda result: (Outcome("t"), result)),
)


@settings(max_examples=400, deadline=None)
@given(histories(register_calls, 6))
def test_the_verdict_on_a_register_is_that_of_trying_every_order(history: History) -> None:
    verdict = check(history, RegisterSpec())
    assert verdict.is_linearizable is tried_out(history, RegisterSpec())
    if verdict.is_linearizable:
        assert explains(verdict.linearization, RegisterSpec())


@settings(max_examples=400, deadline=None)
@given(histories(task_calls, 6))
def test_the_verdict_on_a_task_is_that_of_trying_every_order(history: History) -> None:
    verdict = check(history, TaskSpec())
    assert verdict.is_linearizable is tried_out(history, TaskSpec())
    if verdict.is_linearizable:
        assert explains(verdict.linearization, TaskSpec())


@settings(max_examples=200, deadline=None)
@given(histories(register_calls, 6))
def test_what_returned_before_the_culprit_is_explained_and_with_it_is_not(history: History) -> None:
    verdict = check(history, RegisterSpec())
    if verdict.is_linearizable:
        return
    culprit = verdict.culprit
    assert culprit is not None
    assert culprit in verdict.unplaced
    assert explains(verdict.linearization, RegisterSpec())
    end_ns = culprit.return_ns
    assert end_ns is not None
    placed = {id(operation) for operation in verdict.linearization}
    before = [one for one in history if one.return_ns is not None and one.return_ns < end_ns]
    assert all(id(one) in placed for one in before)
    assert not tried_out([one for one in history if one.call_ns <= end_ns], RegisterSpec())


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("open_share", [0.0, 0.02])
def test_what_a_register_said_is_accepted(seed: int, open_share: float) -> None:
    history = register_run(seed, operations=300, clients=5, open_share=open_share)
    verdict = check(history, RegisterSpec())
    assert verdict.is_linearizable
    assert explains(verdict.linearization, RegisterSpec())


@pytest.mark.parametrize("seed", range(10))
def test_what_tasks_said_is_accepted(seed: int) -> None:
    assert check(task_run(seed, operations=400, clients=6, tasks=12), TaskSpec()).is_linearizable


# -- mutants: each tampers with one true history so that it cannot be true any more ------------------------


def before(first: Operation, second: Operation) -> bool:
    return first.return_ns is not None and first.return_ns < second.call_ns


def writes_and_reads(history: History) -> tuple[History, History]:
    writes = [one for one in history if isinstance(one.input, Write)]
    return writes, [one for one in history if isinstance(one.input, Read) and one.return_ns is not None]


def with_output(history: History, outputs: dict[int, Any]) -> History:
    return [replace(one, output=outputs[id(one)]) if id(one) in outputs else one for one in history]


def stale_read(history: History) -> Iterator[History]:
    writes, reads = writes_and_reads(history)
    for old, new in permutations(writes, 2):
        for read in reads:
            if before(old, new) and before(new, read):
                yield with_output(history, {id(read): old.input.value})


def lost_write(history: History) -> Iterator[History]:
    writes, reads = writes_and_reads(history)
    for old, lost in permutations(writes, 2):
        seen = [read for read in reads if read.output == lost.input.value]
        if before(old, lost) and any(before(lost, read) for read in seen):
            yield with_output(history, {id(read): old.input.value for read in seen})


def future_read(history: History) -> Iterator[History]:
    writes, reads = writes_and_reads(history)
    for read, write in product(reads, writes):
        if before(read, write):
            yield with_output(history, {id(read): write.input.value})


def read_of_nothing(history: History) -> Iterator[History]:
    writes, reads = writes_and_reads(history)
    for write, read in product(writes, reads):
        if before(write, read):
            yield with_output(history, {id(read): None})


def invented_value(history: History) -> Iterator[History]:
    for read in writes_and_reads(history)[1]:
        yield with_output(history, {id(read): -1})


def reordered(history: History) -> Iterator[History]:
    writes, reads = writes_and_reads(history)
    pairs = [(old, new) for old, new in permutations(writes, 2) if before(old, new)]
    for first, second in permutations(reads, 2):
        if before(first, second):
            for old, new in pairs[:3]:
                yield with_output(history, {id(first): new.input.value, id(second): old.input.value})


def outcomes(history: History) -> History:
    return [one for one in history if isinstance(one.input, Outcome) and one.return_ns is not None]


def same_task(first: Operation, second: Operation) -> bool:
    return bool(first.input.task == second.input.task)


def two_results(history: History) -> Iterator[History]:
    for first, second in permutations(outcomes(history), 2):
        if same_task(first, second):
            yield with_output(history, {id(second): Result(second.output.status, "another")})


def two_ends(history: History) -> Iterator[History]:
    for first, second in permutations(outcomes(history), 2):
        if same_task(first, second):
            other = "failed" if first.output.status == "succeeded" else "succeeded"
            yield with_output(history, {id(second): Result(other, second.output.value)})


def result_before_submission(history: History) -> Iterator[History]:
    for outcome in outcomes(history):
        submissions = [one for one in history if same_task(one, outcome) and isinstance(one.input, Submit)]
        first_ns = min(one.call_ns for one in submissions)
        if first_ns > 1:
            yield [*history, Operation(0, first_ns - 1, outcome.input, outcome.output)]


def back_to_life(history: History) -> Iterator[History]:
    for outcome in outcomes(history):
        at_ns = outcome.return_ns or 0
        yield [*history, Operation(at_ns + 1, at_ns + 2, Status(outcome.input.task), "running")]


def forgotten(history: History) -> Iterator[History]:
    for one in history:
        if isinstance(one.input, Submit) and one.return_ns is not None:
            at_ns = one.return_ns
            yield [*history, Operation(at_ns + 1, at_ns + 2, Status(one.input.task), "unknown")]


def cancelled_and_yet_a_result(history: History) -> Iterator[History]:
    for one in history:
        if isinstance(one.input, Cancel) and one.output is True:
            at_ns = one.return_ns or 0
            yield [*history, Operation(at_ns + 1, at_ns + 9, Outcome(one.input.task), Result("succeeded", 1))]


def ended_and_yet_cancelled(history: History) -> Iterator[History]:
    for outcome in outcomes(history):
        at_ns = outcome.return_ns or 0
        if outcome.output.status != "cancelled":
            yield [*history, Operation(at_ns + 1, at_ns + 9, Cancel(outcome.input.task), True)]


Mutant = Callable[[History], Iterator[History]]


@pytest.mark.parametrize(
    "mutant", [stale_read, lost_write, future_read, read_of_nothing, invented_value, reordered]
)
def test_a_register_that_lies_is_caught(mutant: Mutant) -> None:
    caught = 0
    for seed in range(4):
        for tampered in list(mutant(register_run(seed, operations=24, clients=3)))[:60]:
            verdict = check(tampered, RegisterSpec())
            assert verdict.is_linearizable is False
            assert verdict.culprit is not None
            caught += 1
    assert caught >= 10


@pytest.mark.parametrize(
    "mutant",
    [
        two_results,
        two_ends,
        result_before_submission,
        back_to_life,
        forgotten,
        cancelled_and_yet_a_result,
        ended_and_yet_cancelled,
    ],
)
def test_tasks_that_lie_are_caught(mutant: Mutant) -> None:
    caught = 0
    for seed in range(6):
        for tampered in list(mutant(task_run(seed, operations=80, clients=4, tasks=4)))[:40]:
            assert check(tampered, TaskSpec()).is_linearizable is False
            caught += 1
    assert caught >= 4


# -- size, reports, misuse --------------------------------------------------------------------------------


@pytest.mark.parametrize(("clients", "keys"), [(4, 1), (8, 1), (8, 1_000)])
def test_eight_thousand_operations_are_few_configurations_each(clients: int, keys: int) -> None:
    history = register_run(1, operations=8_000, clients=clients, keys=keys)
    verdict = check(history, RegisterSpec())
    assert verdict.is_linearizable
    assert verdict.configurations <= 5 * len(history)


def test_a_lie_in_eight_thousand_operations_is_named() -> None:
    history = sorted(register_run(2, operations=8_000, clients=3), key=lambda one: one.call_ns)
    lie = max(index for index, one in enumerate(history[:7_900]) if isinstance(one.input, Read))
    history[lie] = replace(history[lie], output=-1)
    verdict = check(history, RegisterSpec())
    assert verdict.is_linearizable is False
    assert verdict.culprit == history[lie]
    assert len(verdict.linearization) >= lie - 10
    assert len(verdict.unplaced) <= 4


def test_the_report_names_the_part() -> None:
    history = register_run(3, operations=200, clients=4, keys=10)
    broken = Operation(10_000_000, 10_000_001, Read(7), -1)
    verdict = check([*history, broken], RegisterSpec())
    assert (verdict.is_linearizable, verdict.part, verdict.culprit) == (False, 7, broken)
    assert verdict.unplaced == (broken,)


def test_what_never_returned_is_placed_where_it_was_seen() -> None:
    writes = [Operation(number, None, Write("x", number)) for number in range(7)]
    reads = [Operation(100 + 2 * number, 101 + 2 * number, Read("x"), number) for number in range(7)]
    assert check(writes + reads, RegisterSpec()).is_linearizable
    backwards = [replace(read, output=6 - read.output) for read in reads]
    assert check(writes + backwards, RegisterSpec()).is_linearizable
    twice = [*reads, Operation(500, 501, Read("x"), 5)]
    verdict = check(writes + twice, RegisterSpec())
    assert (verdict.is_linearizable, verdict.culprit) == (False, twice[-1])


def test_what_never_returned_may_have_happened_or_not_but_only_once_and_not_before_its_call() -> None:
    write = Operation(10, None, Write("x", 1))
    for reads, is_linearizable in [
        ([], True),
        ([Operation(20, 21, Read("x"), None)], True),
        ([Operation(20, 21, Read("x"), None), Operation(500, 501, Read("x"), 1)], True),
        ([Operation(20, 21, Read("x"), 1), Operation(500, 501, Read("x"), None)], False),
        ([Operation(5, 6, Read("x"), 1)], False),
        ([Operation(5, 15, Read("x"), 1)], True),
    ]:
        assert check([write, *reads], RegisterSpec()).is_linearizable is is_linearizable


def test_operations_that_touch_at_one_instant_count_as_concurrent() -> None:
    history = [Operation(0, 10, Write("x", 1), None), Operation(10, 20, Read("x"), None)]
    assert check(history, RegisterSpec()).is_linearizable
    history = [Operation(0, 9, Write("x", 1), None), Operation(10, 20, Read("x"), None)]
    assert check(history, RegisterSpec()).is_linearizable is False


def test_a_search_that_grows_too_big_is_given_up_and_says_so() -> None:
    history = [Operation(0, 1_000, Write("x", number), None) for number in range(30)]
    history.append(Operation(2_000, 2_001, Read("x"), -1))
    verdict = check(history, RegisterSpec(), most_configurations=1_000)
    assert verdict.is_linearizable is None
    assert verdict.configurations == 1_001


def test_an_empty_history_is_linearizable() -> None:
    assert check([], RegisterSpec()).is_linearizable


@pytest.mark.parametrize(
    ("call_ns", "return_ns", "output", "text"),
    [
        (5, 4, None, "return_ns 4 is before call_ns 5"),
        (5, None, 7, "if and only if"),
        (5, 6, UNKNOWN, "if and only if"),
    ],
)
def test_an_operation_that_cannot_be_is_refused(
    call_ns: int, return_ns: int | None, output: Any, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        Operation(call_ns, return_ns, Read("x"), output)
