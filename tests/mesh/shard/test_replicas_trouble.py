"""Journals that fail, disks that are full or damaged, and what the others do about it."""

import pytest
from nodes import MS, SECOND, Mesh

from hubless.effects import ToPeer
from hubless.shard.events import Disowned, ReadReady
from hubless.wire.replication import Beat, BeatAnswer, Config, Led


def settled(size: int, *, shards: int = 8, **options) -> Mesh:
    mesh = Mesh(size, shards=shards, **options)
    mesh.run_until_as_wished()
    mesh.run(500 * MS)
    return mesh


def fail(mesh: Mesh, name: str) -> None:
    replicas = mesh.running(name)
    mesh.put(mesh.hosts[name], lambda now_ns, out: replicas.failed(now_ns, "checksum", out))


def with_work(mesh: Mesh) -> Mesh:
    for shard in range(mesh.shards):
        for _ in range(3):
            assert mesh.propose(shard) is not None
    mesh.run(200 * MS)
    return mesh


# -- a journal that cannot be relied on -------------------------------------------------------------------


def test_a_failed_journal_disowns_everything_and_is_plain_to_see():
    mesh = settled(3, shards=4)
    replicas = mesh.running(mesh.owner(0).name)
    owned = replicas.owned()
    mesh.propose(owned[0])
    out: list = []
    replicas.read(mesh.now_ns, owned[0], 5, out)
    replicas.failed(mesh.now_ns, "checksum of page 7", out)
    replicas.failed(mesh.now_ns, "again", out)
    assert [effect.shard for effect in out if isinstance(effect, Disowned)] == list(owned)
    assert [effect for effect in out if isinstance(effect, ReadReady)] == [
        ReadReady(owned[0], 5, is_owner=False)
    ]
    assert not any(isinstance(effect, ToPeer) for effect in out)
    assert replicas.condition == "journal failed: checksum of page 7"
    assert {row.condition for row in replicas.rows()} == {"journal failed"}
    assert replicas.owned() == ()
    assert replicas.next_deadline_ns() is None
    assert not replicas.propose(mesh.now_ns, owned[0], b"x")


def test_a_failed_journal_votes_for_nobody_and_acknowledges_nothing():
    mesh = settled(3, shards=4)
    fail(mesh, "n0")
    mesh.run(10 * MS)
    mesh.hosts["n0"].replicas.counters.distrusted = 0
    sent: list = []
    carry = mesh.carry
    mesh.carry = lambda host, node, message: (sent.append((host.name, message)), carry(host, node, message))
    mesh.run(2 * SECOND)
    for shard in range(4):
        mesh.propose(shard, 20)
    mesh.run(SECOND)
    assert {type(message) for name, message in sent if name == "n0"} <= {BeatAnswer}
    assert mesh.running("n0").counters.distrusted > 0


def test_owners_with_a_failed_journal_are_replaced_and_nothing_is_lost():
    mesh = with_work(settled(3, shards=4))
    fail(mesh, "n0")
    mesh.run_until(mesh.all_owned, 10 * SECOND)
    assert mesh.lost() == []
    mesh.run(5 * SECOND)
    assert all(mesh.propose(shard, 20) is not None for shard in range(4))
    mesh.run(SECOND)
    assert mesh.lost() == []


def test_a_failed_journal_costs_no_shard_a_voter_while_there_is_a_spare_node():
    mesh = settled(4)
    fail(mesh, "n0")
    sizes: set[int] = set()
    for _ in range(500):
        mesh.run(10 * MS)
        sizes |= {len(mesh.row(shard).config.voters) for shard in range(8) if mesh.owner(shard)}
    assert sizes == {3}
    assert {mesh.row(shard).config.voters for shard in range(8)} == {("n1", "n2", "n3")}


def test_it_has_its_seats_again_once_it_was_restarted_however_quickly():
    mesh = settled(4)
    fail(mesh, "n0")
    mesh.run(5 * SECOND)
    assert {mesh.row(shard).config.voters for shard in range(8)} == {("n1", "n2", "n3")}
    mesh.crash("n0")
    mesh.restart("n0")
    mesh.run_until_as_wished(10 * SECOND)


def test_a_failed_journal_keeps_its_seats_if_nobody_could_have_them():
    mesh = settled(3)
    fail(mesh, "n0")
    mesh.run(5 * SECOND)
    assert {mesh.row(shard).config.voters for shard in range(8)} == {("n0", "n1", "n2")}
    mesh.crash("n0")
    mesh.restart("n0")
    mesh.run(SECOND)
    assert {mesh.row(shard).condition for shard in range(8)} == {"healthy"}


def test_after_a_restart_with_a_good_journal_its_replicas_are_back():
    mesh = with_work(settled(3, shards=4))
    fail(mesh, "n0")
    mesh.run(8 * SECOND)
    mesh.crash("n0")
    mesh.restart("n0")
    mesh.run_until_as_wished(30 * SECOND)
    mesh.run(SECOND)
    assert mesh.lost() == []
    assert len(mesh.running("n0")) == 4


def test_a_node_with_a_failed_journal_says_so_to_every_beat():
    mesh = settled(3, shards=4)
    replicas = mesh.running("n0")
    out: list = []
    replicas.failed(mesh.now_ns, "checksum", out)
    out.clear()
    replicas.receive(mesh.now_ns, "n1", Beat(9, (Led(0, 3, 1), Led(2, 3, 1))), out)
    assert out == [ToPeer("n1", BeatAnswer(9, broken=(0, 2), has_failed=True))]


# -- damage that is found at a start ----------------------------------------------------------------------


def test_a_damaged_replica_starts_anew_as_a_learner():
    mesh = with_work(settled(3, shards=4))
    mesh.crash("n1")
    mesh.hosts["n1"].disk.damaged[2] = "entry 3: checksum"
    mesh.restart("n1")
    rows = {row.shard: row.condition for row in mesh.running("n1").rows()}
    assert rows[2] == "damaged"
    assert set(rows) == {0, 1, 2, 3}
    mesh.run_until(lambda: 2 not in mesh.rows(mesh.hosts["n1"]), 20 * SECOND)
    mesh.run_until_as_wished()
    mesh.run(500 * MS)
    assert mesh.hosts["n1"].machines[2] == mesh.owner(2).machines[2]
    assert mesh.lost() == []
    assert 2 not in mesh.hosts["n1"].disk.damaged


def test_a_damaged_replica_never_helps_to_elect():
    mesh = with_work(settled(3, shards=1))
    first, second, third = mesh.preference(0)
    mesh.crash(second)
    mesh.hosts[second].disk.damaged[0] = "bit rot"
    mesh.kill(first)
    mesh.restart(second)
    mesh.run(5 * SECOND)
    assert mesh.owner(0) is None
    assert mesh.rows(mesh.hosts[third])[0].condition in ("electing", "under-replicated")
    mesh.restart(first)
    mesh.run_until_as_wished()
    assert mesh.lost() == []


# -- a full disk ------------------------------------------------------------------------------------------


def test_a_full_disk_gives_its_ownership_away_and_takes_it_back_later():
    mesh = settled(3, shards=8)
    replicas = mesh.running("n1")
    assert replicas.owned()
    replicas.full("no space left")
    assert replicas.is_full
    assert replicas.condition == "disk full: no space left"
    mesh.run_until(lambda: not replicas.owned(), 3 * SECOND)
    mesh.run(6 * SECOND)
    assert not replicas.owned()
    assert {row.condition for row in replicas.rows()} == {"disk full"}
    replicas.has_room()
    assert not replicas.is_full
    mesh.run_until_as_wished(20 * SECOND)


def test_if_all_disks_are_full_owners_stay_and_serve_what_they_have():
    mesh = settled(3, shards=4)
    owned = {name: mesh.running(name).owned() for name in mesh.hosts}
    for name in mesh.hosts:
        mesh.running(name).full("no space left")
    mesh.run(SECOND)
    owned = {name: mesh.running(name).owned() for name in mesh.hosts}
    mesh.run(10 * SECOND)
    assert {name: mesh.running(name).owned() for name in mesh.hosts} == owned
    assert mesh.all_owned()


# -- what cannot be mended --------------------------------------------------------------------------------


def test_a_majority_that_is_gone_is_called_quorum_lost():
    mesh = settled(5, shards=4)
    first, second, third = mesh.preference(0)
    mesh.kill(second)
    mesh.kill(third)
    mesh.run_until(lambda: 0 not in mesh.hosts[first].owning, 5 * SECOND)
    assert mesh.rows(mesh.hosts[first])[0].condition == "quorum_lost"
    campaigns = mesh.running(first).counters.campaigns
    mesh.run(5 * SECOND)
    assert mesh.running(first).counters.campaigns == campaigns
    config = mesh.rows(mesh.hosts[first])[0].config
    mesh.unseat(second)
    mesh.unseat(third)
    mesh.run(5 * SECOND)
    assert mesh.rows(mesh.hosts[first])[0].config == config  # two of three: no change could be committed


@pytest.mark.parametrize("seed", range(3))
def test_two_owners_with_different_views_do_not_fight(seed):
    """Half of the nodes believe in a ring with the newcomer, half do not: no shard changes more than once a view."""
    mesh = settled(4, shards=8, seed=seed)
    configs: dict[int, set[Config]] = {shard: set() for shard in range(8)}
    before = mesh.lists
    mesh.join("n4")
    for name in ("n0", "n1"):  # these never hear of the newcomer's seat
        replicas = mesh.running(name)
        mesh.put(
            mesh.hosts[name],
            lambda now_ns, out, replicas=replicas: replicas.conditions_changed(
                now_ns,
                well=frozenset(mesh.hosts),
                doubtful=frozenset(),
                gone=frozenset(),
                preferences=before.of_shard,
                spares=before.spares,
            ),
        )
    mesh.news_ns = 1
    changes = 0
    last: dict[int, Config] = {}
    for _ in range(200):
        mesh.run(50 * MS)
        for shard in range(8):
            row = mesh.row(shard)
            if row is not None and not row.config.outgoing and not row.config.learners:
                changes += last.get(shard, row.config) != row.config
                last[shard] = row.config
                configs[shard].add(row.config)
    assert max(len(seen) for seen in configs.values()) <= 3
    assert changes <= 2 * 8
