"""How far one follower is, in its owner's eyes, and what it was sent that it has not answered.

A follower is *probed* with one Append at a time until the logs are known to match somewhere, then *streamed* to without
waiting for answers; where the log no longer reaches back that far it is sent the snapshot, a piece at a time.
"""

import enum
from collections import deque

from hubless.shard.output import RaftSettings
from hubless.shard.records import Snapshot

_MOST_DOUBLINGS = 5


class Mode(enum.Enum):
    """How a follower is served."""

    PROBE = 1
    STREAM = 2
    INSTALL = 3


class Progress:
    """One follower of one owner in one term."""

    __slots__ = (
        "beat_at_ns",
        "first_round",
        "heard_at_ns",
        "in_flight",
        "is_waiting",
        "matched",
        "mode",
        "next_index",
        "node",
        "offset",
        "round",
        "sent_at_ns",
        "silences",
        "snapshot",
    )

    def __init__(self, node: str, next_index: int, first_round: int, now_ns: int) -> None:
        self.node = node
        self.mode = Mode.PROBE
        self.matched = 0
        self.next_index = next_index
        self.first_round = first_round
        """What answers an earlier round was meant for an earlier replica on that node: it proves nothing."""
        self.round = 0
        self.heard_at_ns = now_ns
        self.beat_at_ns = -1
        """When the newest beat was sent that the follower answered."""
        self.in_flight: deque[int] = deque()
        """Last index of each unanswered Append of the stream."""
        self.is_waiting = False
        """An answer is due: to a probe, to the oldest Append of the stream, or to a piece of the snapshot."""
        self.sent_at_ns = 0
        self.silences = 0
        """How often it was repeated what is not answered."""
        self.snapshot: Snapshot | None = None
        self.offset = 0

    def due_ns(self, settings: RaftSettings) -> int:
        """When to repeat what is not answered."""
        return self.sent_at_ns + (settings.resend_ns << min(self.silences, _MOST_DOUBLINGS))

    def sent(self, now_ns: int, last_index: int) -> None:
        """An Append up to `last_index` leaves."""
        if self.mode is Mode.STREAM:
            self.in_flight.append(last_index)
            self.next_index = last_index + 1
            if self.is_waiting:
                return
        self.is_waiting = True
        self.sent_at_ns = now_ns

    def probe(self, next_index: int) -> None:
        """Looks for a place where the logs match, next before `next_index`."""
        self.mode = Mode.PROBE
        self.next_index = next_index
        self.is_waiting = False
        self.in_flight.clear()
        self.snapshot = None

    def install(self, snapshot: Snapshot) -> None:
        """The log does not reach back that far: the follower needs the snapshot."""
        self.mode = Mode.INSTALL
        self.is_waiting = False
        self.in_flight.clear()
        self.snapshot = snapshot
        self.offset = 0

    def matched_at(self, now_ns: int, index: int) -> bool:
        """The follower's log matches up to `index`, on its disk. True if that is further than before."""
        if self.mode is Mode.STREAM:
            in_flight = self.in_flight
            if in_flight and in_flight[0] <= index:
                while in_flight and in_flight[0] <= index:
                    in_flight.popleft()
                self.is_waiting = bool(in_flight)
                self.sent_at_ns = now_ns
        elif self.mode is Mode.PROBE and index >= self.next_index - 1:
            self.mode = Mode.STREAM
            self.is_waiting = False
        if index <= self.matched:
            return False
        self.matched = index
        if index >= self.next_index:
            self.next_index = index + 1
        return True

    def refused_at(self, guess: int) -> None:
        """The logs do not match where they were thought to; they may at `guess`."""
        if self.mode is Mode.STREAM:
            if guess >= self.matched:
                self.probe(guess + 1)
        elif self.mode is Mode.PROBE and max(guess, self.matched) + 1 < self.next_index:
            self.probe(max(guess, self.matched) + 1)

    def expired(self) -> None:
        """Nothing was answered in time: what was sent counts as lost."""
        self.silences += 1
        if self.mode is Mode.INSTALL:
            self.is_waiting = False
        else:
            self.probe(self.matched + 1 if self.mode is Mode.STREAM else self.next_index)
