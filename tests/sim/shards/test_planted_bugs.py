"""Bugs planted in the replicas, one at a time: a few fixed seeds must find each of them, and say what is wrong.

Every one replaces one rule of the protocol by something that nearly always works.
"""

from collections.abc import Callable, Mapping

import pytest
from msgspec.structs import replace

from hubless.shard import quorum
from hubless.shard.election import Election
from hubless.shard.log import Log
from hubless.shard.progress import Progress
from hubless.shard.reading import Reads
from hubless.shard.records import Recovered
from hubless.shard.state import ReplicaState
from hubless.wire.replication import Config, RaftMessage
from hubless_sim.search.sweep import violations_of
from hubless_sim.shards.registers import Put, Registers
from hubless_sim.world.disk import Contents

Plant = Callable[[pytest.MonkeyPatch], None]

SEEDS = 150


def promises_before_the_flush(patch: pytest.MonkeyPatch) -> None:
    def promise(self: ReplicaState, to: str, message: RaftMessage) -> None:
        self.say(to, message)

    patch.setattr(ReplicaState, "promise", promise)


def forgets_the_vote_over_a_restart(patch: pytest.MonkeyPatch) -> None:
    recovered = Contents.recovered

    def forgetful(self: Contents) -> tuple[Recovered, ...]:
        return tuple(replace(each, vote="") for each in recovered(self))

    patch.setattr(Contents, "recovered", forgetful)


def commits_what_one_more_has(patch: pytest.MonkeyPatch) -> None:
    def eager(voters: tuple[str, ...], matched: Mapping[str, int]) -> int:
        indexes = sorted(matched.get(voter, 0) for voter in voters)
        return indexes[-2] if len(indexes) > 1 else indexes[-1] if indexes else 0

    patch.setattr(quorum, "_majority_index", eager)


def asks_the_new_half_of_a_joint_configuration_alone(patch: pytest.MonkeyPatch) -> None:
    committed, outcome = quorum.committed_index, quorum.outcome

    def of_one(config: Config, matched: Mapping[str, int]) -> int:
        return committed(Config(config.voters), matched)

    def by_one(config: Config, votes: Mapping[str, bool]) -> bool | None:
        return outcome(Config(config.voters), votes)

    patch.setattr(quorum, "committed_index", of_one)
    patch.setattr(quorum, "outcome", by_one)


def counts_the_ring_and_not_the_configuration(patch: pytest.MonkeyPatch) -> None:
    committed = quorum.committed_index

    def of_ring(config: Config, matched: Mapping[str, int]) -> int:
        known = tuple(sorted(matched))
        return committed(Config(known[: max(3, len(config.voters))]), matched)

    patch.setattr(quorum, "committed_index", of_ring)


def elects_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "is_up_to_date", lambda _self, _index, _term: True)


def believes_any_log_to_match(patch: pytest.MonkeyPatch) -> None:
    matches = Log.matches

    def lax(self: Log, index: int, term: int) -> bool:
        return matches(self, index, term) or (index <= self.last_index and self.term(index) > 0)

    patch.setattr(Log, "matches", lax)


def reads_without_asking_whether_it_still_owns(patch: pytest.MonkeyPatch) -> None:
    def everybody(me: str, asked: object, progress: Mapping[str, Progress]) -> list[str]:
        return [me, *progress]

    patch.setattr(Reads, "_followers", staticmethod(everybody))


def hears_an_owner_that_it_doubts_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Election, "_hears_owner", lambda _self, _now_ns: True)


def applies_a_repeated_request_twice(patch: pytest.MonkeyPatch) -> None:
    apply = Registers.apply

    def again(self: Registers, body: bytes) -> Put:
        self._done.clear()
        return apply(self, body)

    patch.setattr(Registers, "apply", again)


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (promises_before_the_flush, "acknowledged"),
        (forgets_the_vote_over_a_restart, "voted for"),
        (commits_what_one_more_has, "only on the disks of"),
        (asks_the_new_half_of_a_joint_configuration_alone, "only on the disks of"),
        (counts_the_ring_and_not_the_configuration, "only on the disks of"),
        (elects_whoever_asks, "which was committed before"),
        (believes_any_log_to_match, "committed"),
        (reads_without_asking_whether_it_still_owns, "not linearizable"),
        (hears_an_owner_that_it_doubts_for_ever, "does not live"),
        (applies_a_repeated_request_twice, "not linearizable"),
    ],
)
def test_a_planted_bug_is_found(plant: Plant, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    texts = (text for seed in range(SEEDS) for text in violations_of(seed))
    assert any(found in text for text in texts)
