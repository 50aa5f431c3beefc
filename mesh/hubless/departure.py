"""Leaving the mesh in order: finish what is here, say goodbye, go."""

from __future__ import annotations

from enum import Enum

from hubless_gossip.marks import sometimes

_MS = 1_000_000
PATIENCE_NS = 5_000 * _MS
GOODBYE_NS = 2_000 * _MS
_LOOK_EVERY_NS = 20 * _MS


class Stage(Enum):
    """`staying` -> `draining` (no new work, own tasks end) -> `goodbye` (gossip tells the others) -> `gone`."""

    STAYING = "staying"
    DRAINING = "draining"
    GOODBYE = "goodbye"
    GONE = "gone"


class Departure:
    """Where a node is on its way out. Work that is not done within five seconds is left to the others, unless it was
    to be patient, and whoever has not heard the goodbye after two more finds out by itself.
    """

    def __init__(self) -> None:
        self.stage = Stage.STAYING
        self._is_patient = False
        self._patience_ends_ns = 0
        self._look_at_ns: int | None = None

    @property
    def has_begun(self) -> bool:
        """Whether new work is refused."""
        return self.stage is not Stage.STAYING

    def begin(self, now_ns: int, *, is_patient: bool = False) -> bool:
        """Starts draining; False if that had begun before. A second wish may still end the patience of the first."""
        if self.has_begun:
            if self.stage is Stage.DRAINING and self._is_patient and not is_patient:
                sometimes("a second wish to leave ended the patience of the first")
                self._is_patient = False
                self._patience_ends_ns = now_ns + PATIENCE_NS
            return False
        self.stage = Stage.DRAINING
        self._is_patient = is_patient
        self._patience_ends_ns = now_ns + PATIENCE_NS
        self._look_at_ns = now_ns
        return True

    def advance(self, now_ns: int, *, work_left: int, goodbye_said: bool) -> Stage | None:
        """Moves on by at most one stage; the stage just entered, or None."""
        if self._look_at_ns is None or now_ns < self._look_at_ns:
            return None
        self._look_at_ns = now_ns + _LOOK_EVERY_NS
        is_late = now_ns >= self._patience_ends_ns and not self._is_patient
        if self.stage is Stage.DRAINING and (work_left == 0 or is_late):
            if work_left:
                sometimes("left with work that others have to finish")
            self.stage = Stage.GOODBYE
            self._is_patient = False
            self._patience_ends_ns = now_ns + GOODBYE_NS
            return self.stage
        if self.stage is Stage.GOODBYE and (goodbye_said or is_late):
            self.stage = Stage.GONE
            self._look_at_ns = None
            return self.stage
        return None

    def next_deadline_ns(self) -> int | None:
        """When `advance` wants to be called again."""
        return self._look_at_ns
