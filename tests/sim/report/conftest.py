"""Recordings of three small runs, one of each system; nothing in them is changed by looking."""

import pytest

from hubless_sim.faults import Corrupt, Crash, Partition, Pause, Restart
from hubless_sim.report import Recording, record
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, Offering, ShardSystem, Workload
from hubless_sim.tapes.tape import Tape

GOSSIP = Tape(
    seed=3,
    nodes=5,
    duration_ms=6_000,
    system=GossipSystem(),
    faults=(
        Crash(at_ms=1_000, nodes=("n4",)),
        Pause(at_ms=1_500, until_ms=2_000, nodes=("n3",)),
        Partition(at_ms=3_000, until_ms=4_000, sides=(("n0", "n1"), ())),
        Restart(at_ms=4_500, nodes=("n4",)),
    ),
)
MESH = Tape(
    seed=4,
    nodes=3,
    clients=1,
    duration_ms=5_000,
    system=MeshSystem(agents=(Offering(name="square"),), shards=4),
    operations=(
        Call(at_ms=2_000, agent="square", gateway="n1", script=Script(5, ("crash",)), receipt=True),
        Call(at_ms=2_500, agent="square", gateway="n2", script=Script(6)),
    ),
    faults=(Corrupt(at_ms=3_500, until_ms=4_500, rate=0.3),),
)
DEAD = Tape(
    seed=5,
    nodes=3,
    clients=1,
    duration_ms=1_500,
    system=ShardSystem(shards=1, workload=Workload(from_ms=300, until_ms=500, probe_ms=900)),
    faults=(Crash(at_ms=700, nodes=("n0", "n1")), Restart(at_ms=1_490, nodes=("n0", "n1"))),
)
"""Its one shard does not answer in the end, which is a violation."""


@pytest.fixture(scope="session")
def gossip() -> Recording:
    return record(GOSSIP)


@pytest.fixture(scope="session")
def mesh() -> Recording:
    return record(MESH)


@pytest.fixture(scope="session")
def dead() -> Recording:
    recording = record(DEAD)
    assert recording.result.verdict == "violated"
    return recording
