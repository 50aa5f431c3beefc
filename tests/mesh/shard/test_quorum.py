"""Quorum arithmetic against an implementation that is too plain to be wrong: it tries every set of voters."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from hubless.shard import quorum
from hubless.wire.replication import Config

NODES = tuple("abcdefg")
halves = st.sets(st.sampled_from(NODES), min_size=1).map(lambda nodes: tuple(sorted(nodes)))
configs = st.builds(
    Config,
    halves,
    st.one_of(st.just(()), halves),
    st.sets(st.sampled_from(NODES)).map(lambda n: tuple(sorted(n))),
)


def decides(config: Config, nodes: set[str]) -> bool:
    """Whether there is, in each half, a set of these nodes that no other such set of the half can be apart from."""
    return all(
        any(
            set(some) <= nodes and 2 * len(some) > len(half)
            for size in range(len(half) + 1)
            for some in combinations(half, size)
        )
        for half in (config.voters, config.outgoing)
        if half
    )


@given(config=configs, nodes=st.sets(st.sampled_from(NODES)))
def test_a_quorum_is_a_majority_of_each_half(config: Config, nodes: set[str]) -> None:
    assert quorum.has_quorum(config, nodes) == decides(config, nodes)


@given(config=configs, matched=st.dictionaries(st.sampled_from(NODES), st.integers(0, 9)))
def test_committed_is_the_highest_index_that_a_quorum_has_3_6_2(
    config: Config, matched: dict[str, int]
) -> None:
    had = [
        index
        for index in range(10)
        if decides(config, {node for node in NODES if matched.get(node, 0) >= index})
    ]
    assert quorum.committed_index(config, matched) == max(had)


@given(config=configs, votes=st.dictionaries(st.sampled_from(NODES), st.booleans()))
def test_votes_decide_as_soon_as_no_other_can_change_it_3_4(config: Config, votes: dict[str, bool]) -> None:
    out = [node for node in NODES if node not in votes]
    granted = {node for node, is_granted in votes.items() if is_granted}
    results = {
        decides(config, granted | set(more))
        for size in range(len(out) + 1)
        for more in combinations(out, size)
    }
    expected = results.pop() if len(results) == 1 else None
    assert quorum.outcome(config, votes) is expected


def test_nobody_decides_where_nobody_votes() -> None:
    nobody = Config(())
    assert not quorum.has_quorum(nobody, NODES)
    assert quorum.committed_index(nobody, {"a": 5}) == 0
    assert quorum.outcome(nobody, {"a": True}) is False


def test_learners_receive_the_log_and_decide_nothing_4_2_1() -> None:
    config = Config(("a", "b", "c"), (), ("d", "e"))
    assert quorum.members(config) == ("a", "b", "c", "d", "e")
    assert not quorum.is_voter(config, "d")
    assert not quorum.has_quorum(config, {"a", "d", "e"})


def test_those_on_their_way_out_have_a_vote_4_3() -> None:
    assert quorum.is_voter(Config(("b", "c"), ("a", "b")), "a")
