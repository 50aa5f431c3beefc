"""Replicas follow the members: joins, leaves, deaths, drains, all under load, and nothing acknowledged is lost."""

import pytest
from nodes import MS, SECOND, Mesh

from hubless.shard.output import RaftSettings
from hubless.shard.settings import ReplicasSettings
from hubless.wire.replication import Dismissed, Led


def settled(size: int, *, shards: int = 8, **options) -> Mesh:
    mesh = Mesh(size, shards=shards, **options)
    mesh.run_until_as_wished()
    mesh.run(500 * MS)
    return mesh


def load(mesh: Mesh, duration_ns: int, *, every_ns: int = 5 * MS, size: int = 20) -> int:
    """Proposes to all shards in turn; returns how many were taken."""
    taken = 0
    end_ns = mesh.now_ns + duration_ns
    while mesh.now_ns < end_ns:
        shard = (mesh.now_ns // every_ns) % mesh.shards
        taken += mesh.propose(shard, size) is not None
        mesh.run(every_ns)
    return taken


def load_until_as_wished(mesh: Mesh, limit_ns: int = 60 * SECOND) -> None:
    end_ns = mesh.now_ns + limit_ns
    while not mesh.is_as_wished():
        assert mesh.now_ns < end_ns, mesh.picture()
        load(mesh, 100 * MS)


def assert_nothing_lost(mesh: Mesh) -> None:
    mesh.run(SECOND)
    assert sum(len(bodies) for bodies in mesh.acked.values()) > 0
    assert mesh.lost() == []
    for shard in range(mesh.shards):
        machines = [mesh.hosts[name].machines[shard] for name in mesh.preference(shard)]
        longest = max(machines, key=len)
        assert all(machine == longest[: len(machine)] for machine in machines)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_small_mesh_has_as_many_voters_as_nodes(size):
    mesh = settled(size, shards=4)
    assert {len(mesh.row(shard).config.voters) for shard in range(4)} == {size}


def test_a_new_mesh_goes_from_one_voter_to_three_and_has_no_two_between():
    mesh = Mesh(3, shards=8)
    sizes: set[int] = set()
    while not mesh.is_as_wished():
        mesh.run(10 * MS)
        sizes |= {len(mesh.row(shard).config.voters) for shard in range(8) if mesh.owner(shard)}
    assert sizes == {1, 3}


def test_a_mesh_shrinks_to_its_last_node():
    mesh = settled(3, shards=4)
    load(mesh, SECOND)
    for name in ("n0", "n1"):
        mesh.drain(name)
        load_until_as_wished(mesh)
        assert len(mesh.running(name)) == 0
        mesh.crash(name)
        mesh.set_condition(name, "gone")
    assert {mesh.row(shard).config.voters for shard in range(4)} == {("n2",)}
    mesh.drain("n2")
    load(mesh, 3 * SECOND)
    assert len(mesh.running("n2")) == 4
    mesh.run(SECOND)
    assert mesh.lost() == []


def test_a_drained_node_gives_its_owners_away_at_once_and_then_its_replicas():
    mesh = settled(5, shards=16)
    mesh.drain("n3")
    mesh.run_until(lambda: not mesh.hosts["n3"].owning, 2 * SECOND)
    load_until_as_wished(mesh)
    assert len(mesh.running("n3")) == 0
    assert_nothing_lost(mesh)


def test_a_dead_voter_keeps_its_place_until_the_ring_gives_it_up():
    mesh = settled(5, shards=8)
    before = {shard: mesh.row(shard).config for shard in range(8)}
    mesh.kill("n1")
    load(mesh, 10 * SECOND)
    assert {shard: mesh.row(shard).config for shard in range(8)} == before
    held = [shard for shard in range(8) if "n1" in before[shard].voters]
    assert {mesh.row(shard).condition for shard in held} == {"under-replicated"}
    mesh.unseat("n1")
    load_until_as_wished(mesh)
    assert {mesh.row(shard).condition for shard in range(8)} == {"healthy"}
    assert_nothing_lost(mesh)


def seats_of_the_dead(mesh: Mesh, owner: str, dead: str) -> list[int]:
    rows = mesh.rows(mesh.hosts[owner]).values()
    return [row.shard for row in rows if row.owner == owner and dead in row.config.voters]


def test_a_learner_that_its_owner_does_not_reach_is_not_waited_for():
    mesh = settled(6, shards=24)
    mesh.part(["n0"], ["n5"])
    mesh.kill("n1")
    mesh.unseat("n1")
    load(mesh, 10 * SECOND)
    assert seats_of_the_dead(mesh, "n0", "n1") == []
    mesh.cut.clear()
    load_until_as_wished(mesh)
    assert_nothing_lost(mesh)


def test_a_learner_that_answers_and_never_gets_on_is_not_waited_for():
    """Its disk takes nothing: it says so to nobody, and acknowledges nothing."""
    mesh = settled(5, shards=24)
    mesh.kill("n1")
    mesh.join("n5")
    mesh.hosts["n5"].flush_free_ns = mesh.now_ns + 10_000 * SECOND
    mesh.unseat("n1")
    load(mesh, 30 * SECOND)
    assert [shard for shard in range(24) if "n1" in mesh.row(shard).config.voters] == []
    assert any("n5" in mesh.preference(shard) for shard in range(24))


def test_a_join_moves_no_more_than_the_ring_asks_for():
    mesh = settled(4, shards=32)
    before = {shard: mesh.row(shard).config.voters for shard in range(32)}
    mesh.join("n4")
    load_until_as_wished(mesh)
    changed = [shard for shard in range(32) if mesh.row(shard).config.voters != before[shard]]
    assert changed == [shard for shard in range(32) if "n4" in mesh.preference(shard)]
    for shard in changed:
        assert len(set(before[shard]) - set(mesh.row(shard).config.voters)) == 1
    assert_nothing_lost(mesh)


def test_changes_are_begun_at_a_bounded_rate():
    mesh = settled(3, shards=64)
    most = mesh.settings.moves.most_moves
    mesh.join("n3")
    while not mesh.is_as_wished():
        mesh.run(50 * MS)
        for host in mesh.hosts.values():
            rows = mesh.rows(host)
            moving = [shard for shard in host.owning if rows[shard].condition == "moving"]
            assert len(moving) <= 2 * most  # those handed over half-way count for the next owner


def test_a_replica_that_was_removed_while_away_disturbs_nobody_and_is_forgotten():
    mesh = settled(4, shards=8)
    mesh.kill("n1")
    mesh.unseat("n1")
    load_until_as_wished(mesh)
    held = {each.shard: (each.term, each.vote) for each in mesh.hosts["n1"].disk.recovered()}
    terms = {shard: mesh.row(shard).term for shard in range(8)}
    mesh.restart("n1")
    replicas = mesh.running("n1")
    stale = len(replicas)
    assert stale > 0
    mesh.run_until(lambda: len(replicas) == 0, 10 * SECOND)
    mesh.run(100 * MS)
    assert {shard: mesh.row(shard).term for shard in range(8)} == terms
    for each in mesh.hosts["n1"].disk.recovered():
        assert (each.snapshot, each.entries) == (None, ())
        assert each.term >= held[each.shard][0]
        if each.term == held[each.shard][0]:
            assert each.vote == held[each.shard][1]
    assert replicas.counters.forgotten == stale


def test_a_forgotten_replica_that_comes_back_still_knows_its_term():
    mesh = settled(4, shards=8)
    mesh.drain("n1")
    mesh.run_until_as_wished()
    assert len(mesh.running("n1")) == 0
    kept = {each.shard: each.term for each in mesh.hosts["n1"].disk.recovered()}
    mesh.draining.clear()
    mesh.join("n1")
    load_until_as_wished(mesh)
    for shard, row in mesh.rows(mesh.hosts["n1"]).items():
        assert row.term >= kept.get(shard, 0)
    assert_nothing_lost(mesh)


def test_a_late_dismissal_does_not_remove_a_replica_that_counts():
    mesh = settled(3, shards=4)
    out: list = []
    for number in (0, 1, 2**40):
        mesh.running("n1").receive(
            mesh.now_ns, "n0", Dismissed(number, tuple(Led(shard, 99, 0) for shard in range(4))), out
        )
    mesh.put(mesh.hosts["n1"], lambda now_ns, out: None)
    for effect in out:
        mesh.perform(mesh.hosts["n1"], effect)
    mesh.run(SECOND)
    assert len(mesh.running("n1")) == 4


@pytest.mark.parametrize("seed", range(4))
def test_every_node_replaced_under_load_keeps_everything(seed):
    """A rolling replacement: a new node joins, an old one drains and goes; half of them die instead."""
    settings = ReplicasSettings(
        beat_ns=100 * MS,
        stagger_ns=50 * MS,
        enquire_ns=2 * SECOND,
        compact_bytes=4_000,
        raft=RaftSettings(resend_ns=200 * MS, keep_entries=4),
    )
    mesh = settled(3, shards=8, seed=seed, settings=settings)
    load(mesh, SECOND)
    for number in range(3):
        mesh.join(f"n{number + 3}")
        load_until_as_wished(mesh)
        old = f"n{number}"
        if (number + seed) % 2:
            mesh.kill(old)
            load(mesh, SECOND)
            mesh.unseat(old)
        else:
            mesh.drain(old)
            load_until_as_wished(mesh)
            mesh.kill(old)
        load_until_as_wished(mesh)
    assert {voter for shard in range(8) for voter in mesh.row(shard).config.voters} == {"n3", "n4", "n5"}
    assert_nothing_lost(mesh)


@pytest.mark.parametrize("seed", range(6))
def test_joins_deaths_and_returns_over_a_bad_network_lose_nothing(seed):
    mesh = settled(5, shards=8, seed=seed, news_ns=200 * MS)
    mesh.loss = 0.05
    mesh.latency_ns = (MS // 2, 20 * MS)
    rng = mesh.rng
    for _ in range(8):
        name = f"n{rng.randrange(5)}"
        if mesh.hosts[name].replicas is None:
            mesh.restart(name)
        elif sum(host.replicas is None for host in mesh.hosts.values()) < 2:
            mesh.kill(name) if rng.random() < 0.7 else mesh.crash(name)
        load(mesh, rng.randrange(100, 1_500) * MS)
    for name in mesh.hosts:
        if mesh.hosts[name].replicas is None:
            mesh.restart(name)
    mesh.loss = 0.0
    load_until_as_wished(mesh)
    assert_nothing_lost(mesh)
