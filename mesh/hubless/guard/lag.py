"""Whether this node itself is the one that is slow: who wakes late should not judge others by their answers."""

from __future__ import annotations

_MS = 1_000_000
LATE_NS = 1_000 * _MS
RECOVERED_AFTER_NS = 5_000 * _MS


class OwnLag:
    """Compares when the node was woken with when it had asked to be.

    A wake-up more than a second late (a blocked interpreter, a stopped process, a starved machine) puts the node in
    doubt of itself for the five seconds after.
    """

    def __init__(self) -> None:
        self._in_doubt_until_ns: int | None = None

    def woken(self, now_ns: int, due_ns: int | None) -> str | None:
        """Takes note of a wake-up that had been asked for at `due_ns`.

        Returns:
            The reason for doubt when it begins, "" when it ends, None when nothing changes.
        """
        late_ns = 0 if due_ns is None else now_ns - due_ns
        if late_ns > LATE_NS:
            was_in_doubt = self._in_doubt_until_ns is not None
            self._in_doubt_until_ns = now_ns + RECOVERED_AFTER_NS
            return None if was_in_doubt else f"own loop was {late_ns // _MS} ms late"
        if self._in_doubt_until_ns is not None and now_ns >= self._in_doubt_until_ns:
            self._in_doubt_until_ns = None
            return ""
        return None
