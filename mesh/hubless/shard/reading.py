"""Linearizable reads without the log (dissertation, 6.4).

A read may use what was committed when it was asked for, once a quorum has confirmed, later than that, that the owner
still leads. No clock is trusted. All that is asked in one tick shares one round of asking.
"""

from collections import deque
from collections.abc import Collection, Mapping
from typing import NamedTuple

from hubless.shard import quorum
from hubless.shard.progress import Progress
from hubless.wire.replication import Config


class Round(NamedTuple):
    """Reads that one round of asking confirms."""

    number: int
    read_index: int
    asked_at_ns: int
    tickets: list[int]


class Reads:
    """Reads of one owner in one term."""

    __slots__ = ("_asked_at_ns", "_new", "_rounds", "count", "sent_at_ns")

    def __init__(self) -> None:
        self._new: list[int] = []
        self._asked_at_ns = 0
        self._rounds: deque[Round] = deque()
        self.count = 0
        self.sent_at_ns = 0
        """When the newest round was asked, or asked again."""

    @property
    def is_asking(self) -> bool:
        """Whether answers to a round are awaited."""
        return bool(self._rounds)

    @property
    def is_new(self) -> bool:
        """Whether there are reads that no round covers yet."""
        return bool(self._new)

    def ask(self, now_ns: int, ticket: int) -> None:
        """One more read, for the next round."""
        self._new.append(ticket)
        self._asked_at_ns = now_ns
        self.count += 1

    def start(self, number: int, index: int) -> None:
        """Round `number` covers all that is new, which may be answered from `index` on."""
        self._rounds.append(Round(number, index, self._asked_at_ns, self._new))
        self._new = []

    def confirmed(
        self, me: str, config: Config, progress: Mapping[str, Progress]
    ) -> list[tuple[int, int | None]]:
        """(ticket, index) of the reads that a quorum has confirmed by now."""
        answered: list[tuple[int, int | None]] = []
        while self._rounds and quorum.has_quorum(config, self._followers(me, self._rounds[0], progress)):
            done = self._rounds.popleft()
            answered.extend((ticket, done.read_index) for ticket in done.tickets)
            self.count -= len(done.tickets)
        return answered

    @staticmethod
    def _followers(me: str, asked: Round, progress: Mapping[str, Progress]) -> Collection[str]:
        return [
            me,
            *(
                node
                for node, follower in progress.items()
                if follower.round >= asked.number or follower.beat_at_ns > asked.asked_at_ns
            ),
        ]

    def lost(self) -> list[tuple[int, int | None]]:
        """All that waits, to be asked elsewhere."""
        tickets = [ticket for done in self._rounds for ticket in done.tickets] + self._new
        self._rounds.clear()
        self._new = []
        self.count = 0
        return [(ticket, None) for ticket in tickets]
