"""Sweeps: the drawn tapes of many seeds are run, and those that fail are shrunk."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from hubless_sim.play import judged
from hubless_sim.search.budget import shrunk_in_time
from hubless_sim.search.planting import planting
from hubless_sim.search.shrink import NothingToShrinkError, Shrunk
from hubless_sim.search.swarms import SWARMS
from hubless_sim.search.workers import Job, Lost, employed
from hubless_sim.tapes.tape import Tape
from hubless_sim.verdict import Violation

LOST = "process"
"""The checker of a run that took its process down, or did not end."""


class Tried(NamedTuple):
    """A seed with what does not hold in the run of its tape."""

    seed: int
    violations: tuple[Violation, ...]


class Failed(NamedTuple):
    """A seed that failed, with the smallest tape that fails alike; ``shrunk`` is null if it is the drawn one."""

    seed: int
    violations: tuple[Violation, ...]
    tape: Tape
    shrunk: Shrunk | None


def violations_of(seed: int, system: str = "shards") -> tuple[str, ...]:
    """What does not hold in the run of a seed's tape."""
    return tuple(violation.text for violation in judged(SWARMS[system](seed)))


def swept(first: int, seeds: int, jobs: int, system: str = "shards") -> Iterator[Tried]:
    """Every seed with its violations, as runs end; in order, and in this process, if there is one job at a time."""
    for event in searched(range(first, first + seeds), jobs=jobs, system=system):
        if isinstance(event, Tried):
            yield event


def searched(
    seeds: Iterable[int],
    *,
    jobs: int,
    system: str,
    plant: str | None = None,
    shrinks: bool = False,
    keeps_going: bool = True,
) -> Iterator[Tried | Failed]:
    """Every seed as its run ends, and those that failed again, after they were shrunk.

    Unless it keeps going the search ends with the first seed that fails: all before it have been tried then, and some
    after it may have been. ``plant`` is a bug of the zoo that is planted in all runs.
    """
    search = _Search(seeds, system, plant, shrinks=shrinks, keeps_going=keeps_going)
    with employed(jobs) as workers:
        while True:
            while workers.has_room and (job := search.next_job()) is not None:
                workers.give(job)
            if workers.is_idle:
                return
            for job, result in workers.wait():
                yield from search.ended(job, result)


class _Search:
    """What is to be done next."""

    def __init__(
        self, seeds: Iterable[int], system: str, plant: str | None, *, shrinks: bool, keeps_going: bool
    ) -> None:
        self._seeds = iter(seeds)
        self._system = system
        self._plant = plant
        self._shrinks = shrinks
        self._keeps_going = keeps_going
        self._running = 0
        self._failed: list[Tried] = []
        self._to_shrink: deque[Tried] = deque()
        self._kept: dict[int, tuple[Violation, ...]] = {}

    def next_job(self) -> Job | None:
        """Failures come before seeds; None: nothing, or nothing before something else has ended."""
        if self._to_shrink:
            tried = self._to_shrink.popleft()
            self._kept[tried.seed] = tried.violations
            return Job(_reduced, (tried.seed, self._system, self._plant))
        seed = next(self._seeds, None)
        if seed is None:
            return None
        self._running += 1
        return Job(_tried, (seed, self._system, self._plant))

    def ended(self, job: Job, result: Any) -> Iterator[Tried | Failed]:
        """What is known by the end of a job."""
        seed = job.arguments[0]
        if job.function is _reduced:
            shrunk = None if isinstance(result, Lost) else result
            yield self._failure(Tried(seed, self._kept.pop(seed)), shrunk)
            return
        if isinstance(result, Lost):
            result = Tried(seed, (Violation(LOST, f"the run of this tape {result.why}"),))
        yield result
        self._running -= 1
        if result.violations:
            self._failed.append(result)
        for tried in self._ripe():
            if self._shrinks and tried.violations[0].checker != LOST:
                self._to_shrink.append(tried)
            else:
                yield self._failure(tried, None)

    def _ripe(self) -> list[Tried]:
        """Failures whose turn it is: at once, or the first once no seed that may be before it is being tried."""
        if self._failed and not self._keeps_going:
            self._seeds = iter(())
            if self._running:
                return []
            self._failed = [min(self._failed)]
        ripe, self._failed = self._failed, []
        return ripe

    def _failure(self, tried: Tried, shrunk: Shrunk | None) -> Failed:
        tape = SWARMS[self._system](tried.seed) if shrunk is None else shrunk.tape
        return Failed(tried.seed, tried.violations, tape, shrunk)


def _tried(seed: int, system: str, plant: str | None) -> Tried:
    with planting(plant):
        return Tried(seed, judged(SWARMS[system](seed)))


def _reduced(seed: int, system: str, plant: str | None) -> Shrunk | None:
    try:
        return shrunk_in_time(SWARMS[system](seed), plant)
    except NothingToShrinkError:  # the run is not the same twice, which is for `replay` to show
        return None
