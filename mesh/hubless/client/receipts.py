"""Accepted tasks whose outcome this client may still be told. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable

from hubless.client.reply import Reply

_MOST = 65_536


class Receipts:
    """Who gets the outcome of an accepted task, should it come on its own: while its gateway stays connected, it does.

    The mesh keeps the task, so nothing is lost when this forgets it: beyond its bound the oldest goes, and whoever
    wants that outcome asks for it.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._settles: dict[bytes, tuple[Callable[[Reply], None], ...]] = {}

    def __len__(self) -> int:
        return len(self._settles)

    def add(self, task: bytes, settle: Callable[[Reply], None]) -> None:
        """Remembers who wants the outcome of an accepted task."""
        self._settles[task] = (*self._settles.pop(task, ()), settle)
        if len(self._settles) > self._most:
            del self._settles[next(iter(self._settles))]

    def settle(self, task: bytes, reply: Reply) -> None:
        """Hands the outcome out."""
        for settle in self._settles.pop(task, ()):
            settle(reply)
