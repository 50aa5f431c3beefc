"""Who owns a shard next: by membership, in the order of the preference list, with the plain timeout as the fallback."""

import random

import pytest
from nodes import MS, SECOND, Host, Mesh

from hubless.shard.campaigns import Campaigns, place_in_line
from hubless.shard.seats import Surroundings
from hubless.wire.replication import Config

ABC = Config(("a", "b", "c"))


def settled(size: int, *, shards: int = 8, **options) -> Mesh:
    mesh = Mesh(size, shards=shards, **options)
    mesh.run_until_as_wished()
    mesh.run(SECOND)
    return mesh


def around(me: str, well: str = "abc", **others) -> Surroundings:
    sets = {name: frozenset(nodes) for name, nodes in others.items()}
    return Surroundings(me=me, well=frozenset(well), **sets)


# -- who stands in line -----------------------------------------------------------------------------------


def test_the_line_follows_the_preference_list_and_then_the_names():
    config = Config(("a", "b", "c", "d"))
    places = {me: place_in_line(config, ("c", "x", "a"), around(me, "abcd")) for me in "abcd"}
    assert places == {"c": (0, 4), "a": (1, 4), "b": (2, 4), "d": (3, 4)}


def test_the_gone_and_the_doubtful_are_not_in_line():
    assert place_in_line(ABC, "abc", around("b", "bc", gone="a")) == (0, 2)
    assert place_in_line(ABC, "abc", around("a", "bc")) is None


@pytest.mark.parametrize("unfit", ["draining", "full"])
def test_who_should_not_own_stands_only_if_nobody_else_can(unfit):
    assert place_in_line(ABC, "abc", around("b", "bc", gone="a", **{unfit: "b"})) is None
    assert place_in_line(ABC, "abc", around("b", "bc", gone="a", **{unfit: "bc"})) == (0, 2)


def test_both_halves_of_a_joint_configuration_have_candidates():
    joint = Config(("b", "c", "d"), ("a", "b", "c"))
    assert place_in_line(joint, "dcb", around("a", "abcd")) == (3, 4)


def test_a_shard_that_has_lost_its_majority_is_not_campaigned_for():
    campaigns = Campaigns(stagger_ns=10, patience_ns=0, rng=random.Random(1))
    campaigns.wanted(
        0, 1, config=ABC, is_owner_known=True, preference="abc", around=around("c", "c", gone="ab")
    )
    assert campaigns.next_deadline_ns() is None


def test_the_kth_in_line_waits_k_staggers_and_tries_again_after_a_round():
    campaigns = Campaigns(stagger_ns=10, patience_ns=5, rng=random.Random(1))
    opinion = around("c", "bc", gone="a")
    campaigns.wanted(100, 1, config=ABC, is_owner_known=True, preference="abc", around=opinion)
    assert campaigns.due(109) == []
    campaigns.wanted(105, 1, config=ABC, is_owner_known=False, preference="abc", around=opinion)
    assert campaigns.due(110) == [1]
    now_ns = 110
    for round_ns in (20, 40, 80, 160, 320, 320, 320):
        due_ns = campaigns.next_deadline_ns()
        assert round_ns <= due_ns - now_ns <= 1.5 * round_ns
        assert campaigns.due(due_ns - 1) == []
        assert campaigns.due(due_ns) == [1]
        now_ns = due_ns
    campaigns.settled(1)
    assert campaigns.due(10_000) == []


def test_two_at_the_same_place_in_line_do_not_stay_in_step():
    opinion = around("b", "bc", gone="a")
    both = [Campaigns(stagger_ns=1_000, patience_ns=0, rng=random.Random(seed)) for seed in (1, 2)]
    for campaigns in both:
        campaigns.wanted(0, 1, config=ABC, is_owner_known=True, preference="abc", around=opinion)
        assert campaigns.due(0) == [1]
    first, second = (campaigns.next_deadline_ns() for campaigns in both)
    assert first != second


# -- among nodes ------------------------------------------------------------------------------------------


def owned_by(mesh: Mesh, name: str) -> list[int]:
    return sorted(mesh.hosts[name].owning)


def silence(mesh: Mesh, name: str) -> None:
    """Nobody hears from a node any more, and beats are missed; membership has not found out."""
    mesh.part((name,), [other for other in mesh.hosts if other != name])
    mesh.run(3 * mesh.settings.beat_ns)


def tell_doubts(mesh: Mesh, host: Host, doubtful: frozenset[str]) -> None:
    """One node alone doubts others."""
    host.replicas.conditions_changed(
        mesh.now_ns,
        well=frozenset(mesh.hosts) - doubtful,
        doubtful=doubtful,
        gone=frozenset(),
        preferences=mesh.lists.of_shard,
        spares=mesh.lists.spares,
    )
    mesh.put(host, lambda now_ns, out: None)


def test_shards_of_a_dead_owner_have_another_within_a_few_round_trips():
    mesh = settled(5, shards=16)
    shards = owned_by(mesh, "n2")
    assert shards
    mesh.kill("n2")
    took_ns = mesh.run_until(mesh.all_owned)
    assert took_ns < 60 * MS
    for shard in shards:
        assert mesh.row(shard).owner == mesh.preference(shard)[1]


def test_a_busy_owner_is_replaced_and_gets_its_shards_back():
    mesh = settled(3, shards=8)
    shards = owned_by(mesh, "n1")
    silence(mesh, "n1")
    mesh.set_condition("n1", "doubtful")
    took_ns = mesh.run_until(lambda: all(mesh.owner(shard).name != "n1" for shard in shards))
    assert took_ns < 100 * MS
    mesh.run(500 * MS)
    mesh.cut.clear()
    mesh.set_condition("n1", "well")
    mesh.run_until_as_wished(10 * SECOND)


def test_nodes_that_doubt_each_other_and_hear_each_other_leave_the_shards_where_they_are():
    mesh = settled(3, shards=8)
    owners = [(mesh.owner(shard).name, mesh.row(shard).term) for shard in range(8)]
    for host in mesh.hosts.values():
        others = frozenset(mesh.hosts) - {host.name}
        tell_doubts(mesh, host, others)
    mesh.run(3 * SECOND)
    assert [(mesh.owner(shard).name, mesh.row(shard).term) for shard in range(8)] == owners
    assert all(host.replicas.counters.campaigns == 0 for host in mesh.hosts.values())


def test_an_owner_that_only_some_doubt_stays_if_they_are_no_majority():
    mesh = settled(3, shards=4)
    owner = mesh.owner(0)
    other = next(host for name, host in mesh.hosts.items() if host is not owner)
    term = mesh.row(0).term
    mesh.part((owner.name,), (other.name,))
    mesh.run(3 * mesh.settings.beat_ns)
    tell_doubts(mesh, other, frozenset((owner.name,)))
    mesh.run(800 * MS)
    assert mesh.owner(0) is owner
    assert mesh.row(0).term == term
    assert other.replicas.counters.campaigns > 0


def test_without_news_of_members_the_timeout_elects():
    mesh = settled(3, shards=4)
    mesh.crash("n0")
    mesh.hosts["n0"].owning.clear()
    election_ns = mesh.settings.raft.election_ns
    took_ns = mesh.run_until(mesh.all_owned, 10 * SECOND)
    assert took_ns < 5 * election_ns


def test_the_first_in_line_may_be_unable_to_win_and_the_next_one_takes_over():
    """It was cut off while the owner committed; its log is too short (3.6.1)."""
    mesh = settled(3, shards=1)
    first, second, third = mesh.preference(0)
    mesh.part([second], [first, third])
    for _ in range(5):
        mesh.propose(0)
        mesh.run(20 * MS)
    mesh.cut.clear()
    mesh.kill(first)
    took_ns = mesh.run_until(lambda: mesh.owner(0) is not None and mesh.owner(0).name == third)
    assert took_ns < 400 * MS
    assert mesh.lost() == []


def test_ownership_returns_to_the_preferred_node_without_a_visible_pause():
    mesh = settled(3, shards=4)
    shard = owned_by(mesh, "n1")[0]
    mesh.kill("n1")
    mesh.run_until(mesh.all_owned)
    mesh.run(SECOND)
    mesh.restart("n1")
    refused_ns = longest_ns = 0
    end_ns = mesh.now_ns + 10 * SECOND
    while not mesh.is_as_wished():
        assert mesh.now_ns < end_ns, mesh.picture()
        if mesh.propose(shard) is None:
            refused_ns += MS
        else:
            longest_ns, refused_ns = max(longest_ns, refused_ns), 0
        mesh.run(MS)
    assert mesh.row(shard).owner == "n1"
    assert longest_ns <= 20 * MS
    mesh.run(500 * MS)
    assert mesh.lost() == []


def test_a_restarted_node_does_not_take_a_shard_that_it_just_lost():
    mesh = settled(3, shards=8)
    shards = owned_by(mesh, "n1")
    mesh.kill("n1")
    mesh.run_until(mesh.all_owned)
    mesh.restart("n1")
    mesh.run(mesh.settings.moves.settle_ns)
    assert all(mesh.row(shard).owner != "n1" for shard in shards)


def test_owners_are_spread_by_the_ring():
    mesh = settled(5, shards=64)
    owned = [len(host.owning) for host in mesh.hosts.values()]
    assert sum(owned) == 64
    assert min(owned) > 0


def test_an_election_over_a_disk_slower_than_the_stagger_still_ends():
    mesh = settled(5, shards=8)
    for host in mesh.hosts.values():
        host.flush_ns = 4 * mesh.settings.stagger_ns
    mesh.kill("n0")
    mesh.run_until(mesh.all_owned, 5 * SECOND)


def test_the_minority_of_a_partition_owns_nothing_for_long_and_comes_back():
    mesh = settled(5, shards=8)
    few, many = ["n0", "n1"], ["n2", "n3", "n4"]
    mesh.part(few, many)
    mesh.run(4 * SECOND)
    for name in few:
        for shard in mesh.hosts[name].owning:
            voters = mesh.rows(mesh.hosts[name])[shard].config.voters
            assert len(set(voters) & set(few)) > len(voters) // 2
    mesh.cut.clear()
    mesh.run_until_as_wished(20 * SECOND)
