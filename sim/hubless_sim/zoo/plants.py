"""All plants by name, and how to plant one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from hubless_sim.zoo import breakers, gossip, journal, raft, tasks, workers
from hubless_sim.zoo.planting import Plant, Swaps

PLANTS: Final[Mapping[str, Plant]] = MappingProxyType(
    {
        plant.name: plant
        for module in (gossip, raft, journal, tasks, workers, breakers)
        for plant in module.BED.plants
    }
)


def plant_of(name: str) -> Plant:
    """The plant of that name; raises LookupError, with the names that are near."""
    plant = PLANTS.get(name)
    if plant is None:
        near = difflib.get_close_matches(name, PLANTS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`mesh sim zoo --list` has all names"
        raise LookupError(f"no plant is called {name!r}; {hint}")
    return plant


@contextmanager
def planted(name: str) -> Iterator[Plant]:
    """Has the bug of that name in all that this process runs meanwhile; raises LookupError if there is none."""
    plant = plant_of(name)
    swaps = Swaps()
    try:
        plant.apply(swaps)
        yield plant
    finally:
        swaps.undo()
