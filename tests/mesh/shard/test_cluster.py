"""Whole lives of clusters, and what it costs when nothing goes wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from cluster import BEAT_NS, ELECTION_NS, MS, Cluster
from cluster_faults import FAULTS, run_seed
from replicas_bench import Bench

STANDING_SEEDS = 300
LONG_SEEDS = 10_000


@pytest.mark.parametrize("tenth", range(10))
def test_no_seed_breaks_a_promise(tenth: int) -> None:
    for seed in range(tenth, STANDING_SEEDS, 10):
        run_seed(seed, steps=200)


@pytest.mark.long
@pytest.mark.parametrize("hundredth", range(100))
def test_ten_thousand_seeds_break_no_promise(hundredth: int) -> None:
    for seed in range(hundredth, LONG_SEEDS, 100):
        run_seed(f"long {seed}")


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_each_fault_alone_breaks_no_promise(fault: str) -> None:
    for seed in range(3):
        run_seed(f"{fault} {seed}", only=(fault,))


def test_a_seed_is_one_life_whatever_the_hash_seed() -> None:
    program = (
        "from cluster_faults import run_seed\n"
        "for seed in range(5):\n"
        "    cluster = run_seed(seed)\n"
        "    states = sorted(cluster.checks.states.items())\n"
        "    print(cluster.now_ns, cluster.messages, states[-1][0], states[-1][1].hex())\n"
    )
    lives = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(lives) == 1


def test_a_quiet_cluster_keeps_its_owner() -> None:
    cluster = Cluster("quiet", nodes=3, voters=3)
    cluster.run(4 * ELECTION_NS)
    owner = cluster.ready_owner()
    assert owner is not None
    cluster.run(60_000 * MS)
    assert cluster.ready_owner() is owner
    assert len(cluster.checks.owners) == 1


def test_two_hundred_and_fifty_six_groups_at_rest_send_nothing() -> None:
    clusters = [Cluster(f"idle {number}", nodes=3, voters=3) for number in range(256)]
    for cluster in clusters:
        cluster.run(6 * ELECTION_NS)
        assert cluster.ready_owner() is not None
    before = sum(cluster.raft_messages for cluster in clusters)
    for cluster in clusters:
        cluster.run(20 * BEAT_NS)
    assert sum(cluster.raft_messages for cluster in clusters) == before


def test_a_commit_takes_one_round_trip_and_one_wait_for_the_disks() -> None:
    bench = Bench()
    owner = bench.elect("a")
    index = owner.propose(0, b"x")
    mine = owner.take(0)
    assert [to for to, _ in mine.now] == ["b", "c"], "leaves before it is on the owner's disk (10.2.1)"
    assert not mine.held
    answers = []
    for to, message in mine.now:
        bench[to].receive(0, "a", message)
        output = bench[to].take(0)
        assert not output.now, "an answer is a promise: it waits for the disk"
        assert [name for name, _ in output.held] == ["a"]
        bench[to].flushed(0, output.flush)
        answers += [(to, message) for _, message in output.held]
    assert owner.commit == index - 1
    owner.flushed(0, mine.flush)
    owner.receive(0, *answers[0])
    assert owner.commit == index
    done = owner.take(0)
    assert [entry.body for entry in done.committed] == [b"x"]
    assert not done.now, "that it is committed travels with the next Append or beat"


def test_the_disks_of_two_followers_commit_what_the_owners_has_not_10_2_1() -> None:
    bench = Bench()
    owner = bench.elect("a")
    index = owner.propose(0, b"x")
    for to, message in owner.take(0).now:
        bench[to].receive(0, "a", message)
        output = bench[to].take(0)
        bench[to].flushed(0, output.flush)
        owner.receive(0, to, output.held[0][1])
    assert owner.commit == index


def test_what_is_proposed_in_a_tick_is_one_append_to_each() -> None:
    bench = Bench()
    owner = bench.elect("a")
    for number in range(50):
        owner.propose(0, b"%d" % number)
    output = owner.take(0)
    assert len(output.now) == 2
    assert output.now[0][1] is output.now[1][1]
    assert len(output.records) == 1
