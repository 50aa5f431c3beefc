"""The chance that users' code draws by itself, and trio's own: from the seed of the mesh, while it is simulated."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any


def seeded(seed: int, *, with_trio: bool) -> Callable[[], None]:
    """Seed the functions of `random`; call what is returned to have everything as it was."""
    undos = [_seed_random(seed)]
    if with_trio:
        undos.append(_seed_trio(seed))

    def undo() -> None:
        for each in undos:
            each()

    return undo


def _seed_random(seed: int) -> Callable[[], None]:
    state = random.getstate()
    random.seed(f"agents:{seed}")  # noqa: TID251 agents may draw from it, and shall draw the same in every run

    def undo() -> None:
        random.setstate(state)

    return undo


def _seed_trio(seed: int) -> Callable[[], None]:
    """Trio shuffles the tasks that are ready, on purpose; what it has for Hypothesis makes it do so by a seed."""
    from trio._core import _run  # noqa: PLC0415 only for agents that ask for it

    scheduler: Any = _run
    was = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r  # noqa: SLF001 there is no public name
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # noqa: SLF001
    scheduler._r = random.Random(f"trio:{seed}")  # noqa: SLF001

    def undo() -> None:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r = was  # noqa: SLF001

    return undo
