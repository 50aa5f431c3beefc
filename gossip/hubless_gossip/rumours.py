"""Rumours that wait to be passed on, each a limited number of times (SWIM section 4.1)."""

from __future__ import annotations

import math

from hubless_gossip.marks import sometimes

RumourKey = tuple[str, ...]


class Rumour:
    __slots__ = ("factor", "packed", "sent")

    def __init__(self, packed: bytes, factor: float) -> None:
        self.packed = packed
        self.factor = factor
        self.sent = 0


class Rumours:
    """Packed messages by what they are about; a new rumour replaces the old one about the same thing.

    Those sent least often leave first. Beyond `most` the one sent most often is dropped, which is counted.
    """

    __slots__ = ("_by_sent", "_levels", "_most", "_mult", "dropped")

    def __init__(self, *, most: int, retransmit_mult: float) -> None:
        self._most = most
        self._mult = retransmit_mult
        self._levels: dict[RumourKey, int] = {}
        self._by_sent: list[dict[RumourKey, Rumour]] = [{}]
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._levels)

    def __contains__(self, key: RumourKey) -> bool:
        return key in self._levels

    def add(self, key: RumourKey, packed: bytes, factor: float = 1.0) -> None:
        """Spread `packed`, `factor` times as often as usual, in place of what was said under this key."""
        self.remove(key)
        if len(self._levels) >= self._most:
            fullest = next(level for level in reversed(self._by_sent) if level)
            self.remove(next(iter(fullest)))
            self.dropped += 1
            sometimes("a rumour had to go for a newer one")
        self._levels[key] = 0
        self._by_sent[0][key] = Rumour(packed, factor)

    def remove(self, key: RumourKey) -> None:
        level = self._levels.pop(key, None)
        if level is not None:
            del self._by_sent[level][key]

    def take(self, room_bytes: int, live: int) -> list[bytes]:
        """Rumours that fit into `room_bytes`, counted as sent once more, at most lambda * log10(n + 1) times."""
        if not self._levels:
            return []
        taken: list[tuple[RumourKey, Rumour]] = []
        misses = 0
        for level in self._by_sent:
            for key, rumour in level.items():
                if len(rumour.packed) <= room_bytes:
                    room_bytes -= len(rumour.packed)
                    taken.append((key, rumour))
                else:
                    misses += 1
                if misses > 3 or room_bytes < 24:
                    break
            else:
                continue
            break
        limit = self._mult * math.log10(live + 1)
        for key, rumour in taken:
            self._count(key, rumour, math.ceil(limit * rumour.factor))
        return [rumour.packed for _, rumour in taken]

    def _count(self, key: RumourKey, rumour: Rumour, limit: int) -> None:
        self.remove(key)
        rumour.sent += 1
        if rumour.sent >= limit:
            return
        while len(self._by_sent) <= rumour.sent:
            self._by_sent.append({})
        self._levels[key] = rumour.sent
        self._by_sent[rumour.sent][key] = rumour
