"""The smallest tape so far of a search for small ones, and what was tried."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

from hubless_sim.search.calm import Calm
from hubless_sim.tapes.tape import Tape, TapeError, check
from hubless_sim.verdict import Violation

Fails = Callable[[Tape], Sequence[Violation]]
"""Runs a tape and returns what does not hold; raises TapeError if it cannot be run."""

Sound = Callable[[Tape], bool]
"""Whether a tape that fails is worth keeping."""


class SpentError(Exception):
    """The runs or the time of a search are used up."""

    def __init__(self, what: Literal["runs", "time"]) -> None:
        super().__init__(what)
        self.what = what


class Attempts:
    """Runs smaller tapes and keeps those that still fail by the same checker.

    ``tape`` is the best so far and ``violations`` are its own of that checker.  No tape is run twice.
    """

    def __init__(
        self,
        tape: Tape,
        violations: Sequence[Violation],
        *,
        fails: Fails,
        sound: Sound | None,
        calm: Calm | None,
        most_runs: int,
        is_time_up: Callable[[], bool],
    ) -> None:
        self.tape = tape
        self.violations = tuple(violations)
        self.checker = violations[0].checker
        self.runs = 1
        self._fails = fails
        self._sound = sound
        self._calm = calm
        self._most_runs = most_runs
        self._is_time_up = is_time_up
        self._seen = {_digest(tape)}

    def take(self, smaller: Tape | None) -> bool:
        """Try a tape, and go on from it if it still fails.  Raises SpentError when it may not be tried any more."""
        if smaller is None or not self._is_fair(smaller):
            return False
        digest = _digest(smaller)
        if digest in self._seen:
            return False
        if self.runs >= self._most_runs:
            raise SpentError("runs")
        if self._is_time_up():
            raise SpentError("time")
        self._seen.add(digest)
        self.runs += 1
        try:
            violations = [each for each in self._fails(smaller) if each.checker == self.checker]
        except TapeError:
            return False
        if not violations or not (self._sound is None or self._sound(smaller)):
            return False
        self.tape, self.violations = smaller, tuple(violations)
        return True

    def _is_fair(self, tape: Tape) -> bool:
        """Whether it is a tape at all, and leaves the nodes as much of a calm as the first one."""
        try:
            check(tape)
        except TapeError:
            return False
        return self._calm is None or self._calm.allows(tape)


def _digest(tape: Tape) -> bytes:
    return hashlib.sha256(tape.to_json()).digest()
