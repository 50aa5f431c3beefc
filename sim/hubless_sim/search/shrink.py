"""Makes a tape that fails as small as it gets: faults, operations, nodes, clients, shards, time, and odd settings.

The failure is the same as long as one violation is of the same checker.  Every step is tried by a run of the smaller
tape; nothing is drawn, so that the same tape shrinks in the same way.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from hubless_sim.play import judged
from hubless_sim.search.attempts import Attempts, Fails, Sound, SpentError
from hubless_sim.search.calm import calm_of
from hubless_sim.search.passes import COARSE, FINE, Pass
from hubless_sim.tapes.tape import Tape, check
from hubless_sim.verdict import Violation

MOST_RUNS = 1_000


class NothingToShrinkError(ValueError):
    """The run of a tape does not show the failure that it should be shrunk to."""


class Size(msgspec.Struct, frozen=True):
    """How much there is in a tape."""

    faults: int
    operations: int
    nodes: int
    clients: int
    duration_ms: int

    def __str__(self) -> str:
        return (
            f"{self.faults} faults, {self.operations} operations, {self.nodes} nodes, {self.clients} clients, "
            f"{self.duration_ms} ms"
        )


class Shrunk(msgspec.Struct, frozen=True):
    """What is left of a tape.

    ``violations`` are those of the small tape by ``checker``, the rule whose breach it had to keep.  ``ended`` says why
    the search did: nothing more can go (``smallest``: without any one of its faults the tape does not fail so), or the
    ``runs`` or the ``time`` that it was given are used up.
    """

    tape: Tape
    checker: str
    violations: tuple[Violation, ...]
    runs: int
    before: Size
    after: Size
    ended: Literal["smallest", "runs", "time"]


def shrink(
    tape: Tape,
    *,
    fails: Fails | None = None,
    checker: str | None = None,
    sound: Sound | None = None,
    most_runs: int = MOST_RUNS,
    is_time_up: Callable[[], bool] | None = None,
    say: Callable[[str], None] | None = None,
) -> Shrunk:
    """Shrink a tape that fails.

    ``fails`` runs a tape (default: ``judged``).  ``checker`` names the failure that must stay (default: that of the
    first violation).  ``sound`` may refuse tapes that fail, such as those that fail without a planted bug too; tapes
    that leave the nodes less of a calm than this one are refused in any case.  ``say`` hears a line for each pass that
    took something away.

    Raises NothingToShrinkError if the tape does not fail in that way, TapeError if it cannot be run.
    """
    check(tape)
    fails = fails or judged
    violations = fails(tape)
    names = list(dict.fromkeys(violation.checker for violation in violations))
    if not names:
        raise NothingToShrinkError("the tape passes: there is nothing to shrink. Give one that fails.")
    kept = checker or names[0]
    if kept not in names:
        raise NothingToShrinkError(
            f"the tape does not fail by {kept!r}, but by {', '.join(map(repr, names))}."
        )
    attempts = Attempts(
        tape,
        [violation for violation in violations if violation.checker == kept],
        fails=fails,
        sound=sound,
        calm=calm_of(tape),
        most_runs=most_runs,
        is_time_up=is_time_up or (lambda: False),
    )
    ended = _run_passes(attempts, say or (lambda _: None))
    return Shrunk(
        tape=attempts.tape,
        checker=kept,
        violations=attempts.violations,
        runs=attempts.runs,
        before=size_of(tape),
        after=size_of(attempts.tape),
        ended=ended,
    )


def size_of(tape: Tape) -> Size:
    """How much there is in a tape."""
    return Size(len(tape.faults), len(tape.operations), tape.nodes, tape.clients, tape.duration_ms)


def _run_passes(attempts: Attempts, say: Callable[[str], None]) -> Literal["smallest", "runs", "time"]:
    """The coarse passes until none takes anything away; the fine ones, and all again as long as these opened a way."""
    try:
        _settle(attempts, say)
        while _changes(attempts, FINE, say) and _settle(attempts, say):
            pass
    except SpentError as spent:
        return spent.what
    return "smallest"


def _settle(attempts: Attempts, say: Callable[[str], None]) -> bool:
    """Whether the coarse passes took something away before they found no more that could go."""
    first = attempts.tape
    while _changes(attempts, COARSE, say):
        pass
    return attempts.tape is not first


def _changes(attempts: Attempts, passes: dict[str, Pass], say: Callable[[str], None]) -> bool:
    """Whether one of the passes has taken something away."""
    first = attempts.tape
    for name, run_pass in passes.items():
        before = attempts.tape
        try:
            run_pass(attempts)
        finally:
            if attempts.tape is not before:
                say(f"{name}: {size_of(attempts.tape)} after {attempts.runs} runs")
    return attempts.tape is not first
