"""How soon a sweep finds each plant, what gives it away, and how small the tape gets that shows it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

from hubless_sim.faults import Fault
from hubless_sim.play import play
from hubless_sim.search.deletion import reduced
from hubless_sim.search.swarms import SWARMS
from hubless_sim.tapes.tape import Tape, replace
from hubless_sim.verdict import Violation
from hubless_sim.zoo.planting import Plant
from hubless_sim.zoo.plants import planted


class Found(msgspec.Struct, frozen=True):
    """A seed whose tape shows a plant, and does not fail without it.  ``cpu_s`` is what its search took."""

    seed: int
    checker: str
    text: str
    cpu_s: float


class Measured(msgspec.Struct, frozen=True):
    """A plant and what became of its search, from seed 0 on; ``found`` is null if nothing gave it away.

    ``faults`` are those of the tape that was found, ``left`` those that are needed to show the same.
    """

    name: str
    area: str
    what: str
    system: str
    found: Found | None
    faults: int = 0
    left: int = 0


def find(plant: Plant, seeds: Iterable[int], *, most_s: float = float("inf")) -> Found | None:
    """The first of the seeds whose tape fails with the plant and holds without it; None if there is none.

    Nothing is begun once the search has taken ``most_s`` of this process's time.
    """
    began_s = time.process_time()
    for seed in seeds:
        tape = SWARMS[plant.system](seed)
        violations = _played(plant, tape)
        if violations and play(tape).verdict == "held":
            first = violations[0]
            return Found(seed, first.checker, first.text, time.process_time() - began_s)
        if time.process_time() - began_s > most_s:
            break
    return None


def measured(plant: Plant, *, most_s: float = 60.0) -> Measured:
    """Look for a plant from seed 0 on, and take all faults away that its failure can do without."""
    found = find(plant, range(10_000), most_s=most_s)
    if found is None:
        return Measured(plant.name, plant.area, plant.what, plant.system, None)
    tape = SWARMS[plant.system](found.seed)
    left = needed_faults(plant, tape, found.checker)
    return Measured(plant.name, plant.area, plant.what, plant.system, found, len(tape.faults), len(left))


def needed_faults(plant: Plant, tape: Tape, checker: str) -> Sequence[Fault]:
    """The faults without any one of which the tape does not break that rule with the plant, and hold without it.

    The first pass of shrinking, and no other: what else could be taken from a tape does not count here.
    """

    def still_fails(faults: Sequence[Fault]) -> bool:
        smaller = replace(tape, faults=tuple(faults))
        broken = {violation.checker for violation in _played(plant, smaller)}
        return checker in broken and play(smaller).verdict == "held"

    return reduced(tape.faults, still_fails)


def _played(plant: Plant, tape: Tape) -> tuple[Violation, ...]:
    with planted(plant.name):
        return play(tape).violations
