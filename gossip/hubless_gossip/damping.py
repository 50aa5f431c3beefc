"""What subscribers get to hear: bounded, and without the noise of a flapping member.

Damping holds back events, never the view: `Gossip.members()` always shows what is believed now. A death is told
at once, and so is a suspicion, since work goes on going to whoever is held for well. So are the first `flap_budget`
changes of a member's process in a window. Beyond that, any other news must last `settle * 4^k` to be told, k rising
with each: a flapping member is held for unwell until it has been well for a while, as a flapping route is (RFC 2439).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from hubless_gossip.config import GossipConfig
from hubless_gossip.events import EventsLost, MemberChanged, MembershipEvent
from hubless_gossip.marks import sometimes
from hubless_gossip.member import Condition, Member

_MS = 1_000_000
_RESTARTS_PER_BUDGET = 4


class _History:
    """What was told of one member in the running window."""

    __slots__ = ("boot", "boots", "due_ns", "over", "spent", "told", "window_ends_ns")

    def __init__(self, told: tuple[int, Condition], window_ends_ns: int) -> None:
        self.told = told
        self.boot = told[0]
        self.boots = 0
        self.spent = 0
        self.over = 0
        self.due_ns: int | None = None
        self.window_ends_ns = window_ends_ns


class Damper:
    """Decides per change of a member: tell now, tell if it lasts, or never."""

    __slots__ = ("_budget", "_heap", "_histories", "_settle_ns", "_window_ns")

    def __init__(self, config: GossipConfig) -> None:
        self._budget = config.flap_budget
        self._settle_ns = config.settle_ms * _MS
        self._window_ns = config.flap_window_ms * _MS
        self._histories: dict[str, _History] = {}
        self._heap: list[tuple[int, str]] = []

    def changed(
        self, now_ns: int, member: Member, before: tuple[int, Condition] | None, *, certain: bool
    ) -> MemberChanged | None:
        """A member's condition or boot changed from `before` (None: it is new). The event to tell now, if any."""
        if before is None:
            return MemberChanged(member, None)
        history = self._histories.get(member.node)
        if history is None or now_ns >= history.window_ends_ns:
            told = before if history is None else history.told
            history = _History(told, now_ns + self._window_ns)
            self._histories[member.node] = history
            heapq.heappush(self._heap, (history.window_ends_ns, member.node))
        if member.boot != history.boot:
            history.boot = member.boot
            history.boots += 1
            history.spent = 0
        history.due_ns = None
        if (member.boot, member.condition) == history.told:
            return None
        is_worse = member.boot == history.told[0] and member.condition > max(history.told[1], Condition.BUSY)
        restarting = history.boots > _RESTARTS_PER_BUDGET * self._budget
        if is_worse or (not restarting and (certain or history.spent < self._budget)):
            history.spent += 1
            return self._tell(history, member)
        sometimes("held back news of a flapping member")
        history.due_ns = now_ns + (self._settle_ns << min(2 * history.over, 16))
        heapq.heappush(self._heap, (history.due_ns, member.node))
        return None

    def settled(self, now_ns: int, look: Callable[[str], Member | None]) -> list[MembershipEvent]:
        """Events that were held back and whose condition has lasted. Forgets histories whose window is over."""
        out: list[MembershipEvent] = []
        while self._heap and self._heap[0][0] <= now_ns:
            _, node = heapq.heappop(self._heap)
            history = self._histories.get(node)
            if history is None:
                continue
            if history.due_ns is not None and history.due_ns <= now_ns:
                history.due_ns = None
                history.over += 1
                member = look(node)
                if member is not None and (member.boot, member.condition) != history.told:
                    sometimes("told news that had been held back, as it lasted")
                    out.append(self._tell(history, member))
            if history.due_ns is None and history.window_ends_ns <= now_ns:
                del self._histories[node]
        return out

    def next_ns(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    @staticmethod
    def _tell(history: _History, member: Member) -> MemberChanged:
        previous = history.told[1]
        history.told = (member.boot, member.condition)
        return MemberChanged(member, previous)


class EventQueue:
    """Membership events of one `handle` call, at most `most`; the rest is counted and reported as lost."""

    __slots__ = ("_events", "_lost", "_most", "lost_in_all")

    def __init__(self, most: int) -> None:
        self._most = most
        self._events: list[MembershipEvent] = []
        self._lost = 0
        self.lost_in_all = 0

    def __bool__(self) -> bool:
        return bool(self._events)

    def add(self, event: MembershipEvent | None) -> None:
        if event is None:
            return
        if len(self._events) < self._most:
            self._events.append(event)
        else:
            self._lost += 1

    def drain(self) -> list[MembershipEvent]:
        events, self._events = self._events, []
        if self._lost:
            sometimes("lost membership events, and said how many")
            events.append(EventsLost(self._lost))
            self.lost_in_all += self._lost
            self._lost = 0
        return events
