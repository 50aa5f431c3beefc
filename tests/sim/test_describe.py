"""What is said of a tape: its size, what is asked, faults by kind, and the knobs that were turned."""

from __future__ import annotations

from hubless_sim.faults import Crash, Loss, Partition, Restart
from hubless_sim.tapes.describe import described, fault_kinds, faults_line, knobs
from hubless_sim.tapes.operations import Leave
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, Offering, ReplicaKnobs
from hubless_sim.tapes.tape import Conditions, Start, Tape


def tape(**changes) -> Tape:
    return Tape(**{"seed": 7, "nodes": 5, "duration_ms": 2_500} | changes)


def test_a_quiet_tape_has_a_size_and_no_faults():
    assert described(tape(nodes=1)) == {"tape": "gossip, 1 node, 2.5 s, seed 7", "faults": "none"}


def test_what_is_asked_is_counted():
    leave = Leave(at_ms=1, nodes=("n0",))
    assert described(tape(operations=(leave, leave)))["asked"] == "2 leaves"


def test_faults_are_counted_by_kind_and_have_their_time():
    crash, restart = Crash(at_ms=1_200, nodes=("n1",)), Restart(at_ms=1_300, nodes=("n1",))
    cut = Partition(at_ms=1_000, until_ms=2_000, sides=(("n0",), ()))
    assert fault_kinds(tape(faults=(cut, crash, crash))) == {"crash": 2, "partition": 1}
    assert faults_line(tape(faults=(cut, crash, crash, restart))) == (
        "2 crash, 1 partition, 1 restart, from 1 s to 2 s"
    )
    assert faults_line(tape(faults=(crash,))) == "1 crash, at 1.2 s"
    assert (
        faults_line(tape(faults=(crash, Loss(at_ms=5, rate=0.5)))) == "1 crash, 1 loss, from 0.005 s for ever"
    )


def test_knobs_are_what_differs_from_the_defaults():
    system = MeshSystem(agents=(Offering(name="a"),), workers=4, replicas=ReplicaKnobs(window=1))
    turned = tape(system=system, links=Conditions(loss=0.01, monitored=None), start=Start(join=()))
    assert knobs(turned) == {
        "system.workers": 4,
        "system.replicas.window": 1,
        "links.loss": 0.01,
        "links.monitored": None,
        "start.join": (),
    }
    line = "workers 4, replicas.window 1, links.loss 0.01, links.monitored none, start.join all"
    assert described(turned)["knobs"] == line


def test_knobs_of_gossip_go_by_their_own_names():
    assert knobs(tape(system=GossipSystem(knobs={"probe_interval_ms": 300}))) == {
        "system.probe_interval_ms": 300
    }
