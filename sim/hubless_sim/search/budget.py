"""Shrinking for so long at most, with a planted bug or none."""

import time
from collections.abc import Callable

from hubless_sim.play import judged
from hubless_sim.search.planting import planting
from hubless_sim.search.shrink import Shrunk, shrink
from hubless_sim.tapes.tape import Tape
from hubless_sim.verdict import Violation

SHRINK_S = 120.0
"""How long one tape of a sweep is shrunk at most."""


def shrunk_in_time(
    tape: Tape,
    plant: str | None = None,
    *,
    seconds: float = SHRINK_S,
    checker: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Shrunk:
    """A tape that fails, shrunk as `shrink` does. With a planted bug, only tapes that hold without it are taken."""
    until_s = time.monotonic() + seconds

    def fails(candidate: Tape) -> tuple[Violation, ...]:
        with planting(plant):
            return judged(candidate)

    return shrink(
        tape,
        fails=fails,
        checker=checker,
        sound=None if plant is None else lambda candidate: not judged(candidate),
        is_time_up=lambda: time.monotonic() > until_s,
        say=say,
    )
