"""Shards that an operator gives a new lineage: the survivor goes on, and those who return have nothing to say."""

from __future__ import annotations

import random

import pytest
from nodes import MS, SECOND, Mesh

from hubless.shard.fork import first_term, forks_of, is_outlived, lineage_of, term_within
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.wire.replication import Config


def settled(size: int = 3, **options: int) -> Mesh:
    mesh = Mesh(size, shards=2, **options)
    mesh.run_until_as_wished()
    for _ in range(5):
        assert mesh.propose(0) is not None
    mesh.run(300 * MS)
    return mesh


def fork(mesh: Mesh, name: str, shard: int = 0) -> int | None:
    index = mesh.running(name).fork(mesh.now_ns, shard, 0)
    mesh.wake(mesh.hosts[name], mesh.now_ns)
    mesh.logs.clear()  # the new lineage's entries are others than those of the old one
    return index


def lose_majority(mesh: Mesh, survivor: str = "n2") -> list[str]:
    lost = [name for name in ("n0", "n1", "n2") if name != survivor]
    for name in lost:
        mesh.kill(name)
    mesh.run(5 * SECOND)
    return lost


def test_the_survivor_owns_the_shard_with_all_that_it_had() -> None:
    mesh = settled()
    lose_majority(mesh)
    assert mesh.owner(0) is None
    assert mesh.rows(mesh.hosts["n2"])[0].condition == "quorum_lost"
    index = fork(mesh, "n2")
    assert index is not None
    mesh.run(100 * MS)
    row = mesh.rows(mesh.hosts["n2"])[0]
    assert mesh.owner(0) is mesh.hosts["n2"]
    assert row.config == Config(("n2",))
    assert forks_of(row.term) == 1
    assert mesh.lost() == []
    assert mesh.propose(0) is not None
    mesh.run(100 * MS)
    assert len(mesh.acked[0]) == 6


def test_a_fork_outlives_a_restart_of_its_founder() -> None:
    mesh = settled()
    lose_majority(mesh)
    fork(mesh, "n2")
    mesh.run(100 * MS)
    mesh.crash("n2")
    mesh.run(SECOND)
    mesh.restart("n2")
    mesh.run(SECOND)
    assert mesh.owner(0) is mesh.hosts["n2"]
    assert mesh.lost() == []


def test_those_who_return_start_with_nothing_and_become_replicas_again() -> None:
    mesh = settled()
    lost = lose_majority(mesh)
    fork(mesh, "n2")
    mesh.run(100 * MS)
    mesh.propose(0)
    for name in lost:
        mesh.restart(name)
    mesh.run_until(lambda: mesh.row(0) is not None and set(mesh.row(0).config.voters) == {"n0", "n1", "n2"})
    mesh.run(SECOND)
    assert mesh.lost() == []
    owner = mesh.owner(0)
    assert owner is not None
    for host in mesh.hosts.values():
        assert host.machines[0] == owner.machines[0]
        assert forks_of(mesh.rows(host)[0].term) == 1


def test_a_majority_that_returns_with_more_brings_nothing_back() -> None:
    """The founder of the new lineage was cut off from the others, who went on: what they did there is void."""
    mesh = settled()
    mesh.part(["n2"], ["n0", "n1"])
    mesh.run(5 * SECOND)
    for _ in range(3):
        assert mesh.propose(0) is not None
    mesh.run(300 * MS)
    before = list(mesh.hosts["n2"].machines[0])
    assert len(before) == 5
    old = mesh.owner(0)
    assert old is not None
    assert old.name != "n2"
    fork(mesh, "n2")
    mesh.run(200 * MS)
    assert 0 in mesh.hosts["n2"].owning
    mesh.acked[0] = before
    mesh.cut.clear()
    mesh.run(200 * MS)
    assert mesh.owner(0) is mesh.hosts["n2"]
    mesh.run_until(lambda: set(mesh.row(0).config.voters) == {"n0", "n1", "n2"})
    mesh.run(2 * SECOND)
    for host in mesh.hosts.values():
        assert host.machines[0] == before
    assert sum(0 in host.owning for host in mesh.hosts.values()) == 1


def test_an_owner_of_an_old_lineage_stops_when_it_hears_of_the_new_one() -> None:
    mesh = settled()
    owner = mesh.owner(0)
    assert owner is not None
    replicas = mesh.running(owner.name)
    term = first_term(owner.owning[0], "n9")
    assert term is not None
    mesh.put(owner, lambda now_ns, out: replicas.heard_of(now_ns, 0, "n9", term, out))
    mesh.put(owner, lambda now_ns, out: replicas.heard_of(now_ns, 1, "n9", 1, out))
    mesh.run(1 * MS)
    assert 0 not in owner.owning
    assert 0 not in mesh.rows(owner)
    assert 1 in mesh.rows(owner)


def test_who_has_no_replica_founds_nothing() -> None:
    replicas = Replicas("n1", 4, settings=ReplicasSettings.local(), rng=random.Random(1), now_ns=0)
    assert replicas.fork(0, 1, 0) is None


def test_lineages_are_in_terms() -> None:
    assert (lineage_of(7), forks_of(7), term_within(7)) == (0, 0, 7)
    first = first_term(7, "n1")
    other = first_term(7, "n2")
    assert first is not None
    assert other is not None
    assert lineage_of(first) != lineage_of(other)
    assert forks_of(first) == forks_of(other) == 1
    assert is_outlived(7, first)
    assert not is_outlived(first + 5, first)
    assert term_within(first + 5) == 5
    second = first_term(max(first, other) + 5, "n1")
    assert second is not None
    assert is_outlived(first, second)
    assert is_outlived(other, second)
    assert second < 2**62


@pytest.mark.parametrize("forks", [4095])
def test_forks_have_an_end(forks: int) -> None:
    term: int | None = 0
    for _ in range(forks):
        assert term is not None
        term = first_term(term, "n1")
    assert term is not None
    assert term < 2**62
    assert first_term(term, "n1") is None
