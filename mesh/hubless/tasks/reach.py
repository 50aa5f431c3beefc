"""Which shards have been without an owner within reach for so long that it is no mere change of owners."""

from __future__ import annotations

from hubless.view import View


class Reach:
    """Watches the shards that somebody asks for, from when they are first found without an owner.

    Args:
        patience_ns: how long a shard may be without one: longer than an election takes.
    """

    def __init__(self, view: View, *, patience_ns: int) -> None:
        self._view = view
        self._patience_ns = patience_ns
        self._lost: dict[int, int] = {}

    def owner(self, now_ns: int, shard: int) -> str:
        """The owner of a shard, "" if there is none. One that is silent is asked all the same, but not for ever."""
        if self._is_well(shard):
            self._lost.pop(shard, None)
        else:
            self._lost.setdefault(shard, now_ns)
        return self._view.owner_of_shard(shard) or ""

    def is_lost(self, now_ns: int, shard: int) -> bool:
        """Whether a shard that was asked for has had no owner since, for too long to wait any more."""
        since_ns = self._lost.get(shard)
        return since_ns is not None and now_ns - since_ns >= self._patience_ns

    def lost_after_ns(self, now_ns: int, shard: int, otherwise_ns: int) -> int:
        """After how much time `is_lost` may say so; `otherwise_ns` for a shard that it says it of, or will not."""
        since_ns = self._lost.get(shard)
        after_ns = 0 if since_ns is None else since_ns + self._patience_ns - now_ns
        return after_ns if after_ns > 0 else otherwise_ns

    def look(self) -> None:
        """Forgets the shards that have been found again. To be called often."""
        for shard in [shard for shard in self._lost if self._is_well(shard)]:
            del self._lost[shard]

    def _is_well(self, shard: int) -> bool:
        owner = self._view.owner_of_shard(shard)
        return owner is not None and not self._view.is_silent(owner)
