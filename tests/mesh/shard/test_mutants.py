"""Rafts with one mistake each, which the cluster must catch: or its silence about the real one means nothing.

Most of them are of the zoo, where sweeps find them too; three need what the faults of sweeps hardly ever bring about.
"""

from collections.abc import Callable, Iterator

import pytest
from cluster import MS, Cluster
from cluster_checks import Violation
from cluster_faults import run_seed

from hubless.shard import configs, quorum
from hubless.shard.state import ReplicaState
from hubless.shard.tenure import Tenure
from hubless.wire.replication import Config
from hubless_sim.zoo import planted

MOST_SEEDS = 400


def caught(
    *,
    only: tuple[str, ...] = (),
    nodes: int = 0,
    prepare: Callable[[Cluster], None] = lambda cluster: None,
) -> str:
    """What gives the mutant away; "" if nothing does in all seeds."""
    for seed in range(MOST_SEEDS):
        try:
            run_seed(f"mutant {seed}", only=only, nodes=nodes, prepare=prepare)
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


def test_answering_before_the_flush_is_caught_3_8() -> None:
    with planted("promises-before-the-flush"):
        assert caught()


def test_forgetting_the_vote_over_a_restart_is_caught_3_8() -> None:
    with planted("forgets-the-vote-over-a-restart"):
        assert "own term" in caught(only=("rivals",) * 3, nodes=3, prepare=slow_network)


def test_counting_replicas_of_older_terms_is_caught_3_6_2(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tenure, "is_countable", lambda self, index: True)
    assert caught(only=("crash_owner", "cut_symmetric", "mend", "doubt"), nodes=5)


def test_a_learner_that_votes_is_caught_4_2_1() -> None:
    with planted("lets-learners-vote"):
        assert caught(only=("change", "cut_symmetric", "mend", "crash_owner"))


def test_a_stale_snapshot_over_a_newer_log_is_caught_5_3() -> None:
    with planted("takes-a-stale-snapshot"):
        assert caught(only=("compact", "crash", "bad_network", "cut_one_way", "mend"))


def test_votes_that_forget_what_the_log_of_a_dismissed_replica_stood_for_are_caught() -> None:
    with planted("forgets-what-a-dismissed-replica-stood-for"):
        assert caught(only=("change", "forget", "forget", "crash", "cut_symmetric", "mend"))
