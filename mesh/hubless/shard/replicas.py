"""All replicas of one node: many small logs that share one journal, one beat and one opinion of the others.

    replicas.receive(now_ns, sender, message, out)      a message of another node's replicas
    replicas.tick_ended(now_ns, out)                    once a tick: one `Commit` for all shards
    replicas.flushed(now_ns, mark, out)                 what was promised in that tick leaves

Only replicas that something happened to are looked at. A replica's answers leave when what they promise is on disk; an
owner's entries leave at once, beside its own write (dissertation, 10.2.1).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice

from hubless.deadlines import earliest
from hubless.effects import NodeEffect, ToPeer
from hubless.shard import contact, orphans
from hubless.shard.beats import Beats
from hubless.shard.campaigns import Campaigns
from hubless.shard.events import ReadReady, Restored
from hubless.shard.orphans import Orphans
from hubless.shard.outcomes import Outcomes
from hubless.shard.private import PRIVATE, with_own
from hubless.shard.records import Recovered
from hubless.shard.roster import Roster
from hubless.shard.settings import ReplicasSettings
from hubless.shard.steering import Steering
from hubless.wire.replication import (
    Append,
    Appended,
    Beat,
    BeatAnswer,
    Dismissed,
    Install,
    Led,
    Orphaned,
    RaftMessage,
    ShardMessage,
)
from hubless_gossip.marks import sometimes

_STAGGERS_FOR_ANOTHER = 5
"""How long a candidate who was given a vote is not disturbed by membership's next campaigner: disks may be slow."""

_BEATS_BEFORE_DOUBT = 2


class Replicas(Outcomes):
    """The replicas of this node, of at most `shards` shards.

    Every input takes the time first and appends to `out` what is to be done, in order. A sender is a node's name: the
    caller drops messages of processes that it knows to be outlived, as an answer of an earlier process of a node says
    nothing about what the present one knows.

    Args:
        me: this node's id.
        shards: how many shards the mesh has.
        rng: chance for election timeouts and pauses between campaigns, and for numbers that no earlier process used.
        recovered: what the journal has, of each shard of which it has anything.
        is_founder: whether this node creates the mesh: then it starts all shards of which `recovered` has nothing, as
            their only voter. Others hold replicas only once an owner adds them.
    """

    def __init__(
        self,
        me: str,
        shards: int,
        *,
        settings: ReplicasSettings,
        rng: random.Random,
        now_ns: int,
        recovered: Sequence[Recovered] = (),
        is_founder: bool = False,
    ) -> None:
        roster = Roster(me, shards, settings, rng)
        campaigns = Campaigns(
            stagger_ns=settings.stagger_ns,
            patience_ns=_BEATS_BEFORE_DOUBT * settings.beat_ns,
            rng=random.Random(f"{rng.getrandbits(64)}:elections"),
        )
        steering = Steering(settings.moves, beat_ns=settings.beat_ns)
        super().__init__(me, settings=settings, roster=roster, campaigns=campaigns, steering=steering)
        self._shards = shards
        self._now_ns = now_ns
        self._beats = Beats(first_number=rng.getrandbits(60))
        self._orphans = Orphans(
            me, enquire_ns=settings.enquire_ns, first_number=rng.getrandbits(60), now_ns=now_ns
        )
        self._states = self._roster.recover(now_ns, recovered, is_founder=is_founder)

    # -- inputs -----------------------------------------------------------------------------------------

    def start(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Tells the machines what was recovered. To be called once, before anything else."""
        states, self._states = self._states, []
        out.extend(Restored(shard, state) for shard, state in states)
        for group in self._groups.values():
            if group.raft.config.voters == (self._me,):
                group.raft.campaign(now_ns)
            self._touch(group)

    def found_private(self, now_ns: int) -> None:
        """Begins this node's own log, unless there is one: `Owning` tells when it can be written to."""
        if PRIVATE not in self._groups and not self._problem:
            group = self._roster.found(now_ns, PRIVATE)
            group.raft.campaign(now_ns)
            self._touch(group)

    def fork(self, now_ns: int, shard: int, above: int) -> int | None:
        """Founds a new lineage of a shard, with the replica here as its only voter; an operator's order, see `fork`.

        Gives the index where it begins, None if this replica cannot. `Owning` tells that it is done.
        """
        group = self._groups.get(shard)
        index = None if group is None or self._problem else group.raft.fork(now_ns, above)
        if group is not None and index is not None:
            self._touch(group)
        return index

    def heard_of(self, now_ns: int, shard: int, owner: str, term: int, out: list[NodeEffect]) -> None:
        """Somebody owns a shard in `term`. If that is of a later lineage than the replica here, what this has goes."""
        group = self._groups.get(shard)
        if group is None or self._problem or not group.raft.knows_less_than(term):
            return
        sometimes("dropped a replica of an earlier lineage")
        group.raft.outlive(now_ns)
        self._look(now_ns, group, out)
        self._forget(group, owner, term, out)

    def propose(self, now_ns: int, shard: int, body: bytes) -> bool:
        """Adds an entry to the shard's log. False: not its owner, or giving way, or too much is uncommitted.

        What was taken may still be lost, if the shard gets another owner: `Committed` says that it was not.
        """
        group = self._led.get(shard)
        if group is None or group.raft.propose(now_ns, body) is None:
            return False
        self._touch(group)
        return True

    def read(self, now_ns: int, shard: int, ticket: int, out: list[NodeEffect]) -> None:
        """Asks for `ReadReady` once the shard's machine holds all that was committed until now."""
        group = self._led.get(shard)
        if group is None or len(self._reads) >= self._settings.most_reads:
            self.counters.reads_refused += group is not None
            out.append(ReadReady(shard, ticket, is_owner=False))
            return
        self._reads[shard, ticket] = None
        group.raft.read(now_ns, ticket)
        self._touch(group)

    def receive(self, now_ns: int, sender: str, message: ShardMessage, out: list[NodeEffect]) -> None:
        """A message of another node's replicas."""
        self._now_ns = max(self._now_ns, now_ns)
        # a process whose journal has failed says nothing else
        if not isinstance(message, BeatAnswer) and self._opinion.set_failed(sender, has_failed=False):
            self._steering.unsettle(self._led)
        match message:
            case Append() | Appended() if not self._problem:  # by far the most
                self._receive(now_ns, sender, message, out)
            case Beat():
                self._beat(now_ns, sender, message, out)
            case _ if self._problem:
                self.counters.distrusted += 1
            case BeatAnswer():
                self._beat_answered(now_ns, sender, message)
            case Orphaned():
                self._orphaned(sender, message, out)
            case Dismissed(number=0, led=led):
                self._say(self._orphans.prompted(sender, led, self._groups), out)
            case Dismissed():
                for group, term in orphans.dismissed(message, self._groups):
                    self._forget(group, sender, term, out)
            case _:
                self._receive(now_ns, sender, message, out)

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Does what is due."""
        self._now_ns = max(self._now_ns, now_ns)
        if self._problem:
            return
        for shard in self._roster.alarms.take_due(now_ns):
            group = self._groups[shard]
            due_ns = group.raft.next_deadline_ns()
            if due_ns is not None and due_ns <= now_ns:
                group.raft.tick(now_ns)
                self._touch(group)
            else:
                self._roster.alarms.set(shard, due_ns)
        self._campaign(now_ns)
        self._say(
            self._orphans.questions(now_ns, self._groups, self._opinion.around, self._opinion.preferences),
            out,
        )
        if self._beat_at_ns is not None and now_ns >= self._beat_at_ns:
            self._beat_all(now_ns, out)
            for group in self._steering.review(now_ns, self._led, self._opinion.around, self._beats):
                self._touch(group)

    def tick_ended(self, now_ns: int, out: list[NodeEffect]) -> None:
        """The tick ends: hands out what came of it, with one commit for all that has to be on disk."""
        self._now_ns = max(self._now_ns, now_ns)
        if self._roster.dirty:
            self._collect(now_ns, out)
        commit = self._flushes.commit()
        if commit is not None:
            self.counters.commits += 1
            out.append(commit)

    def flushed(self, now_ns: int, mark: int, out: list[NodeEffect]) -> None:
        """All commits up to `mark` are on disk. What comes of that is handed out at once; if it has to go to disk in
        turn, `next_deadline_ns` asks for another end of a tick.
        """
        self._now_ns = max(self._now_ns, now_ns)
        if self._problem:
            return
        for group, token, held in self._flushes.flushed(mark):
            self._send(held, out)
            group.raft.flushed(now_ns, token)
            if group.raft.is_dirty and self._roster.is_here(group):
                self._touch(group)
        self._collect(now_ns, out)

    def failed(self, now_ns: int, problem: str, out: list[NodeEffect]) -> None:
        """The journal cannot be relied on: this node votes for nothing and acknowledges nothing until it is restarted.

        Its owners fall silent, and others take over.
        """
        if self._problem:
            return
        sometimes("a journal failed, and its node fell silent")
        self._problem = problem or "unknown"
        for group in self._groups.values():
            group.raft.fail(now_ns, problem)
            self._touch(group)
        self._collect(now_ns, out)
        self._beat_at_ns = None

    def distrust(self, now_ns: int, shard: int, problem: str, out: list[NodeEffect]) -> None:
        """What this node has of one shard is of no use: that replica takes part in nothing until it is replaced."""
        group = self._groups.get(shard)
        if group is not None:
            group.raft.fail(now_ns, problem)
            self._look(now_ns, group, out)

    def full(self, problem: str) -> None:
        """The disk has no room for more work: `is_full` tells the caller to refuse it, and ownership goes to nodes that
        have room.
        """
        sometimes("a full disk refused a commit")
        self._fullness = problem
        self._opinion.set_full(self._me, is_full=True)
        self._steering.unsettle(self._led)

    def has_room(self) -> None:
        """The disk has room again."""
        sometimes("a full disk has room again")
        self._opinion.set_full(self._me, is_full=False)
        self._steering.unsettle(self._led)

    def conditions_changed(
        self,
        now_ns: int,
        *,
        well: frozenset[str],
        doubtful: frozenset[str],
        gone: frozenset[str],
        draining: frozenset[str] = frozenset(),
        preferences: Callable[[int], tuple[str, ...]],
        spares: Callable[[int], tuple[str, ...]],
    ) -> None:
        """Membership's opinion. `well` nodes take part, `doubtful` ones are busy or suspect, `gone` ones dead or have
        left; this node is in one of them. `preferences` gives a shard's target on the newest ring, `spares` who comes
        after it there; both may be asked at any time. Cheap enough to be called for every change of the view.
        """
        self._now_ns = max(self._now_ns, now_ns)
        if self._problem:
            return
        self._opinion.changed(
            well=well,
            doubtful=doubtful,
            gone=gone,
            draining=draining,
            preferences=with_own(self._me, preferences),
            spares=with_own(self._me, spares),
        )
        for group in self._groups.values():
            if self._opinion.consider(now_ns, group):
                self._touch(group)
        for shard, group in self._led.items():
            self._steering.retarget(
                now_ns, group, self._opinion.preferences(shard), self._opinion.spares(shard)
            )
        self._steering.unsettle(self._led)
        self._campaign(now_ns)

    def wants_compaction(self) -> tuple[int, ...]:
        """Shards of which the machines' states are wanted, at most a few at a time: their logs have grown large, or
        followers lack what is not in memory any more.
        """
        large = self._roster.large
        return tuple(islice(large, self._settings.most_compactions)) if large else ()

    def compact(self, shard: int, state: bytes) -> None:
        """The state of a shard's machine, which has been given everything that was `Committed` so far."""
        group = self._groups.get(shard)
        self._roster.large.pop(shard, None)
        if group is None or group.raft.is_damaged:
            return
        if group.handed <= group.raft.snapshot_index and not group.raft.wants_state:
            return
        group.raft.compact(group.handed, state)
        group.limit_bytes = max(self._settings.compact_bytes, 2 * len(state))
        self._touch(group)

    def next_deadline_ns(self) -> int | None:
        """When `tick` is due, and `tick_ended` after it; it may turn out that nothing is."""
        if self._problem:
            return None
        if self._roster.dirty or self._roster.large or self._flushes.records:
            return self._now_ns
        return earliest(
            self._roster.alarms.next_deadline_ns(),
            self._campaigns.next_deadline_ns(),
            self._beat_at_ns,
            self._orphans.due_ns if self._groups else None,
        )

    def _campaign(self, now_ns: int) -> None:
        for shard in self._campaigns.due(now_ns):
            if self._groups[shard].raft.supports_another(
                now_ns, _STAGGERS_FOR_ANOTHER * self._settings.stagger_ns
            ):
                sometimes("left its turn to a candidate that it had voted for")
                continue
            self.counters.campaigns += 1
            self._groups[shard].raft.campaign(now_ns)
            self._touch(self._groups[shard])

    # -- messages ---------------------------------------------------------------------------------------

    def _receive(self, now_ns: int, sender: str, message: RaftMessage, out: list[NodeEffect]) -> None:
        group = self._groups.get(message.shard)
        if isinstance(message, (Append, Install)):
            if message.shard >= self._shards:
                self.counters.foreign += 1
                return
            if group is not None and group.raft.knows_less_than(message.term):
                self.heard_of(now_ns, message.shard, sender, message.term, out)
            group = self._roster.called(now_ns, message.shard)
            if message.term >= group.raft.term:
                group.heard_ns = now_ns
                if not group.raft.is_damaged:
                    group.question = 0
        elif group is None:
            self.counters.strayed += 1
            sometimes("a message came for a replica that is not here")
            return
        group.raft.receive(now_ns, sender, message)
        self._touch(group)

    def _beat(self, now_ns: int, sender: str, beat: Beat, out: list[NodeEffect]) -> None:
        if self._problem:
            out.append(ToPeer(sender, contact.all_broken(beat)))
            return
        answer, touched = contact.beat_heard(
            now_ns, sender, beat, self._groups, self._roster.retired, is_full=self.is_full
        )
        for group in touched:
            self._touch(group)
        out.append(ToPeer(sender, answer))

    def _beat_answered(self, now_ns: int, sender: str, answer: BeatAnswer) -> None:
        sent = self._beats.answered(sender, answer.number)
        if sent is None:
            self.counters.late += 1
            sometimes("an answer to a beat came too late to count")
            return
        is_news = self._opinion.set_full(sender, is_full=answer.is_full)
        if self._opinion.set_failed(sender, has_failed=answer.has_failed) or is_news:
            self._steering.unsettle(self._led)
        heard = contact.answer_heard(now_ns, sender, answer, sent, self._led)
        for group in heard.touched:
            self._touch(group)
        self._steering.unsettle(heard.unsettled)

    def _beat_all(self, now_ns: int, out: list[NodeEffect]) -> None:
        self._beat_at_ns = now_ns + self._settings.beat_ns
        led: dict[str, list[Led]] = {}
        for group in self._led.values():
            told = group.led
            for node in group.others:
                led.setdefault(node, []).append(told)
        for node, beat in self._beats.beat(now_ns, led):
            self.counters.beats += 1
            out.append(ToPeer(node, beat))

    def _orphaned(self, sender: str, asked: Orphaned, out: list[NodeEffect]) -> None:
        answer = orphans.answer(asked, sender, self._led)
        if answer is None:
            return
        for led in answer.led:  # what it had is gone for good: it may come back as a learner
            self._led[led.shard].broken.discard(sender)
        self._steering.unsettle(led.shard for led in answer.led)
        out.append(ToPeer(sender, answer))
