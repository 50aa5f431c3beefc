"""Gossip's memory on disk, written beside the loop: a slow disk delays no probe, and a full one ends no node."""

from __future__ import annotations

from collections.abc import Callable

import trio

from hubless.datadir import DataDirectory
from hubless.driver.log import LogLine


class Memory:
    """Writes what it was given last; while a write is under way only the newest of what follows is kept.

    Losing a write costs a restarted node some peers to ask, and nothing else: its boot, which is on disk before it
    says its first word, makes everything that it said before outdated.

    Args:
        retry_s: pause after a write that failed.
    """

    def __init__(
        self,
        directory: DataDirectory,
        nursery: trio.Nursery,
        log: Callable[[LogLine], None],
        *,
        retry_s: float = 5.0,
    ) -> None:
        self._directory = directory
        self._nursery = nursery
        self._log = log
        self._retry_s = retry_s
        self._wanted: bytes | None = None
        self._is_writing = False
        self._is_failing = False

    def keep(self, raw: bytes) -> None:
        """Has `raw` written soon."""
        self._wanted = raw
        if not self._is_writing:
            self._is_writing = True
            self._nursery.start_soon(self._write)

    async def _write(self) -> None:
        while self._wanted is not None:
            raw, self._wanted = self._wanted, None
            try:
                await trio.to_thread.run_sync(self._directory.remember, raw)
            except OSError as problem:
                if self._wanted is None:  # else something newer has come meanwhile
                    self._wanted = raw
                if not self._is_failing:
                    where = f"{self._directory.path} ({problem.strerror})"
                    self._log(
                        LogLine("node", "error", f"cannot keep peers in {where}: trying again until it works")
                    )
                self._is_failing = True
                await trio.sleep(self._retry_s)
            else:
                self._is_failing = False
        self._is_writing = False
