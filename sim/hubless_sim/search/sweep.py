"""Sweeps: the drawn tapes of many seeds are run, and those that fail are shrunk."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from hubless_sim.play import play
from hubless_sim.search.budget import shrunk_in_time
from hubless_sim.search.planting import planting
from hubless_sim.search.shrink import Shrunk
from hubless_sim.search.swarms import SWARMS
from hubless_sim.search.workers import Job, Lost, employed
from hubless_sim.tapes.tape import Tape
from hubless_sim.verdict import Violation


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
    return tuple(violation.text for violation in play(SWARMS[system](seed)).violations)


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
        self._failed: deque[Tried] = deque()

    def next_job(self) -> Job | None:
        """Failures come before seeds; None: nothing, or nothing before something else has ended."""
        if self._keeps_going and self._failed:
            return self._reduction(self._failed.popleft())
        if self._failed:
            if self._running:
                return None
            first = min(self._failed)
            self._seeds = iter(())
            self._failed.clear()
            return self._reduction(first)
        seed = next(self._seeds, None)
        if seed is None:
            return None
        self._running += 1
        return Job(_tried, (seed, self._system, self._plant))

    def ended(self, job: Job, result: Any) -> Iterator[Tried | Failed]:
        """What is known by the end of a job."""
        match result:
            case Tried():
                yield self._counted(result)
            case Lost(why) if job.function is _tried:
                violation = Violation("process", f"the run of this tape {why}")
                yield self._counted(Tried(job.arguments[0], (violation,)))
            case Lost():
                tried, system, _ = job.arguments
                yield Failed(tried.seed, tried.violations, SWARMS[system](tried.seed), None)
            case _:
                yield result

    def _counted(self, tried: Tried) -> Tried:
        self._running -= 1
        if tried.violations:
            self._failed.append(tried)
        return tried

    def _reduction(self, tried: Tried) -> Job:
        return Job(_reduced if self._shrinks else _drawn, (tried, self._system, self._plant))


def _tried(seed: int, system: str, plant: str | None) -> Tried:
    with planting(plant):
        return Tried(seed, play(SWARMS[system](seed)).violations)


def _drawn(tried: Tried, system: str, plant: str | None) -> Failed:  # noqa: ARG001 called as _reduced is
    return Failed(tried.seed, tried.violations, SWARMS[system](tried.seed), None)


def _reduced(tried: Tried, system: str, plant: str | None) -> Failed:
    if tried.violations[0].checker == "process":
        return _drawn(tried, system, plant)
    shrunk = shrunk_in_time(SWARMS[system](tried.seed), plant)
    return Failed(tried.seed, tried.violations, shrunk.tape, shrunk)
