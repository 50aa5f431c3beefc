"""Which tasks a gateway had better give back to their clients: those that others serve sooner."""

from __future__ import annotations

from hubless.placement import shard_of_task
from hubless.tasks.pending import Pending
from hubless.tasks.reach import Reach
from hubless.view import View
from hubless.wire import ShardChoice, Submit


class Redirects:
    """Judges by what this node reaches.

    Args:
        goes_apart: whether this node takes tasks on by itself if their agents allow that.
    """

    def __init__(self, view: View, reach: Reach, *, goes_apart: bool) -> None:
        self._view = view
        self._reach = reach
        self._goes_apart = goes_apart

    def runs_apart(self, agent: str) -> bool:
        """Whether this node may run an agent's task without its shard."""
        offer = self._view.offer(agent)
        return self._goes_apart and offer is not None and offer.runs_apart

    def is_better_elsewhere(self, task: bytes, call: Submit | Pending, *, is_lost: bool = False) -> bool:
        """Whether a task had better go back to its client: for the id of another shard if nobody has begun it, to go to
        another gateway, or for good. One with a key waits here for the next owner, unless its shard `is_lost`; any
        whose shard is fixed may be run apart here.
        """
        runs_apart = self.runs_apart(call.agent)
        is_hasty = call.shard is ShardChoice.AT_ONCE and not runs_apart
        is_fixed = bool(call.key) or call.shard is not ShardChoice.FREE
        if is_fixed and runs_apart:
            return False
        owner = self._view.owner_of_shard(shard_of_task(task))
        if owner is not None and not self._view.is_silent(owner):
            return False
        if runs_apart:
            return bool(self._view.reachable())
        return is_hasty or is_lost or not call.key

    def has_waited_in_vain(self, now_ns: int, task: bytes, pending: Pending) -> bool:
        """Whether a task has waited here for its shard for long enough, and its client may find it elsewhere."""
        if not pending.is_kept or pending.is_apart or not pending.routes:
            return False
        is_lost = self._reach.is_lost(now_ns, shard_of_task(task))
        return is_lost and self.is_better_elsewhere(task, pending, is_lost=True)
