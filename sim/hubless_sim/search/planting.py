"""A bug of the zoo in what this process runs."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any


def planting(plant: str | None) -> AbstractContextManager[Any]:
    """Has the bug of this name in all that runs meanwhile, or none; LookupError if there is no such bug."""
    if plant is None:
        return nullcontext()
    from hubless_sim.zoo import planted  # noqa: PLC0415 it loads all that bugs are planted in

    return planted(plant)
