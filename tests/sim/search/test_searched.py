"""Searches: every seed once, failures after them, and what becomes of a run that takes its process down."""

from __future__ import annotations

import pytest

from hubless_sim.faults import Loss
from hubless_sim.search.swarms import SWARMS
from hubless_sim.search.sweep import LOST, Failed, Tried, searched, swept
from hubless_sim.search.workers import Ended, Job, Lost
from hubless_sim.tapes.systems import ShardSystem, Workload
from hubless_sim.tapes.tape import Tape

BAD = (4, 7)


def tiny_tape(seed: int) -> Tape:
    """One shard that is asked twice; for the bad seeds nothing arrives any more."""
    return Tape(
        seed=seed,
        nodes=3,
        clients=1,
        duration_ms=1_500,
        system=ShardSystem(shards=1, workload=Workload(from_ms=300, until_ms=500, probe_ms=900)),
        faults=(Loss(at_ms=200, rate=1.0),) if seed in BAD else (),
    )


@pytest.fixture(autouse=True)
def tiny_swarm(monkeypatch):
    monkeypatch.setitem(SWARMS, "shards", tiny_tape)


class Backwards:
    """Does jobs in threes, the last of them first; `lost` are the seeds whose runs take their process down."""

    def __init__(self, lost: tuple[int, ...] = ()) -> None:
        self._jobs: list[Job] = []
        self._lost = lost

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    @property
    def has_room(self) -> bool:
        return len(self._jobs) < 3

    @property
    def is_idle(self) -> bool:
        return not self._jobs

    def give(self, job: Job) -> None:
        self._jobs.append(job)

    def wait(self) -> list[Ended]:
        job = self._jobs.pop()
        seed = job.arguments[0]
        return [Ended(job, Lost("was lost") if seed in self._lost else job.function(*job.arguments))]


def test_a_sweep_tries_every_seed_in_order():
    assert [(seed, bool(violations)) for seed, violations in swept(3, 5, 1)] == [
        (3, False),
        (4, True),
        (5, False),
        (6, False),
        (7, True),
    ]


@pytest.mark.parametrize("shrinks", [True, False])
def test_each_failure_follows_its_seed(shrinks):
    events = list(searched(range(9), jobs=1, system="shards", shrinks=shrinks))
    assert [(type(event), event.seed) for event in events] == [
        *((Tried, seed) for seed in range(5)),
        (Failed, 4),
        (Tried, 5),
        (Tried, 6),
        (Tried, 7),
        (Failed, 7),
        (Tried, 8),
    ]
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.tape.nodes for event in failed] == ([1, 1] if shrinks else [3, 3])
    assert all((event.shrunk is not None) == shrinks for event in failed)


@pytest.mark.parametrize("shrinks", [True, False])
def test_the_first_failure_is_the_lowest_seed_however_runs_end(monkeypatch, shrinks):
    monkeypatch.setattr("hubless_sim.search.sweep.employed", lambda _: Backwards())
    events = list(searched([7, 5, 6, 4, 8, 9], jobs=2, system="shards", shrinks=shrinks, keeps_going=False))
    tried = [event.seed for event in events if isinstance(event, Tried)]
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.seed == 4 == min(seed for seed in tried if seed in BAD)
    assert events[-1] is failed
    assert 9 not in tried


def test_a_run_that_takes_its_process_down_fails_and_is_not_run_again(monkeypatch):
    monkeypatch.setattr("hubless_sim.search.sweep.employed", lambda _: Backwards(lost=(1,)))
    events = list(searched(range(3), jobs=2, system="shards", shrinks=True))
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert (failed.seed, failed.tape, failed.shrunk) == (1, tiny_tape(1), None)
    assert [(each.checker, each.text) for each in failed.violations] == [
        (LOST, "the run of this tape was lost")
    ]


def test_what_fails_without_the_planted_bug_too_is_not_shrunk():
    plant = "elects-whoever-asks"
    events = list(searched([4], jobs=1, system="shards", plant=plant, shrinks=True))
    assert [type(event) for event in events] == [Tried, Failed]
    assert events[1].tape.nodes == 3
