"""What an owner does from its election to the end of its term, or until it gives way.

Replication and commits (dissertation, 3.5, 3.6.2), whether a quorum still hears it (6.2), reads (6.4), configurations
(4.3) and the transfer of its shard to another (3.10).
"""

from collections.abc import Iterable

from hubless.shard import configs, quorum
from hubless.shard.feeding import Feeding
from hubless.shard.output import NOWHERE, Standing
from hubless.shard.progress import Mode, Progress
from hubless.shard.reading import Reads
from hubless.shard.state import ReplicaState
from hubless.wire.replication import Appended, Installed, TimeoutNow
from hubless_gossip.marks import sometimes

_NEVER_NS = 1 << 62


class Tenure:
    """One owner's term of office."""

    __slots__ = (
        "_check_at_ns",
        "_feeding",
        "_followers",
        "_heir",
        "_heir_due_ns",
        "_is_alone",
        "_is_heir_told",
        "_is_idle",
        "_matched",
        "_now_ns",
        "_progress",
        "_reads",
        "_round",
        "_state",
        "_to_write",
        "first_index",
        "is_ready",
    )

    def __init__(self, now_ns: int, state: ReplicaState) -> None:
        self._state = state
        self._now_ns = now_ns
        self._feeding = Feeding(state)
        self._progress: dict[str, Progress] = {}
        self._followers: list[Progress] = []
        self._matched = {state.me: state.log.stable}
        self._reads = Reads()
        self._round = 0
        self._is_alone = False
        self._is_idle = False
        self._heir: str | None = None
        self._heir_due_ns = 0
        self._is_heir_told = False
        self.is_ready = False
        """An entry of the own term is committed: all that was committed before is known to be (6.4)."""
        self._check_at_ns = now_ns + state.settings.election_ns
        self._to_write = 0
        self.reconfigured()
        self.first_index = state.append(configs.NOTHING, b"")

    def end(self) -> None:
        """Not the owner any more: reads are to be asked elsewhere, and followers are fed by another."""
        state = self._state
        state.reads.extend(self._reads.lost())
        state.snapshot, state.wants_state = None, False

    # -- what is asked of it ------------------------------------------------------------------------------

    def propose(self, body: bytes) -> int | None:
        """Adds an entry; None while it gives way, or if too much is not committed yet."""
        state = self._state
        if self._heir is None:
            log = state.log
            pending = log.bytes_after(state.commit)
            if not pending or pending + len(body) <= state.settings.most_uncommitted_bytes:
                self._is_idle = False
                return state.append(configs.CHANGE, body)
        state.counters.proposals_refused += 1
        sometimes("an owner that gives way refused a proposal")
        return None

    def read(self, now_ns: int, ticket: int) -> None:
        """A linearizable read (6.4)."""
        if self._reads.count >= self._state.settings.most_reads:
            self._state.counters.reads_refused += 1
            self._state.reads.append((ticket, None))
        else:
            self._reads.ask(now_ns, ticket)
            self._is_idle = False
        self._state.is_dirty = True

    def change(self, now_ns: int, voters: Iterable[str], learners: Iterable[str]) -> bool:
        """Starts to change who replicates the shard (4.3); False if it cannot be done now."""
        state = self._state
        known = state.configs
        if not self.is_ready or self._heir is not None or known.latest.outgoing or known.index > state.commit:
            return False
        self._now_ns = now_ns
        target = configs.towards(known.latest, voters, learners)
        if not target.voters or target == known.latest:
            return False
        for node in target.voters:
            if node not in known.latest.voters and not self._may_enter(node):
                return False
        state.append_config(target)
        return True

    def _may_enter(self, node: str) -> bool:
        """Only a learner that has caught up becomes a voter: it must not be what a commit waits for (4.2.1)."""
        return node in self._state.configs.latest.learners and self.standing(node).is_caught_up

    def transfer(self, now_ns: int, to: str) -> bool:
        """Gives way to another voter once it has all entries (3.10); tries that for an election timeout."""
        state = self._state
        if self._heir is not None or to == state.me or to not in state.configs.latest.voters:
            return False
        self._heir = to
        self._is_heir_told = False
        self._heir_due_ns = now_ns + state.settings.election_ns
        self._tell_heir()
        return True

    def _tell_heir(self) -> None:
        state = self._state
        heir = self._heir
        if heir is not None and not self._is_heir_told and self._matched.get(heir) == state.log.last_index:
            self._is_heir_told = True
            state.say(heir, TimeoutNow(state.shard, state.term))

    def standing(self, node: str) -> Standing:
        """How far a follower is; nowhere if the node is none."""
        follower = self._progress.get(node)
        if follower is None:
            return NOWHERE
        lacking = self._state.log.last_index - follower.matched
        return Standing(
            follower.matched,
            follower.mode is Mode.STREAM and lacking <= self._state.settings.most_append_entries,
            follower.offset,
        )

    # -- what comes back ----------------------------------------------------------------------------------

    def appended(self, now_ns: int, sender: str, answer: Appended) -> None:
        """A follower's answer to entries, or to whether this node still leads."""
        follower = self._progress.get(sender)
        state = self._state
        if follower is None or (answer.index > state.log.last_index and not answer.refused):
            state.counters.malformed += follower is not None
            return
        if answer.refused:
            follower.refused_at(state.log.guess(answer.index, answer.index_term))
        elif answer.round < follower.first_round:
            sometimes("an answer was meant for an earlier replica on that node")
            return
        self._now_ns = now_ns
        follower.heard_at_ns = now_ns
        follower.silences = 0
        if not answer.refused and follower.matched_at(now_ns, answer.index):
            self._moved(follower)
        if answer.round > follower.round:
            follower.round = answer.round
            self._answer_reads()
        self._is_idle = False
        state.is_dirty = True

    def installed(self, now_ns: int, sender: str, answer: Installed) -> None:
        """A follower's answer to a piece of the snapshot."""
        follower = self._progress.get(sender)
        if follower is None or answer.round < follower.first_round:
            return
        self._now_ns = now_ns
        follower.heard_at_ns = now_ns
        follower.silences = 0
        snapshot = follower.snapshot
        if snapshot is None or snapshot.index != answer.index:
            sometimes("an answer came to a snapshot that is not sent any more")
            return
        if answer.offset >= len(snapshot.state):
            follower.probe(snapshot.index + 1)
            if follower.matched_at(now_ns, snapshot.index):
                self._moved(follower)
        elif answer.offset != follower.offset:
            follower.offset = answer.offset
            follower.is_waiting = False
        self._is_idle = False
        self._state.is_dirty = True

    def _moved(self, follower: Progress) -> None:
        self._matched[follower.node] = follower.matched
        if follower.matched > self._state.commit:
            self._advance()
        if self._heir is not None:
            self._tell_heir()

    def beat_answered(self, now_ns: int, node: str, sent_at_ns: int) -> None:
        """A follower answered the beat that was sent at `sent_at_ns`."""
        follower = self._progress.get(node)
        if follower is None:
            return
        follower.heard_at_ns = max(follower.heard_at_ns, sent_at_ns)
        follower.beat_at_ns = max(follower.beat_at_ns, sent_at_ns)
        if node == self._heir:  # its link is up just now: what it was told may have been lost
            self._is_heir_told = False
            self._tell_heir()
            self._state.is_dirty = True
        if self._reads.is_asking:
            self._now_ns = now_ns
            self._answer_reads()
            self._state.is_dirty = True
        if follower.silences:
            follower.silences = 0
            if follower.is_waiting and now_ns >= follower.due_ns(self._state.settings):
                self._repeat(follower)

    def flushed(self, now_ns: int) -> None:
        """More of the own log is on disk: only that counts for a commit (10.2.1)."""
        self._now_ns = now_ns
        stable = self._state.log.stable
        if stable > self._matched[self._state.me]:
            self._matched[self._state.me] = stable
            if stable > self._state.commit:
                self._advance()

    # -- commits ------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Commits what a quorum has on disk, if it is of this term; all before it with it (3.6.2)."""
        state = self._state
        index = quorum.committed_index(state.configs.latest, self._matched)
        if index <= state.commit:
            return
        if not self.is_countable(index):
            sometimes("did not commit an earlier term's entry by counting")
            return
        state.commit = index
        state.is_dirty = True
        if not self.is_ready:
            self.is_ready = True
            self._is_idle = False  # reads that waited for it
        if state.configs.index <= index:
            self._config_committed()

    def is_countable(self, index: int) -> bool:
        """Whether the entry may be committed by counting who has it: those of earlier terms may not (3.6.2)."""
        return index >= self.first_index

    def _config_committed(self) -> None:
        state = self._state
        known = state.configs
        if configs.may_leave(known.latest, known.index, state.commit):
            state.append_config(configs.left(known.latest))
        elif not state.is_voter:
            self._give_way()

    def _give_way(self) -> None:
        """The committed configuration is without this node: it hands over, and follows (4.2.2)."""
        state = self._state
        sometimes("an owner that was voted out gave way")
        voters = state.configs.latest.voters
        best = max(voters, key=lambda node: (self._matched.get(node, 0), node))
        state.say(best, TimeoutNow(state.shard, state.term))
        state.follow(self._now_ns, state.term, None)

    def reconfigured(self) -> None:
        """The log holds another configuration: its members are fed from now on (4.1)."""
        state = self._state
        config = state.configs.latest
        wanted = [node for node in quorum.members(config) if node != state.me]
        fresh = [node for node in wanted if node not in self._progress]
        if fresh:
            self._round += 1
        known = self._progress
        self._progress = {
            node: known.get(node) or Progress(node, state.log.last_index + 1, self._round, self._now_ns)
            for node in wanted
        }
        self._followers = list(self._progress.values())
        mine = self._matched[state.me]
        self._matched = {node: follower.matched for node, follower in self._progress.items()}
        self._matched[state.me] = mine
        self._is_alone = quorum.has_quorum(config, (state.me,))
        self._is_idle = False

    # -- the end of a tick, and time ----------------------------------------------------------------------

    def feed(self, now_ns: int) -> None:
        """Sends followers what they lack: what was added in a tick goes out as one Append to each."""
        snapshot = self._state.snapshot
        if self._is_idle and snapshot is None:
            return
        self._is_idle = True
        self._now_ns = now_ns
        is_asking = self.is_ready and self._reads.is_new
        if is_asking:
            self._round += 1
            self._reads.start(self._round, self._state.commit)
            self._reads.sent_at_ns = now_ns
            self._answer_reads()
            is_asking = self._reads.is_asking
        feeding = self._feeding
        feeding.start()
        for follower in self._followers:
            if not feeding.feed(now_ns, follower, self._round) and is_asking:
                feeding.ask(follower, self._round)
        if snapshot is not None and all(follower.snapshot is None for follower in self._followers):
            self._state.snapshot = None

    def wanted_from(self, first: int) -> int:
        """Entries are kept for a follower that lacks less than a snapshot has, wherever it may be."""
        state = self._state
        log = state.log
        for follower in self._followers:
            has = follower.matched if follower.snapshot is None else follower.snapshot.index
            is_within_reach = not has or has + 1 >= log.first_index
            if has + 1 < first and is_within_reach and log.bytes_after(has) <= state.state_bytes:
                first = max(has + 1, log.first_index)
        return first

    def _answer_reads(self) -> None:
        reads = self._reads
        if reads.is_asking:
            state = self._state
            state.reads.extend(reads.confirmed(state.me, state.configs.latest, self._progress))

    def tick(self, now_ns: int) -> None:
        """Time has passed: repeats what is not answered, gives up what cannot be had."""
        state = self._state
        settings = state.settings
        self._now_ns = now_ns
        if self._heir is not None and now_ns >= self._heir_due_ns:
            sometimes("gave up a transfer of ownership")
            self._heir = None
        for follower in self._followers:
            if follower.is_waiting and now_ns >= follower.due_ns(settings):
                self._repeat(follower)
        if self._reads.is_asking and now_ns >= self._reads.sent_at_ns + settings.resend_ns:
            self._reads.sent_at_ns = now_ns
            for follower in self._followers:
                if follower.round < self._round:
                    self._feeding.ask(follower, self._round)
        if not self._is_alone and now_ns >= self._check_at_ns:
            self._check_at_ns = now_ns + settings.election_ns
            self._check_quorum(now_ns)

    def _repeat(self, follower: Progress) -> None:
        follower.expired()
        self._state.counters.resent += 1
        self._state.is_dirty = True
        self._is_idle = False

    def _check_quorum(self, now_ns: int) -> None:
        """An owner that no quorum has answered for an election timeout does not own the shard (6.2)."""
        state = self._state
        oldest = now_ns - state.settings.election_ns
        heard = [follower.node for follower in self._followers if follower.heard_at_ns >= oldest]
        if self._has_written():
            heard.append(state.me)
        if not quorum.has_quorum(state.configs.latest, heard):
            sometimes("an owner that heard no quorum stepped down")
            state.follow(now_ns, state.term, None)

    def _has_written(self) -> bool:
        """Whether all is on the own disk that there was to write at the last check.

        An owner whose disk does not answer adds nothing to a quorum, and who has as little of one would stay for ever.
        """
        log = self._state.log
        has_written = log.stable >= self._to_write
        self._to_write = log.last_index
        return has_written

    def next_deadline_ns(self) -> int | None:
        """When `tick` has something to do; None if nobody else has a vote and nothing is unanswered."""
        settings = self._state.settings
        due_ns = _NEVER_NS if self._is_alone else self._check_at_ns
        for follower in self._followers:
            if follower.is_waiting:
                due_ns = min(due_ns, follower.due_ns(settings))
        if self._heir is not None:
            due_ns = min(due_ns, self._heir_due_ns)
        if self._reads.is_asking:
            due_ns = min(due_ns, self._reads.sent_at_ns + settings.resend_ns)
        return None if due_ns == _NEVER_NS else due_ns
