"""Tasks that no gateway has: those that any may be given now, and those that rest after a refusal. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hubless.client.call import Call
from hubless.tasks.wheel import Wheel

_WIDTH_NS = 10_000_000
_FIRST_PAUSE_NS = 50_000_000
_LONGEST_PAUSE_NS = 1_000_000_000
_AT_ONCE = 3


class Unplaced:
    """Calls by task id, each either ready or resting."""

    def __init__(self) -> None:
        self._ready: dict[bytes, Call] = {}
        self._resting: dict[bytes, Call] = {}
        self._wheel: Wheel[bytes] = Wheel(width_ns=_WIDTH_NS)

    def __len__(self) -> int:
        return len(self._ready) + len(self._resting)

    def __iter__(self) -> Iterator[Call]:
        yield from self._ready.values()
        yield from self._resting.values()

    @property
    def ready(self) -> Sequence[Call]:
        """Those that may be given to a gateway now, in the order in which they came."""
        return list(self._ready.values())

    @property
    def resting(self) -> int:
        """How many wait for their next try."""
        return len(self._resting)

    def add(self, call: Call) -> None:
        """Takes a call that any gateway may have."""
        self._ready[call.submit.task] = call

    def rest(self, now_ns: int, call: Call, ends_ns: int) -> None:
        """Takes a call that is tried again after a pause that grows with its refusals, at the latest at `ends_ns`."""
        pause_ns = min(_LONGEST_PAUSE_NS, _FIRST_PAUSE_NS << min(call.refusals - 1, 8))
        self._resting[call.submit.task] = call
        self._wheel.add(min(now_ns + pause_ns, ends_ns), call.submit.task)

    def drop(self, call: Call) -> None:
        """The call is placed, or over."""
        self._ready.pop(call.submit.task, None)
        self._resting.pop(call.submit.task, None)

    def wake(self, now_ns: int) -> list[Call]:
        """Makes ready whose pause is over, and returns them."""
        woken = [self._resting.pop(task) for task in self._wheel.take_due(now_ns) if task in self._resting]
        for call in woken:
            self.add(call)
        return woken

    def wake_for_news(self) -> None:
        """Makes ready what may take another shard, now that it is known which can be reached; three times at most."""
        for task, call in list(self._resting.items()):
            if call.may_move and not call.sent and call.refusals <= _AT_ONCE:
                del self._resting[task]
                self.add(call)

    def next_deadline_ns(self) -> int | None:
        """When `wake` next may have something."""
        return self._wheel.next_deadline_ns()
