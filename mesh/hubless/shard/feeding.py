"""What an owner sends to a follower: entries, or pieces of its snapshot, as far as its window is open."""

from hubless.shard.log import Log
from hubless.shard.progress import Mode, Progress
from hubless.shard.state import ReplicaState
from hubless.wire.replication import Append, Install
from hubless_gossip.marks import sometimes


class Feeding:
    """Builds messages for followers. Those of them that are equally far are sent one and the same."""

    __slots__ = ("_last", "_last_next", "_state")

    def __init__(self, state: ReplicaState) -> None:
        self._state = state
        self._last: Append | None = None
        self._last_next = -1

    def start(self) -> None:
        """A tick's messages begin: nothing built before is sent again."""
        self._last = None
        self._last_next = -1

    def feed(self, now_ns: int, follower: Progress, asked_round: int) -> bool:
        """Sends what the follower lacks and may be sent. True if it was sent an Append."""
        if follower.mode is Mode.STREAM:
            return self._stream(now_ns, follower, asked_round)
        if follower.is_waiting:
            return False
        if follower.mode is Mode.PROBE:
            first = self._state.log.first_index
            if follower.silences:  # only the place is looked for: a dead follower is not worth the bytes
                follower.next_index = max(follower.next_index, first)
            if follower.next_index >= first:
                self._send(now_ns, follower, asked_round, is_empty=follower.silences > 0)
                return True
        self._send_piece(now_ns, follower, asked_round)
        return False

    def ask(self, follower: Progress, asked_round: int) -> None:
        """Asks whether this node still leads, without a look at the log: what precedes it matches everywhere."""
        state = self._state
        state.say(follower.node, Append(state.shard, state.term, 0, 0, 0, (), asked_round))

    def _stream(self, now_ns: int, follower: Progress, asked_round: int) -> bool:
        log: Log = self._state.log
        if follower.next_index < log.first_index:
            self._send_piece(now_ns, follower, asked_round)
            return False
        window = self._state.settings.window
        is_sent = False
        while follower.next_index <= log.last_index and len(follower.in_flight) < window:
            self._send(now_ns, follower, asked_round, is_empty=False)
            is_sent = True
        return is_sent

    def _send(self, now_ns: int, follower: Progress, asked_round: int, *, is_empty: bool) -> None:
        state = self._state
        next_index = follower.next_index
        message = self._last
        if is_empty or message is None or self._last_next != next_index:
            settings = state.settings
            log = state.log
            previous = next_index - 1
            message = Append(
                state.shard,
                state.term,
                previous,
                log.term(previous),
                state.commit,
                ()
                if is_empty
                else log.batch(next_index, settings.most_append_bytes, settings.most_append_entries),
                asked_round,
            )
            if not is_empty:
                self._last, self._last_next = message, next_index
        state.say(follower.node, message)
        follower.sent(now_ns, next_index + len(message.entries) - 1)

    def _send_piece(self, now_ns: int, follower: Progress, asked_round: int) -> None:
        state = self._state
        snapshot = follower.snapshot
        if snapshot is None:
            snapshot = state.snapshot
            if snapshot is None or snapshot.index + 1 < state.log.first_index:
                state.wants_state = True
                return
            sometimes("a follower needed what only a snapshot has")
            follower.install(snapshot)
        elif snapshot.index < state.log.snapshot_index:
            sometimes("went on sending a snapshot although there is a newer one")
        offset = follower.offset
        piece = snapshot.state[offset : offset + state.settings.chunk_bytes]
        state.say(
            follower.node,
            Install(
                state.shard,
                state.term,
                snapshot.index,
                snapshot.term,
                snapshot.config,
                offset,
                len(snapshot.state),
                piece,
                asked_round,
            ),
        )
        follower.is_waiting = True
        follower.sent_at_ns = now_ns
