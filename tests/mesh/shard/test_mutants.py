"""Rafts with one mistake each, which the cluster must catch: or its silence about the real one means nothing."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from cluster import MS, Cluster
from cluster_checks import Violation
from cluster_faults import run_seed

from hubless.shard import configs, quorum
from hubless.shard.following import Following
from hubless.shard.log import Log
from hubless.shard.output import Output
from hubless.shard.raft import Raft
from hubless.shard.state import ReplicaState
from hubless.shard.tenure import Tenure
from hubless.wire.replication import Config

MOST_SEEDS = 400


def caught(
    *,
    raft: Callable[..., Raft] = Raft,
    only: tuple[str, ...] = (),
    nodes: int = 0,
    prepare: Callable[[Cluster], None] = lambda cluster: None,
) -> str:
    """What gives the mutant away; "" if nothing does in all seeds."""
    for seed in range(MOST_SEEDS):
        try:
            run_seed(f"mutant {seed}", raft=raft, only=only, nodes=nodes, prepare=prepare)
        except Violation as violation:
            return str(violation)
    return ""


def slow_network(cluster: Cluster) -> None:
    cluster.delay_ns = (MS, 30 * MS)


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as context:
        yield context


def test_a_quorum_of_those_whom_membership_knows_is_caught(patch: pytest.MonkeyPatch) -> None:
    clusters: list[Cluster] = []

    def in_view(config: Config) -> Config:
        current = clusters[-1].current
        return Config(current.view) if current else config

    committed_index, has_quorum, outcome = quorum.committed_index, quorum.has_quorum, quorum.outcome
    patch.setattr(
        quorum, "committed_index", lambda config, matched: committed_index(in_view(config), matched)
    )
    patch.setattr(quorum, "has_quorum", lambda config, nodes: has_quorum(in_view(config), nodes))
    patch.setattr(quorum, "outcome", lambda config, votes: outcome(in_view(config), votes))
    assert caught(prepare=clusters.append)


def test_leaving_the_joint_configuration_early_is_caught_4_3(patch: pytest.MonkeyPatch) -> None:
    reconfigured = Tenure.reconfigured
    states: dict[int, ReplicaState] = {}
    begun = Tenure.__init__

    def begin(self: Tenure, now_ns: int, state: ReplicaState) -> None:
        states[id(self)] = state
        begun(self, now_ns, state)

    def leave_at_once(self: Tenure) -> None:
        reconfigured(self)
        state = states[id(self)]
        if state.configs.latest.outgoing and state.office is self:
            state.append_config(configs.left(state.configs.latest))

    patch.setattr(Tenure, "__init__", begin)
    patch.setattr(Tenure, "reconfigured", leave_at_once)
    assert caught(only=("change", "cut_symmetric", "mend", "crash_owner", "bad_network"))


class AnswersBeforeTheFlush(Raft):
    __slots__ = ()

    def take(self, now_ns: int) -> Output:
        output = super().take(now_ns)
        output.now += output.held
        output.held = []
        return output


def test_answering_before_the_flush_is_caught_3_8() -> None:
    assert caught(raft=AnswersBeforeTheFlush)


class ForgetsItsVote(Raft):
    __slots__ = ()

    def __init__(self, *, recovered: object, **others: object) -> None:
        super().__init__(recovered=msgspec.structs.replace(recovered, vote=""), **others)  # type: ignore[arg-type]


def test_forgetting_the_vote_over_a_restart_is_caught_3_8() -> None:
    assert "own term" in caught(raft=ForgetsItsVote, only=("rivals",) * 3, nodes=3, prepare=slow_network)


def test_counting_replicas_of_older_terms_is_caught_3_6_2(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tenure, "is_countable", lambda self, index: True)
    assert caught(only=("crash_owner", "cut_symmetric", "mend", "doubt"), nodes=5)


def test_a_learner_that_votes_is_caught_4_2_1(patch: pytest.MonkeyPatch) -> None:
    outcome = quorum.outcome

    def with_learners(config: Config, votes: dict[str, bool]) -> bool | None:
        return outcome(Config((*config.voters, *config.learners), config.outgoing), votes)

    patch.setattr(quorum, "outcome", with_learners)
    assert caught(only=("change", "cut_symmetric", "mend", "crash_owner"))


def test_a_stale_snapshot_over_a_newer_log_is_caught_5_3(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Following, "is_stale", lambda self, message: False)
    assert caught(only=("compact", "crash", "bad_network", "cut_one_way", "mend"))


def test_votes_that_forget_what_the_log_of_a_dismissed_replica_stood_for_are_caught(
    patch: pytest.MonkeyPatch,
) -> None:
    patch.setattr(Log, "is_whole", True)
    patch.setattr(
        Log,
        "is_up_to_date",
        lambda self, index, term: (term, index) >= (self.last_term, self.last_index),
    )
    assert caught(only=("change", "forget", "forget", "crash", "cut_symmetric", "mend"))
