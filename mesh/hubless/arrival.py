"""Coming into the mesh: from the start of a node until it serves."""

from __future__ import annotations

from hubless.effects import Log, NodeEffect
from hubless_gossip.marks import sometimes

ALONE_AFTER_NS = 3_000_000_000


class Arrival:
    """A node has arrived when it is in the mesh and its workers, if it has any, offer their agents.

    One that was started before is of the mesh already: if nobody has answered it by `alone_from_ns`, it serves alone.

    Args:
        joins: whether it looks for others at all.
    """

    def __init__(self, *, joins: bool) -> None:
        self.is_over = False
        self._is_alone = not joins
        self.alone_from_ns: int | None = None

    def begin(self, now_ns: int, *, boot: int) -> None:
        """The node starts, for the `boot`-th time."""
        if not self._is_alone and boot > 1:
            self.alone_from_ns = now_ns + ALONE_AFTER_NS

    def advance(self, now_ns: int, *, has_met: bool, can_work: bool, out: list[NodeEffect]) -> bool:
        """Whether it is over with this. `has_met`: some other member is known."""
        if has_met or self._is_alone:
            self.alone_from_ns = None
        elif self.alone_from_ns is None or now_ns < self.alone_from_ns:
            return False
        else:
            sometimes("nobody of the mesh answered, and the node served alone")
            self.alone_from_ns, self._is_alone = None, True
            out.append(Log("warning", "no other node of the mesh answers: serving alone until one does"))
        self.is_over = can_work
        return can_work
