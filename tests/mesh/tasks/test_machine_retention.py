"""What a shard forgets, and when: decided by the log alone, and never more than its bounds."""

import random

import pytest

from hubless.tasks.entries import (
    AttemptEnded,
    Cancelled,
    Entry,
    Follows,
    Retried,
    Submitted,
    encode_entry,
)
from hubless.tasks.machine import Machine
from hubless.tasks.retention import Retention
from hubless.tasks.row import State
from hubless_agents import Failure

DIED = Failure(code="worker_died", message="gone")
SMALL = Retention(kept_ms=100, rows=3, size_bytes=10_000, dead_kept_ms=1_000, dead_rows=2, dead_bytes=5_000)


def task(number: int) -> bytes:
    return number.to_bytes(16, "big")


def submitted(number: int, at_ms: int, size: int = 10) -> Submitted:
    return Submitted(task(number), "echo", "", bytes(size), at_ms, at_ms + 50, 0, "n1")


def succeeded(number: int, at_ms: int, size: int = 10) -> AttemptEnded:
    return AttemptEnded(task(number), 1, bytes(size), None, at_ms)


def dead(number: int, at_ms: int) -> AttemptEnded:
    return AttemptEnded(task(number), 1, None, DIED, at_ms, Follows.DEAD)


def feed(machine: Machine, *log: Entry) -> None:
    for entry in log:
        machine.apply(encode_entry(entry))


def finished(machine: Machine) -> list[int]:
    return [int.from_bytes(row.task, "big") for row in machine.ended()]


def test_a_result_is_forgotten_when_entries_say_that_its_time_is_over() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, submitted(1, 0), succeeded(1, 10), submitted(2, 110))
    assert finished(machine) == [1]
    feed(machine, submitted(3, 111))
    assert finished(machine) == []
    assert task(1) not in machine.rows
    assert machine.counters.evicted == 1


def test_up_to_when_tasks_are_forgotten_is_known_and_outlives_a_snapshot() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, submitted(1, 5), submitted(2, 7), succeeded(2, 10), succeeded(1, 11), submitted(3, 50))
    assert machine.forgotten_ms == 0
    feed(machine, submitted(4, 200))
    assert (finished(machine), machine.forgotten_ms) == ([], 7)
    again = Machine.from_state(machine.state(), retention=SMALL)
    assert (again.forgotten_ms, again.state()) == (7, machine.state())


def test_a_forgotten_id_is_unknown() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, submitted(1, 0), succeeded(1, 10), submitted(2, 500))
    _, row = machine.apply(encode_entry(Cancelled(task(1), 501)))
    assert row is None
    _, row = machine.apply(encode_entry(submitted(1, 502)))
    assert row is not None
    assert row.attempt == 1


def test_the_oldest_goes_first_when_there_are_too_many() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, *(submitted(number, 0) for number in range(5)))
    feed(machine, *(succeeded(number, 1) for number in (3, 0, 4, 1)))
    assert finished(machine) == [0, 4, 1]
    assert [row.task for row in machine.live()] == [task(2)]
    assert machine.counts[State.SUCCEEDED] == 3


def test_the_oldest_goes_first_when_they_are_too_big() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, *(submitted(number, 0) for number in range(3)))
    feed(machine, *(succeeded(number, 1, size=4_000) for number in range(3)))
    assert finished(machine) == [1, 2]
    assert machine.retained_bytes <= 10_000


def test_what_ended_last_is_kept_even_if_it_is_too_big_alone() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, submitted(1, 0), succeeded(1, 1, size=50_000))
    assert finished(machine) == [1]
    feed(machine, submitted(2, 2), succeeded(2, 3))
    assert finished(machine) == [2]


def test_dead_letters_outlive_results_within_bounds_of_their_own() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, *(submitted(number, 0) for number in range(3)), *(dead(number, 5) for number in range(3)))
    assert [row.task for row in machine.dead_letters()] == [task(1), task(2)]
    feed(machine, submitted(9, 900))
    assert len(machine.dead_letters()) == 2
    assert machine.dead_letters()[0].payload == bytes(10)
    feed(machine, submitted(8, 1_006))
    assert machine.dead_letters() == []


def test_unfinished_tasks_are_never_forgotten() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, *(submitted(number, number * 1_000) for number in range(50)))
    assert len(machine.live()) == 50
    assert machine.counters.evicted == 0


def test_a_retried_task_has_its_full_time_again() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, submitted(1, 0), Cancelled(task(1), 10), Retried(task(1), 100, 900), submitted(2, 500))
    assert task(1) in machine.rows
    feed(machine, Cancelled(task(1), 510), submitted(3, 610))
    assert task(1) in machine.rows
    feed(machine, submitted(4, 611))
    assert task(1) not in machine.rows


def test_entries_that_do_not_fit_let_time_pass_too() -> None:
    machine = Machine(retention=SMALL)
    feed(machine, submitted(1, 0), succeeded(1, 10), Cancelled(task(7), 500))
    assert machine.rows == {}
    assert machine.clock_ms == 500


def test_the_counted_bytes_are_what_the_rows_measure() -> None:
    rng = random.Random(5)
    machine = Machine(retention=SMALL)
    for now_ms in range(0, 2_000, 3):
        number = rng.randrange(12)
        entry = rng.choice(
            [
                submitted(number, now_ms, rng.randrange(3_000)),
                succeeded(number, now_ms, rng.randrange(3_000)),
                dead(number, now_ms),
                Cancelled(task(number), now_ms),
                Retried(task(number), now_ms, now_ms + 50),
            ]
        )
        feed(machine, entry)
        ended = [*machine.ended(), *machine.dead_letters()]
        assert machine.retained_bytes == sum(row.measure() for row in ended)
        assert machine.live_bytes == sum(row.measure() for row in machine.live())
        assert sum(machine.counts.values()) == len(machine.rows)
    assert machine.counters.evicted > 50


def test_a_bound_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        Retention(rows=0)
