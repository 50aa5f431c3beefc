"""The gossip core in the world: tapes run, runs repeat, the command prints them."""

import subprocess
import sys
from pathlib import Path

import pytest

from hubless_gossip import Condition
from hubless_sim.faults import Crash, Loss, OneWay, Partition, Pause, Restart, Starve
from hubless_sim.gossip.run import GossipRun
from hubless_sim.play import play
from hubless_sim.tapes.operations import Leave, Load, Meta
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Conditions, Start, Tape, TapeError, replace

BUSY_TAPE = Tape(
    seed=11,
    nodes=7,
    duration_ms=12_000,
    links=Conditions(loss=0.02, duplicate=0.02),
    operations=(
        Meta(at_ms=2000, nodes=("n2",), meta="agents: echo"),
        Load(at_ms=2500, nodes=("n3",), load=200, busy=True),
        Leave(at_ms=9000, nodes=("n6",)),
    ),
    faults=(
        Crash(at_ms=3000, nodes=("n1",)),
        Partition(at_ms=4000, until_ms=6000, sides=(("n0", "n2"), ())),
        Restart(at_ms=5000, nodes=("n1",)),
        Starve(at_ms=5000, until_ms=7000, nodes=("n3",)),
        Pause(at_ms=6000, until_ms=8000, nodes=("n4",)),
        OneWay(at_ms=6500, until_ms=9000, sources=("n5",), targets=("n0",)),
        Loss(at_ms=7000, until_ms=8000, rate=0.5),
    ),
)


def test_another_seed_is_another_run() -> None:
    assert play(replace(BUSY_TAPE, seed=12)).digest != play(BUSY_TAPE).digest


def test_stopping_in_between_changes_nothing() -> None:
    stopped = GossipRun(BUSY_TAPE)
    for at_ms in range(0, 12_000, 700):
        stopped.advance_to_ms(at_ms)
    assert stopped.finish().digest == play(BUSY_TAPE).digest


def test_nodes_find_each_other_through_one_seed() -> None:
    mesh = GossipRun(Tape(seed=1, nodes=20, duration_ms=5000))
    mesh.advance_to_ms(2000)
    assert all(
        mesh.view(name) == dict.fromkeys(sorted(mesh.names()), Condition.ALIVE) for name in mesh.names()
    )


def test_an_absent_node_comes_with_its_restart() -> None:
    mesh = GossipRun(
        Tape(
            seed=1,
            nodes=3,
            duration_ms=5000,
            start=Start(absent=("n2",)),
            faults=(Restart(at_ms=2000, nodes=("n2",)),),
        )
    )
    mesh.advance_to_ms(1900)
    assert mesh.running() == ["n0", "n1"]
    with pytest.raises(LookupError, match="n2 is down"):
        mesh.core("n2")
    mesh.advance_to_ms(5000)
    assert mesh.view("n0")["n2"] is Condition.ALIVE


def test_operations_reach_the_others() -> None:
    mesh = GossipRun(
        Tape(
            seed=1,
            nodes=3,
            duration_ms=5000,
            operations=(
                Meta(at_ms=1000, nodes=("n1",), meta="hello"),
                Leave(at_ms=3000, nodes=("n2",)),
            ),
        )
    )
    mesh.advance_to_ms(5000)
    member = mesh.core("n0").member("n1")
    assert member is not None
    assert member.meta == b"hello"
    assert mesh.view("n0")["n2"] is Condition.LEFT


def test_an_impossible_configuration_is_refused_before_the_run() -> None:
    tape = Tape(seed=1, nodes=2, duration_ms=1000, system=GossipSystem(preset="moon"))
    with pytest.raises(TapeError, match="preset 'moon' is unknown; presets are local, lan, wan, swim"):
        GossipRun(tape)
    with pytest.raises(TapeError, match="no knob 'speed'"):
        GossipRun(replace(tape, system=GossipSystem(knobs={"speed": 3})))


def test_the_command_explains_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "tape.json"
    file.write_text('{"seed": 1, "nodes": 0, "duration_ms": 5}')
    for argument, text in ((str(file), "allowed is 1 to"), (str(tmp_path / "none"), "there is no tape")):
        done = subprocess.run(
            [sys.executable, "-m", "hubless_sim", argument],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert text in done.stderr
        assert "Traceback" not in done.stderr


def test_a_fault_changes_nothing_before_its_time() -> None:
    calm = GossipRun(replace(BUSY_TAPE, faults=()))
    faulty = GossipRun(replace(BUSY_TAPE, faults=(Crash(at_ms=3000, nodes=("n1",)),)))
    for run_ in (calm, faulty):
        run_.advance_to_ms(2999)
    assert calm.world.digest() == faulty.world.digest()
    for run_ in (calm, faulty):
        run_.advance_to_ms(4000)
    assert calm.world.digest() != faulty.world.digest()
