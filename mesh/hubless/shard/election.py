"""How a replica comes to own its shard (dissertation, 3.4, 3.6.1), and how it votes for others.

Nobody enters a term before a quorum has said that it would vote for it (9.6), and nobody votes while it hears from an
owner (4.2.3), unless the membership doubts that owner or the owner itself gave way (3.10).
"""

from hubless.shard import quorum
from hubless.shard.output import Role
from hubless.shard.state import ReplicaState
from hubless.wire.replication import AskVote, Vote
from hubless_gossip.marks import sometimes

_MOST_REFUSED = 8


class Election:
    """Trials, candidacies and votes of one replica."""

    __slots__ = ("_doubted", "_granted_at_ns", "_refused", "_state", "_votes")

    def __init__(self, state: ReplicaState) -> None:
        self._state = state
        self._votes: dict[str, bool] = {}
        self._doubted: str | None = None
        self._granted_at_ns: int | None = None
        self._refused: dict[str, tuple[int, AskVote]] = {}
        """The last trial of each candidate that was refused because the owner was heard, and when."""

    def campaign(self, now_ns: int) -> None:
        """Starts a trial (9.6); won at once if there is no other voter to ask."""
        state = self._state
        state.role = Role.TRIAL
        state.owner = None
        state.counters.trials += 1
        state.draw_timeout(now_ns)
        self._votes = {state.me: True}
        state.is_dirty = True
        if quorum.outcome(state.configs.latest, self._votes):
            self.stand(now_ns, is_transfer=False)
            return
        ask = AskVote(state.shard, state.term + 1, state.log.last_index, state.log.last_term, trial=True)
        self._ask(ask, is_promise=False)

    def stand(self, now_ns: int, *, is_transfer: bool) -> None:
        """Enters the next term as a candidate (3.4). Its own vote, and what asks for others, wait for the disk."""
        state = self._state
        state.role = Role.CANDIDATE
        state.owner = None
        state.enter(state.term + 1, state.me)
        state.draw_timeout(now_ns)
        self._votes = {}
        ask = AskVote(
            state.shard, state.term, state.log.last_index, state.log.last_term, transfer=is_transfer
        )
        self._ask(ask, is_promise=True)

    def _ask(self, ask: AskVote, *, is_promise: bool) -> None:
        state = self._state
        config = state.configs.latest
        send = state.promise if is_promise else state.say
        for node in sorted({*config.voters, *config.outgoing}):
            if node != state.me:
                send(node, ask)

    # -- as a candidate -----------------------------------------------------------------------------------

    def vote_flushed(self) -> bool:
        """A candidate's own vote counts once it is on disk. True when it is elected."""
        if self._state.me in self._votes or not self._state.is_vote_on_disk():
            return False
        self._votes[self._state.me] = True
        return quorum.outcome(self._state.configs.latest, self._votes) is True

    def counted(self, now_ns: int, sender: str, vote: Vote) -> bool:
        """An answer came. True when the candidate is elected."""
        state = self._state
        if vote.term > state.term and not (vote.trial and vote.granted):
            self._overtaken(now_ns, vote)
        elif vote.trial:
            if state.role is Role.TRIAL and (not vote.granted or vote.term == state.term + 1):
                # a refusal may be taken back: the voter has since come to doubt its owner
                self._votes[sender] = vote.granted or self._votes.get(sender, False)
                if quorum.outcome(state.configs.latest, self._votes):
                    self.stand(now_ns, is_transfer=False)
        elif state.role is Role.CANDIDATE and vote.term == state.term:
            self._votes[sender] = vote.granted
            result = quorum.outcome(state.configs.latest, self._votes)
            if result is False:
                sometimes("a candidate was voted down")
                state.follow(now_ns, state.term, None)
            return result is True
        return False

    def _overtaken(self, now_ns: int, vote: Vote) -> None:
        state = self._state
        was_trial = state.role is Role.TRIAL
        state.follow(now_ns, vote.term, None)
        if was_trial and vote.trial:
            sometimes("asked again for votes, in a term that is new to all")
            self.campaign(now_ns)  # the same question, about a term that is new to all

    # -- as a voter ---------------------------------------------------------------------------------------

    def asked(self, now_ns: int, candidate: str, ask: AskVote) -> None:
        """Grants or refuses a vote, or says whether it would."""
        if ask.trial:
            self._asked_trial(now_ns, candidate, ask)
            return
        state = self._state
        if ask.term > state.term:
            if not ask.transfer and self._hears_owner(now_ns):
                state.counters.votes_ignored += 1
                sometimes("ignored a candidate while the owner was heard")
                return
            state.follow(now_ns, ask.term, None)
        is_granted = (
            ask.term == state.term
            and state.vote in {"", candidate}
            and state.log.is_up_to_date(ask.last_index, ask.last_term)
        )
        if is_granted:
            if not state.vote:
                state.enter(state.term, candidate)
            self._granted_at_ns = now_ns
            state.draw_timeout(now_ns)
        elif ask.term == state.term and state.vote in {"", candidate}:
            sometimes("refused a vote to a log that lacks entries")
        state.promise(candidate, Vote(state.shard, state.term, is_granted))

    def supports_another(self, now_ns: int, within_ns: int) -> bool:
        """Whether a vote was given so lately that its candidate may be about to win."""
        return self._granted_at_ns is not None and now_ns - self._granted_at_ns < within_ns

    def _asked_trial(self, now_ns: int, candidate: str, ask: AskVote) -> None:
        state = self._state
        if ask.term <= state.term or not state.log.is_up_to_date(ask.last_index, ask.last_term):
            state.say(candidate, Vote(state.shard, state.term, granted=False, trial=True))
        elif self._hears_owner(now_ns):
            sometimes("a vote refused by CheckQuorum: the owner was heard")
            self._remember(now_ns, candidate, ask)
            state.say(candidate, Vote(state.shard, state.term, granted=False, trial=True))
        else:
            state.say(candidate, Vote(state.shard, ask.term, granted=True, trial=True))

    def _hears_owner(self, now_ns: int) -> bool:
        state = self._state
        if state.role is Role.OWNER:
            return True
        return (
            state.owner is not None
            and state.owner != self._doubted
            and state.heard_at_ns is not None
            and now_ns - state.heard_at_ns < state.settings.election_ns
        )

    def _remember(self, now_ns: int, candidate: str, ask: AskVote) -> None:
        self._refused.pop(candidate, None)
        if len(self._refused) >= _MOST_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[candidate] = (now_ns, ask)

    def doubt(self, now_ns: int, owner: str | None) -> None:
        """Membership doubts this owner (None: nobody). Trials that were refused for its sake are answered now."""
        self._doubted = owner
        if owner is None or owner != self._state.owner:
            return
        refused, self._refused = self._refused, {}
        for candidate, (asked_at_ns, ask) in refused.items():
            if now_ns - asked_at_ns < 2 * self._state.settings.election_ns:
                sometimes("answered a trial again, as the owner has come into doubt")
                self._asked_trial(now_ns, candidate, ask)
