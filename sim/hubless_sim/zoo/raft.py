"""Bugs in how a shard is replicated: votes, logs, quorums, configurations, reads."""

from __future__ import annotations

from collections.abc import Mapping

from hubless.shard import configs, quorum
from hubless.shard.election import Election
from hubless.shard.following import Following
from hubless.shard.log import Log
from hubless.shard.progress import Progress
from hubless.shard.reading import Reads
from hubless.shard.state import ReplicaState
from hubless.shard.tenure import Tenure
from hubless.wire.replication import AskVote, Config, Entry
from hubless_sim.zoo.planting import Bed, Swaps

BED = Bed("raft")


@BED.plant("shards", first=18)
def elects_whoever_asks(swaps: Swaps) -> None:
    """A vote is given without a look at the candidate's log."""
    swaps.put(Log, "is_up_to_date", lambda _self, _index, _term: True)


@BED.plant("shards", first=16)
def votes_again_for_another(swaps: Swaps) -> None:
    """A vote is given although another candidate has had it in the same term."""

    def lavish(self: Election, now_ns: int, candidate: str, ask: AskVote) -> None:
        state = self._state
        if not ask.trial and ask.term == state.term and state.vote not in {"", state.me}:
            state.vote = ""
        asked(self, now_ns, candidate, ask)

    asked = swaps.put(Election, "asked", lavish)


@BED.plant("shards", first=0)
def commits_what_one_too_few_has(swaps: Swaps) -> None:
    """An entry is committed when one voter fewer than a majority has it."""

    def eager(voters: tuple[str, ...], matched: Mapping[str, int]) -> int:
        indexes = sorted(matched.get(voter, 0) for voter in voters)
        return indexes[len(indexes) // 2 + 1] if len(indexes) > 2 else majority(voters, matched)

    majority = swaps.put(quorum, "_majority_index", eager)


@BED.plant("shards", first=3)
def asks_half_of_a_joint_configuration(swaps: Swaps) -> None:
    """While the voters change, only the new ones are asked."""

    def of_one(config: Config, matched: Mapping[str, int]) -> int:
        return committed(Config(config.voters), matched)

    def by_one(config: Config, votes: Mapping[str, bool]) -> bool | None:
        return outcome(Config(config.voters), votes)

    committed = swaps.put(quorum, "committed_index", of_one)
    outcome = swaps.put(quorum, "outcome", by_one)


@BED.plant("shards", first=1)
def counts_the_ring_and_not_the_configuration(swaps: Swaps) -> None:
    """A quorum is one of the nodes that are fed, voters or not."""

    def of_ring(config: Config, matched: Mapping[str, int]) -> int:
        known = tuple(sorted(matched))
        return committed(Config(known[: max(3, len(config.voters))]), matched)

    committed = swaps.put(quorum, "committed_index", of_ring)


@BED.plant("shards", first=7)
def lets_learners_vote(swaps: Swaps) -> None:
    """Who only learns the log is counted like a voter."""

    def with_learners(config: Config, votes: Mapping[str, bool]) -> bool | None:
        return outcome(Config((*config.voters, *config.learners), config.outgoing), votes)

    def also(config: Config, matched: Mapping[str, int]) -> int:
        return committed(Config((*config.voters, *config.learners), config.outgoing), matched)

    outcome = swaps.put(quorum, "outcome", with_learners)
    committed = swaps.put(quorum, "committed_index", also)


@BED.plant("shards", first=4)
def believes_any_log_to_match(swaps: Swaps) -> None:
    """A follower takes entries after one of another term, as long as it has one at that index."""

    def lax(self: Log, index: int, term: int) -> bool:
        return matches(self, index, term) or (index <= self.last_index and self.term(index) > 0)

    matches = swaps.put(Log, "matches", lax)


@BED.plant("shards", first=37)
def commits_whatever_it_has(swaps: Swaps) -> None:
    """A follower commits up to what the owner has committed, and not up to where the logs are known to match."""

    def trusting(self: Following, commit: int) -> None:
        self._matched = max(self._matched, min(commit, self._state.log.last_index))
        advance(self, commit)

    advance = swaps.put(Following, "_advance", trusting)


@BED.plant("shards", first=9)
def keeps_entries_that_another_owner_added(swaps: Swaps) -> None:
    """A follower keeps what is in the place of its owner's entries, and only adds those beyond its end."""

    def keeping(self: Following, entries: tuple[Entry, ...], found: list[tuple[int, Config]]) -> None:
        last = self._state.log.last_index
        extend(self, tuple(each for each in entries if each.index > last) or entries[:0], found)

    def extend(self: Following, entries: tuple[Entry, ...], found: list[tuple[int, Config]]) -> None:
        if entries:
            before(self, entries, found)

    before = swaps.put(Following, "_extend", keeping)


@BED.plant("shards", first=196)
def takes_a_stale_snapshot(swaps: Swaps) -> None:
    """A snapshot that comes late replaces a log that is longer."""
    swaps.put(Following, "is_stale", lambda _self, _message: False)


@BED.plant("shards", first=17)
def writes_the_first_configuration_into_every_snapshot(swaps: Swaps) -> None:
    """A snapshot has the oldest configuration that is known, and not the one that counts at its index."""

    def oldest(self: configs.Configs, _index: int) -> Config:
        config: Config = self._history[0][1]
        return config

    swaps.put(configs.Configs, "at", oldest)


@BED.plant("shards", first=3769)
def forgets_what_a_dismissed_replica_stood_for(swaps: Swaps) -> None:
    """A replica that was forgotten and comes back votes as if it had never had a log."""
    swaps.put(Log, "is_whole", True)

    def of_this_log(self: Log, index: int, term: int) -> bool:
        return (term, index) >= (self.last_term, self.last_index)

    swaps.put(Log, "is_up_to_date", of_this_log)


@BED.plant("shards", first=37)
def reads_without_asking_whether_it_still_owns(swaps: Swaps) -> None:
    """A read is answered without a quorum's word that nobody else owns the shard by now."""

    def everybody(me: str, _asked: object, progress: Mapping[str, Progress]) -> list[str]:
        return [me, *progress]

    swaps.put(Reads, "_followers", staticmethod(everybody))


@BED.plant("shards", first=65)
def reads_before_its_own_term_has_begun(swaps: Swaps) -> None:
    """A new owner answers reads before it knows how far the last one had committed (6.4)."""

    def ready(self: Tenure, now_ns: int, state: ReplicaState) -> None:
        begun(self, now_ns, state)
        self.is_ready = True

    begun = swaps.put(Tenure, "__init__", ready)


@BED.plant("shards", first=4)
def hears_an_owner_that_it_doubts_for_ever(swaps: Swaps) -> None:
    """A voter refuses all candidates for the sake of an owner, whether it hears one or not."""

    swaps.put(Election, "_hears_owner", lambda _self, _now_ns: True)


@BED.plant("shards", first=54)
def looks_for_a_match_in_one_place_only(swaps: Swaps) -> None:
    """An owner whose entries a follower refuses sends it the same ones again, and not earlier ones."""
    swaps.put(Progress, "refused_at", lambda _self, _guess: None)
