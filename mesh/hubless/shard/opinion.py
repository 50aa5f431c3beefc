"""What membership and beats tell a node about the others, and what follows from it for the owners of shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubless.shard.campaigns import Campaigns
from hubless.shard.group import Group
from hubless.shard.output import Role
from hubless.shard.raft import Raft
from hubless.shard.seats import Surroundings
from hubless_gossip.marks import sometimes

_NOBODY: frozenset[str] = frozenset()


class Opinion:
    """The latest opinion: conditions of the nodes, the ring's lists of each shard, and whose disk is full.

    Whose journal has failed is not well, even before membership says that it is busy.

    Args:
        fresh_ns: an owner that was heard so lately is not replaced for being in doubt. Membership may be behind, or
            hold a member that has flapped for unwell: two that doubt each other would take its shards from each
            other as long as that lasts.
    """

    def __init__(self, me: str, campaigns: Campaigns, *, fresh_ns: int) -> None:
        self._me = me
        self._campaigns = campaigns
        self._fresh_ns = fresh_ns
        self._doubtful = _NOBODY
        self._full: set[str] = set()
        self._failed: set[str] = set()
        self._well = frozenset((me,))
        self.around = Surroundings(me=me, well=frozenset((me,)))
        self.preferences: Callable[[int], Sequence[str]] = _nobody
        self.spares: Callable[[int], Sequence[str]] = _nobody

    def is_full(self, node: str) -> bool:
        """Whether a node's disk has no room for more work."""
        return node in self._full

    def set_full(self, node: str, *, is_full: bool) -> bool:
        """A node says whether its disk is full. True if that is news."""
        if is_full == (node in self._full):
            return False
        self._full.symmetric_difference_update((node,))
        self._take(self.around.gone, self.around.draining)
        return True

    def set_failed(self, node: str, *, has_failed: bool) -> bool:
        """A node says whether its journal has failed. True if that is news."""
        if has_failed == (node in self._failed):
            return False
        self._failed.symmetric_difference_update((node,))
        self._take(self.around.gone, self.around.draining)
        return True

    def changed(
        self,
        *,
        well: frozenset[str],
        doubtful: frozenset[str],
        gone: frozenset[str],
        draining: frozenset[str],
        preferences: Callable[[int], Sequence[str]],
        spares: Callable[[int], Sequence[str]],
    ) -> None:
        """Membership's new opinion."""
        self._doubtful = doubtful
        self._full -= gone
        self._failed -= (
            well - self._well
        ) | gone  # who was away and is back is another process, or all right
        self._well = well
        self.preferences = preferences
        self.spares = spares
        self._take(gone, draining)

    def consider(self, now_ns: int, group: Group) -> bool:
        """Whether a shard needs another owner, and whether its replica here is to stand. True if that touched it."""
        raft, shard = group.raft, group.shard
        owner = raft.owner
        if raft.role is Role.OWNER or raft.is_damaged:
            self._campaigns.settled(shard)
            return False
        is_doubted = owner is not None and self._doubts(now_ns, owner, raft)
        is_touched = is_doubted or group.is_doubted
        if is_touched:
            group.is_doubted = is_doubted
            raft.doubt_owner(now_ns, is_doubted)
        if owner is not None and not is_doubted:
            self._campaigns.settled(shard)
            return is_touched
        self._campaigns.wanted(
            now_ns,
            shard,
            config=raft.config,
            is_owner_known=owner is not None,
            preference=self.preferences(shard),
            around=self.around,
        )
        return is_touched

    def _doubts(self, now_ns: int, owner: str, raft: Raft) -> bool:
        """Whether an owner had better be replaced: it is gone, or in doubt and silent here as well."""
        if owner in self._doubtful and raft.has_heard_since(now_ns - self._fresh_ns):
            sometimes("kept an owner that membership doubts, as it is heard")
            return False
        return owner in self._doubtful or owner in self.around.gone

    def _take(self, gone: frozenset[str], draining: frozenset[str]) -> None:
        well = self._well - self._failed
        self.around = Surroundings(
            me=self._me, well=well, gone=gone, draining=draining, full=frozenset(self._full)
        )


def _nobody(_shard: int) -> tuple[str, ...]:
    """Before the first ring."""
    return ()
