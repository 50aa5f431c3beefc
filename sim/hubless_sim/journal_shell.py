"""What stands between a core's commits and the simulated disk: the part of a real node's journal shell.

It keeps what is not on the disk yet, asks again while the disk is full, and gives up when a flush has failed.
"""

from collections import deque

from hubless.shard.events import Commit, Flushed, JournalEvent, JournalFailed, JournalFull, JournalHasRoom
from hubless_sim.world.hosts import HostEffect, Write, WriteRefused, Written

_ASK_AGAIN_NS = 100_000_000


class JournalShell:
    """The journal of one process."""

    def __init__(self) -> None:
        self._kept: deque[Write] = deque()
        self._is_full = False
        self._has_failed = False
        self._again_ns: int | None = None

    def commit(self, commit: Commit, out: list[HostEffect]) -> None:
        """Begin a commit; while the disk is full it waits behind the one that found it so."""
        if self._has_failed:
            return
        write = Write(commit.mark, commit.records)
        self._kept.append(write)
        if not self._is_full:
            out.append(write)

    def take(self, now_ns: int, event: Written | WriteRefused, out: list[HostEffect]) -> list[JournalEvent]:
        """What the disk answered, in the core's words."""
        match event:
            case Written(mark=mark):
                self._kept.popleft()
                was_full, self._is_full = self._is_full, False
                if was_full:
                    out.extend(self._kept)
                    return [Flushed(mark), JournalHasRoom()]
                return [Flushed(mark)]
            case WriteRefused(full=True):
                was_full, self._is_full = self._is_full, True
                self._again_ns = now_ns + _ASK_AGAIN_NS
                return [] if was_full else [JournalFull("the disk is full")]
            case WriteRefused():
                was_told, self._has_failed = self._has_failed, True
                self._kept.clear()
                return [] if was_told else [JournalFailed("a flush failed")]

    def due(self, now_ns: int, out: list[HostEffect]) -> None:
        """Ask again, when it is time, for the write that found no room; the others follow once it is there."""
        if self._again_ns is not None and now_ns >= self._again_ns:
            self._again_ns = None
            out.append(self._kept[0])

    def next_due_ns(self) -> int | None:
        """When ``due`` has something to do."""
        return self._again_ns
