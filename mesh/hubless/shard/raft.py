"""Raft: one replica of one shard, per Ongaro's dissertation ("Consensus: Bridging Theory and Practice", 2014), whose
sections the docstrings here and in the sibling modules name.

No I/O, no clock, no chance of its own. Whoever drives it calls in what happens, collects with `take` at the end of
the tick what comes of it, writes the records, and says with `flushed` that they are on disk. In between nothing leaves
that depends on them.
"""

import random
from collections.abc import Iterable
from typing import assert_never

from hubless.shard.arrivals import Arrivals
from hubless.shard.election import Election
from hubless.shard.following import Following
from hubless.shard.fork import first_term
from hubless.shard.output import NOWHERE, Counters, Output, RaftSettings, Role, Standing
from hubless.shard.records import Record, Recovered
from hubless.shard.state import ReplicaState
from hubless.shard.tenure import Tenure
from hubless.wire.replication import (
    Append,
    Appended,
    AskVote,
    Config,
    Install,
    Installed,
    RaftMessage,
    TimeoutNow,
    Vote,
)
from hubless_gossip.marks import sometimes

__all__ = ["Output", "Raft", "RaftSettings", "Role", "Standing"]


class Raft:
    """One replica. `config` founds the group: the same on all of its first members, None on who is added later.

    A replica that has anything on disk follows that, and ignores `config`. `arrivals` is what all replicas of a node
    have in common; None: this is the only one.
    """

    __slots__ = ("_election", "_following", "_state", "_tenure")

    def __init__(
        self,
        *,
        me: str,
        recovered: Recovered,
        config: Config | None,
        settings: RaftSettings,
        rng: random.Random,
        now_ns: int,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._state = state = ReplicaState(me, recovered, settings, rng, now_ns)
        self._election = Election(state)
        self._following = Following(state, arrivals or Arrivals(settings.most_state_bytes))
        self._tenure: Tenure | None = None
        # a term above 1 or a vote says that there was more here once: to found it again would make it two
        is_new = state.log.last_index == 0 and state.term <= 1 and not state.vote and not state.damage
        if config is not None and is_new:
            state.enter(1, "")
            state.append_config(config)

    # -- facts --------------------------------------------------------------------------------------------

    @property
    def shard(self) -> int:
        """Number of the shard."""
        return self._state.shard

    @property
    def me(self) -> str:
        """Name of the node."""
        return self._state.me

    @property
    def role(self) -> Role:
        """What the replica does now."""
        return self._state.role

    @property
    def term(self) -> int:
        """The latest term it knows of."""
        return self._state.term

    @property
    def owner(self) -> str | None:
        """Who owns the shard in this term, if that is known."""
        return self._state.owner

    @property
    def office(self) -> tuple[Role, str | None, int]:
        """Role, owner and term at once, for those who ask often."""
        state = self._state
        return state.role, state.owner, state.term

    @property
    def commit(self) -> int:
        """Highest index that is known to be committed."""
        return self._state.commit

    @property
    def last_index(self) -> int:
        """Index of the last entry, on disk or not."""
        return self._state.log.last_index

    @property
    def snapshot_index(self) -> int:
        """Up to where the log is compacted; 0 if it is not."""
        return self._state.log.snapshot_index

    @property
    def config(self) -> Config:
        """The latest configuration in the log, committed or not (4.1); without voters if there is none."""
        return self._state.configs.latest

    @property
    def is_config_committed(self) -> bool:
        """Whether `config` is known to be committed."""
        return self._state.configs.index <= self._state.commit

    @property
    def is_changing(self) -> bool:
        """Whether a change of the configuration is under way: the latest is joint, or not known to be committed."""
        return bool(self.config.outgoing) or not self.is_config_committed

    @property
    def is_voter(self) -> bool:
        """Whether the latest configuration gives this replica a vote."""
        return self._state.is_voter

    @property
    def is_ready(self) -> bool:
        """Owner, and the first entry of its term is committed: it knows all that ever was (6.4)."""
        return self._owned is not None and self._owned.is_ready

    @property
    def is_damaged(self) -> bool:
        """What is on disk cannot be trusted: it takes part in nothing."""
        return bool(self._state.damage)

    @property
    def damage(self) -> str:
        """What cannot be trusted, and where; "" if all can."""
        return self._state.damage

    @property
    def is_dirty(self) -> bool:
        """Whether `take` has something to give."""
        return self._state.is_dirty

    @property
    def log_bytes(self) -> int:
        """Bytes of the entries after the snapshot: of the log on disk."""
        return self._state.log.uncompacted_bytes

    @property
    def first_index(self) -> int:
        """Index of the first entry in memory, or where it would be."""
        return self._state.log.first_index

    @property
    def wants_state(self) -> bool:
        """Whether a follower waits for a `compact`, as what it lacks is not in memory any more."""
        return self._state.wants_state

    @property
    def counters(self) -> Counters:
        """What was refused or dropped."""
        return self._state.counters

    def progress(self, node: str) -> Standing:
        """How far a follower is; nowhere if this replica is no owner, or the node none of its followers."""
        owned = self._owned
        return NOWHERE if owned is None else owned.standing(node)

    def term_at(self, index: int) -> int | None:
        """Term of an entry; None if it is compacted or not there."""
        term = self._state.log.term(index)
        return None if term < 0 else term

    @property
    def _owned(self) -> Tenure | None:
        return self._tenure if self._state.office is not None else None

    # -- what the node asks -------------------------------------------------------------------------------

    def propose(self, now_ns: int, body: bytes) -> int | None:  # noqa: ARG002 every input has its time
        """Adds an entry to the log; nothing is sent before `take`.

        Gives its index, or None: not the owner, giving way, or too much is not committed yet. That an index was given
        does not mean that the entry will be committed.
        """
        owned = self._owned
        return None if owned is None else owned.propose(body)

    def change(self, now_ns: int, voters: Iterable[str], learners: Iterable[str]) -> bool:
        """Starts to change who replicates the shard (4.3); the owner leaves the joint configuration by itself.

        False: not a ready owner, another change is under way, nothing would change, or a new voter is not a learner
        that has caught up.
        """
        owned = self._owned
        return owned is not None and owned.change(now_ns, voters, learners)

    def transfer(self, now_ns: int, to: str) -> bool:
        """Gives way to another voter (3.10). Proposals are refused until it has taken over, or for `election_ns`."""
        owned = self._owned
        return owned is not None and owned.transfer(now_ns, to)

    def read(self, now_ns: int, ticket: int) -> None:
        """Asks from which index a read would be linearizable (6.4); the answer is among `Output.reads`."""
        owned = self._owned
        if owned is not None:
            owned.read(now_ns, ticket)
        else:
            self._state.reads.append((ticket, None))
            self._state.is_dirty = True

    def compact(self, index: int, state: bytes) -> None:
        """`state` is the machine's after it applied `index`, which must have been handed out; older entries go.

        If it `wants_state`, `index` may be that of the last snapshot, of which nothing stays in memory.
        """
        self._state.compact(index, state)

    def forgotten(self) -> list[Record]:
        """What to write when this replica is given up, because a committed configuration is without it.

        A later replica on this node starts from what that leaves: its votes keep what this one's log stood for.
        """
        self._following.stop_collecting()
        return self._state.forgotten()

    def campaign(self, now_ns: int) -> None:
        """Starts a trial at once (9.6): the membership says that the owner is gone.

        Owners, candidates and those without a vote do nothing.
        """
        state = self._state
        if state.can_campaign and state.role in {Role.FOLLOWER, Role.TRIAL}:
            self._election.campaign(now_ns)

    def supports_another(self, now_ns: int, within_ns: int) -> bool:
        """Whether it voted for another so lately that a campaign would most likely only get in the way."""
        return self._election.supports_another(now_ns, within_ns)

    def fork(self, now_ns: int, above: int) -> int | None:
        """Founds a new lineage of the shard, of which this replica is the only voter: an operator's order, against all
        rules of Raft (see `hubless.shard.fork`). `above` is the highest term that is known anywhere.

        Gives the index from which on the new lineage's log is its own; None if this replica cannot.
        """
        state = self._state
        latest = max(above, state.term, state.log.floor_term)
        term = first_term(latest, state.me)
        if state.damage or state.is_outlived or term is None or not state.configs.latest.voters:
            return None
        sometimes("founded a new lineage of a shard")
        state.follow(now_ns, state.term, None)
        state.enter(term, "")
        state.append_config(Config((state.me,)))
        index = state.log.last_index
        self._election.campaign(now_ns)
        return index

    @property
    def is_outlived(self) -> bool:
        """Whether the shard has a later lineage than this replica's."""
        return self._state.is_outlived

    def outlive(self, now_ns: int) -> None:
        """The shard has a later lineage: this replica speaks for it no more."""
        self._following.stop_collecting()
        self._state.outlive(now_ns)

    def knows_less_than(self, term: int) -> bool:
        """Whether a term is of a later lineage of the shard than what this replica has."""
        return self._state.knows_less_than(term)

    @property
    def last_term(self) -> int:
        """Term of the last entry, on disk or not."""
        return self._state.log.last_term

    def doubt_owner(self, now_ns: int, is_doubted: bool) -> None:
        """The membership's opinion of the current `owner`, to be given anew when that changes.

        While it is doubted, hearing it is no reason to refuse a trial or a vote (4.2.3, 9.6), and trials that were just
        refused for that reason are answered again.
        """
        if not self._state.damage:
            self._election.doubt(now_ns, self._state.owner if is_doubted else None)

    def has_heard_since(self, then_ns: int) -> bool:
        """Whether the owner was heard at that time or later, by a message of its own or a beat."""
        heard_at_ns = self._state.heard_at_ns
        return heard_at_ns is not None and heard_at_ns >= then_ns

    def fail(self, now_ns: int, problem: str) -> None:
        """The journal cannot be trusted any more: takes part in nothing from now on."""
        self._state.damage = self._state.damage or problem
        self._following.stop_collecting()
        self._state.follow(now_ns, self._state.term, None)

    # -- what arrives -------------------------------------------------------------------------------------

    def receive(self, now_ns: int, sender: str, message: RaftMessage) -> None:
        """A message of another replica of this shard."""
        state = self._state
        may_be_mute = state.damage or state.is_outlived or message.term > state.term
        if may_be_mute and self._is_mute(now_ns, message.term, is_told=not isinstance(message, AskVote)):
            return  # who asks for a vote may be mistaken in asking here
        match message:
            case Append():
                self._following.append(now_ns, sender, message)
            case Appended() | Installed():
                if message.term > state.term:
                    state.follow(now_ns, message.term, None)
                elif message.term == state.term:
                    self._answered(now_ns, sender, message)
            case AskVote():
                self._election.asked(now_ns, sender, message)
            case Vote():
                if self._election.counted(now_ns, sender, message):
                    self._take_office(now_ns)
            case Install():
                self._following.install(now_ns, sender, message)
            case TimeoutNow():
                if message.term == state.term and state.can_campaign and state.role is not Role.OWNER:
                    sometimes("stood at once, as the owner gave way to it")
                    self._election.stand(now_ns, is_transfer=True)
            case _:
                assert_never(message)

    def _is_mute(self, now_ns: int, term: int, *, is_told: bool = True) -> bool:
        """Whether this replica must not speak for the shard: it is damaged, or `term` is of a later lineage."""
        state = self._state
        if state.damage or state.is_outlived:
            return True
        if not state.knows_less_than(term):
            return False
        if is_told:
            state.outlive(now_ns)
        return True

    def _answered(self, now_ns: int, sender: str, message: Appended | Installed) -> None:
        owned = self._owned
        if owned is None:
            return
        if isinstance(message, Appended):
            owned.appended(now_ns, sender, message)
        else:
            owned.installed(now_ns, sender, message)

    def heard_owner(self, now_ns: int, owner: str, term: int, commit: int) -> bool:
        """A beat says that `owner` leads in `term`: stands for an empty Append without the look at the log.

        False if this replica's own term is higher, which the caller answers; or if it is damaged, and answers nothing.
        """
        return not self._is_mute(now_ns, term) and self._following.beat(now_ns, owner, term, commit)

    def heard_follower(self, now_ns: int, node: str, sent_at_ns: int) -> None:
        """`node` follows this owner: so says its answer to the beat that was sent at `sent_at_ns`."""
        owned = self._owned
        if owned is not None:
            owned.beat_answered(now_ns, node, sent_at_ns)

    def saw_term(self, now_ns: int, term: int) -> None:
        """Somebody is in `term`; if that is later than the own one, follows."""
        if not self._is_mute(now_ns, term) and term > self._state.term:
            sometimes("an owner learned from a beat's answer that there is a later term")
            self._state.follow(now_ns, term, None)

    def flushed(self, now_ns: int, token: int) -> None:
        """The records of the output with that token are on disk, and so are all earlier ones."""
        state = self._state
        if token <= state.flushed_token or state.damage:
            return
        state.flushed_token = token
        state.log.flushed(token)
        owned = self._owned
        if owned is not None:
            owned.flushed(now_ns)
        elif state.role is Role.CANDIDATE and self._election.vote_flushed():
            self._take_office(now_ns)

    def _take_office(self, now_ns: int) -> None:
        state = self._state
        if state.configs.latest.outgoing:
            sometimes("owner changed during joint configuration")
        if state.configs.index > state.commit:
            sometimes("owner changed before a configuration was known to be committed")
        state.role = Role.OWNER
        state.owner = state.me
        state.counters.elections_won += 1
        state.office = self._tenure = Tenure(now_ns, state)

    # -- time and the end of a tick -----------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Time has passed; does nothing before `next_deadline_ns`."""
        owned = self._owned
        if owned is not None:
            owned.tick(now_ns)
        elif now_ns >= self._state.due_ns and self._state.can_campaign:
            sometimes("nobody was heard for an election timeout, and membership had not said so")
            self._election.campaign(now_ns)

    def next_deadline_ns(self) -> int | None:
        """When `tick` has something to do; None if never."""
        state = self._state
        if state.office is not None and self._tenure is not None:
            return self._tenure.next_deadline_ns()
        return state.due_ns if state.can_campaign else None

    def take(self, now_ns: int) -> Output:
        """All that came of the events since the last call, in the order in which it must be handled."""
        state = self._state
        if state.office is not None and self._tenure is not None:
            self._tenure.feed(now_ns)
        else:
            self._following.answer()
        return state.output()
