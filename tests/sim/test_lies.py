"""Lying peers: what the mesh holds against each lie today, and who names the harm where it holds nothing."""

from typing import Any

import msgspec
import pytest

from hubless_gossip import Condition, MemberChanged
from hubless_sim.faults import (
    ForgedAccusations,
    ForgedIncarnations,
    ForgedResults,
    ForgedVotes,
)
from hubless_sim.gossip.run import GossipRun
from hubless_sim.mesh.run import MeshRun
from hubless_sim.play import play
from hubless_sim.shards.swarm import drawn_tape
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, Offering, ReplicaKnobs
from hubless_sim.tapes.tape import Conditions, Start, Tape

LYING: Any = {"at_ms": 1_000, "until_ms": 5_000, "nodes": ("n1",)}


def gossiping(nodes: int, *faults: Any) -> GossipRun:
    """Membership alone, without links that could speak for a victim; in the end all must believe the truth."""
    tape = Tape(
        seed=1,
        nodes=nodes,
        duration_ms=8_000,
        system=GossipSystem(right_views=True),
        links=Conditions(monitored=None),
        faults=faults,
    )
    run = GossipRun(tape)
    assert run.finish().violations == ()
    return run


def members_told(run: GossipRun, condition: Condition) -> set[str]:
    """Of whom anybody has told that it is in this condition."""
    return {
        told.event.member.node
        for told in run.told
        if isinstance(told.event, MemberChanged) and told.event.member.condition is condition
    }


@pytest.mark.parametrize("nodes", [4, 5, 8])
def test_one_accuser_has_nobody_declared_dead(nodes: int) -> None:
    run = gossiping(nodes, ForgedAccusations(**LYING, victims=("n2",)))
    assert members_told(run, Condition.SUSPECT) == {"n2"}
    assert members_told(run, Condition.DEAD) == set()
    assert run.host("n2").core.counters.refutations > 10


@pytest.mark.parametrize("nodes", [3, 5])
def test_a_victim_that_is_heard_refutes_even_an_accuser_with_many_names(nodes: int) -> None:
    run = gossiping(nodes, ForgedAccusations(**LYING, victims=("n2",), accusers=("n0", "n1")))
    assert run.view("n0")["n2"] is Condition.ALIVE


def test_what_is_said_in_the_name_of_another_is_refuted_by_it() -> None:
    run = gossiping(5, ForgedIncarnations(**LYING, victims=("n2",), by=100))
    for name in run.names():
        member = run.host(name).core.member("n2")
        assert member.meta == b""
        assert member.incarnation > 100


def test_nobody_can_be_lied_about_before_he_is_known() -> None:
    run = gossiping(5, ForgedIncarnations(**LYING | {"at_ms": 0, "until_ms": 1}, victims=("n2",), by=100))
    assert run.host("n0").core.member("n2").incarnation == 0


def results_of(agents: tuple[str, ...]) -> set[str]:
    """The checkers that fail if n1 forges results, by the nodes that run the agent."""
    calls = tuple(
        Call(at_ms=1_500 + 50 * number, agent="square", script=Script(number), gateway=f"n{number % 4}")
        for number in range(16)
    )
    system = MeshSystem(
        agents=(Offering(name="square", nodes=agents),), shards=4, owned_ms=4_000, replicas=ReplicaKnobs()
    )
    tape = Tape(
        seed=1,
        nodes=4,
        clients=1,
        duration_ms=8_000,
        start=Start(join=()),
        system=system,
        operations=calls,
        faults=(ForgedResults(**LYING),),
    )
    return {violation.checker for violation in MeshRun(tape).finish().violations}


def test_forged_results_of_an_executor_are_named() -> None:
    assert results_of(("n1",)) >= {"right answers"}


def test_results_that_an_owner_or_a_gateway_tells_otherwise_than_the_log_are_named() -> None:
    assert results_of(("n0", "n2")) >= {"right answers", "nothing lost"}


def test_votes_for_everybody_are_named_and_nothing_fails_without_them() -> None:
    """Two candidates of one term have to meet the same liar: some of these runs have that."""
    honest = [drawn_tape(seed) for seed in (59, 96, 97, 184, 232)]
    assert {play(tape).verdict for tape in honest} == {"held"}
    lies = [ForgedVotes(at_ms=100, until_ms=tape.duration_ms, nodes=("n1",)) for tape in honest]
    lying = [
        msgspec.structs.replace(tape, faults=(*tape.faults, lie))
        for tape, lie in zip(honest, lies, strict=True)
    ]
    assert "election safety" in {told.checker for tape in lying for told in play(tape).violations}
