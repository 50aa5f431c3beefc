"""Strategies for tapes: what they draw can be run and has a calm, and Hypothesis makes what fails small."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, find, given, settings
from msgspec.structs import replace

from hubless_sim.faults import FAULT_KINDS, Fault, PowerCut
from hubless_sim.play import open_run
from hubless_sim.search.calm import calm_of
from hubless_sim.search.strategies import AGENT_KINDS, KINDS, faults, operations, tapes
from hubless_sim.shards.run import ShardRun
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.systems import ShardSystem, Workload
from hubless_sim.tapes.tape import Tape, check
from hubless_sim.world.disk import Contents

STILL = settings(
    max_examples=30, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

SMALL = Tape(
    seed=1,
    nodes=2,
    clients=1,
    duration_ms=800,
    system=ShardSystem(shards=1, workload=Workload(from_ms=100, until_ms=800)),
)


@pytest.mark.parametrize("system", ["shards", "mesh", "agents", "gossip"])
def test_every_tape_can_be_run_and_ends_in_a_calm(system):
    @given(tapes(system))
    @STILL
    def holds(tape: Tape) -> None:
        check(tape)
        open_run(tape)
        calm = calm_of(tape)
        assert calm is not None
        assert not calm.ills
        assert calm.rest_ms > 0

    holds()


def test_no_drawn_tape_fails():
    @given(tapes("shards", nodes=3, clients=1, most_faults=2, most_operations=2))
    @settings(STILL, max_examples=10)
    def holds(tape: Tape) -> None:
        assert open_run(tape).judge().violations == ()

    holds()


def test_a_planted_bug_is_found_and_made_small(monkeypatch):
    """A disk that forgets the last entry when its process ends: one power cut is enough for that."""
    recovered = Contents.recovered

    def forgetful(self: Contents):
        return tuple(replace(each, entries=each.entries[:-1]) for each in recovered(self))

    def breaks(drawn: tuple[Fault, ...]) -> bool:
        run = ShardRun(replace(SMALL, faults=drawn))
        for at_ms in range(200, SMALL.duration_ms, 20):
            run.advance_to_ms(at_ms)
            if run.audit.violations:
                return True
        return False

    monkeypatch.setattr(Contents, "recovered", forgetful)
    drawn = faults(nodes=2, begin_ms=200, heal_ms=700, kinds=("isolate", "power_cut"), most=2)
    smallest = find(drawn, breaks, settings=STILL)
    assert [type(fault) for fault in smallest] == [PowerCut]


def test_the_simplest_tape_has_nothing_in_it():
    tape = find(tapes("gossip", most_faults=1), lambda tape: True, settings=STILL)
    assert (tape.faults, tape.operations, tape.seed) == ((), (), 0)


def test_the_simplest_call_is_the_first_one():
    asked = find(operations("mesh", begin_ms=500, heal_ms=2_000, most=2), bool, settings=STILL)
    (call,) = asked
    assert isinstance(call, Call)
    assert (call.at_ms, call.gateway, call.script.n, call.script.does) == (500, "n0", 0, ())


def test_all_kinds_of_faults_can_be_drawn():
    assert set(KINDS) <= {*FAULT_KINDS, "restless", "wipe", "clocks"}
    for kind in (*KINDS, *AGENT_KINDS):
        some = faults(begin_ms=500, heal_ms=2_000, kinds=(kind,), most=1)
        assert find(some, bool, settings=STILL)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: tapes("raft"), "there are shards, mesh, agents, gossip"),
        (lambda: tapes(nodes=1), "nodes: 1"),
        (lambda: tapes(kinds=("crash", "fire")), r"kinds: \['fire'\] cannot be drawn"),
        (lambda: tapes(kinds=()), "kinds: none cannot be drawn"),
        (lambda: faults(begin_ms=500, heal_ms=600), "heal_ms: 600 leaves less than"),
        (lambda: operations("mesh", begin_ms=600, heal_ms=600), "heal_ms: 600"),
    ],
)
def test_what_no_tape_can_have_is_refused_at_once(wrong, told):
    with pytest.raises(ValueError, match=told):
        wrong()


def test_without_hypothesis_the_extra_is_named():
    program = "import sys; sys.modules['hypothesis'] = None; import hubless_sim.search.strategies"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode
    assert 'pip install "hubless[sim]"' in done.stderr.splitlines()[-1]
