"""Which tapes reach which marks, and a small choice of tapes that reaches all.

A tape has a name here: ``mesh:17`` is what a system's swarm draws for a seed, ``mesh_forked`` a tape that is kept as a
file of the folder ``standing`` beside this module, ``mesh_forked:17`` the same with another seed.  The *standing sweep*
is the choice that is checked for all changes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from hubless_sim.play import play
from hubless_sim.search.marks import Mark, counting
from hubless_sim.search.swarms import SWARMS
from hubless_sim.search.workers import Job, Lost, employed
from hubless_sim.tapes.tape import Tape, parse, replace

STANDING = Path(__file__).parent / "standing"
SEEDS = STANDING / "seeds.json"
ENOUGH = 3
"""Tapes of the standing sweep that reach a mark, if so many do: the next change may take it from one of them."""

VARIANTS = 6
"""Seeds that a search tries for each tape that is kept."""

Reached = Mapping[str, int]
"""How often a run reached each mark, by its text."""


class Found(msgspec.Struct, frozen=True):
    """A mark, how many of the tapes reach it, and how often they do."""

    mark: Mark
    tapes: int
    times: int


def standing() -> list[str]:
    """The tapes of the standing sweep."""
    seeds = msgspec.json.decode(SEEDS.read_bytes(), type=dict[str, list[int]])
    return [*kept(), *named(seeds)]


def kept() -> list[str]:
    """The tapes that are files, for what swarms hardly ever draw."""
    return sorted(path.stem for path in STANDING.glob("*.json") if path != SEEDS)


def named(seeds: Mapping[str, Iterable[int]]) -> list[str]:
    """Names of tapes, from seeds by what they are of: a system, or a tape that is kept."""
    return [f"{what}:{seed}" for what in seeds for seed in seeds[what]]


def searched(first: int, count: int) -> list[str]:
    """Tapes to look for a choice among: so many seeds of every system, and a few of each tape that is kept."""
    systems = {system: range(first, first + count) for system in SWARMS}
    return [*kept(), *named({name: range(first, first + VARIANTS) for name in kept()} | systems)]


def tape_of(name: str) -> Tape:
    """The tape of a name.  Raises LookupError if there is none."""
    what, _, seed = name.partition(":")
    if what in SWARMS and seed:
        return SWARMS[what](int(seed))
    if what not in kept():
        raise LookupError(f"no tape is called {name!r}; those that are kept are {', '.join(kept())}")
    tape = parse((STANDING / f"{what}.json").read_bytes())
    return replace(tape, seed=int(seed)) if seed else tape


def reached_by(name: str) -> dict[str, int]:
    """Runs a tape, and counts the marks that it reaches, whatever does not hold in the run."""
    with counting() as counts:
        play(tape_of(name))
    return dict(counts)


def reached(names: Iterable[str], jobs: int = 1) -> Iterator[tuple[str, Reached]]:
    """What each tape reaches, in the order in which they end.  Raises RuntimeError if a process is lost."""
    waiting = iter(names)
    with employed(jobs) as workers:
        is_over = False
        while not (is_over and workers.is_idle):
            while not is_over and workers.has_room:
                name = next(waiting, None)
                if name is None:
                    is_over = True
                else:
                    workers.give(Job(reached_by, (name,)))
            for ended in workers.wait():
                if isinstance(ended.result, Lost):
                    raise RuntimeError(  # noqa: TRY004 it has no wrong type, the process is gone
                        f"tape {ended.job.arguments[0]} {ended.result.why}"
                    )
                yield ended.job.arguments[0], ended.result


def found(marks: Iterable[Mark], by_tape: Mapping[str, Reached]) -> list[Found]:
    """All marks, the rarest first: those that no tape reaches, then those that few do."""
    tapes: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for counts in by_tape.values():
        tapes.update(counts.keys())
        times.update(counts)
    each = [Found(mark, tapes[mark.text], times[mark.text]) for mark in marks]
    return sorted(each, key=lambda one: (one.tapes, one.times, one.mark))


def chosen(by_tape: Mapping[str, Reached], enough: int = ENOUGH) -> list[str]:
    """Few tapes that reach each mark ``enough`` times, or as often as there are tapes that do.

    Greedy: the next one is always the tape that is good for most of what is still missing, a rare mark counting more.
    """
    tapes: Counter[str] = Counter()
    for counts in by_tape.values():
        tapes.update(counts.keys())
    missing = {text: min(enough, count) for text, count in tapes.items()}
    rest = sorted(by_tape)
    choice: list[str] = []
    while missing:
        best = max(rest, key=lambda name: _worth(by_tape[name], missing, tapes))
        rest.remove(best)
        choice.append(best)
        for text in by_tape[best]:
            if text in missing:
                missing[text] -= 1
                if not missing[text]:
                    del missing[text]
    return choice


def _worth(counts: Reached, missing: Mapping[str, int], tapes: Mapping[str, int]) -> float:
    return sum(1.0 / tapes[text] for text in counts if text in missing)


def seeds_of(names: Iterable[str]) -> dict[str, list[int]]:
    """The seeds among the names of tapes, by what they are of."""
    seeds: dict[str, list[int]] = {}
    for name in sorted(names):
        what, _, seed = name.partition(":")
        if seed:
            seeds.setdefault(what, []).append(int(seed))
    return {what: sorted(numbers) for what, numbers in seeds.items()}


def written(seeds: Mapping[str, list[int]]) -> str:
    """Seeds as ``SEEDS`` has them, a line for each of what they are of."""
    lines = (f'  "{what}": {numbers}' for what, numbers in seeds.items())
    return "{\n" + ",\n".join(lines) + "\n}"
