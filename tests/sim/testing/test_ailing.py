"""Faults of agents befall users' own: what a test of theirs sees of it."""

import pytest

from hubless import TaskFailed, agent
from hubless_sim import SimulatedMesh
from hubless_sim.faults import (
    AgentAnswers,
    AgentFault,
    AgentHangs,
    AgentLeaks,
    AgentSlow,
    Misconfigured,
    StoreSevered,
)

NODES = ("n0", "n1", "n2")


@agent(deadline_s=1, retries=0)
def doubles(n: int) -> int:
    return 2 * n


@agent(deadline_s=1, retries=0)
def triples(n: int) -> int:
    return 3 * n


@agent(deadline_s=5, retries=0, memory_mb=128)
async def remembers(n: int) -> int:
    import asyncio  # noqa: PLC0415 an agent's own affair

    await asyncio.sleep(0.5)
    return n


def code_of(fault: AgentFault) -> str:
    """How a call ends while an agent has this fault; without it, and of another agent, all is well."""
    with SimulatedMesh([doubles, triples], nodes=3) as mesh:
        with mesh.afflict(fault):
            assert mesh.call("triples", 2) == 6
            try:
                assert mesh.call("doubles", 2) == 4
                code = ""
            except TaskFailed as failed:
                code = failed.failure.code
        mesh.advance(10)
        assert mesh.call("doubles", 3) == 6
        return code


@pytest.mark.parametrize(
    ("does", "code"),
    [
        ("garbled", "bad_output"),
        ("off_schema", "bad_output"),
        ("oversized", "payload_too_large"),
        ("missing", "deadline"),
        ("repeated", ""),
    ],
)
def test_a_call_ends_by_what_its_agent_answers(does, code):
    assert code_of(AgentAnswers(at_ms=0, nodes=NODES, agents=("doubles",), does=does)) == code


def test_an_agent_that_hangs_has_its_deadline():
    assert code_of(AgentHangs(at_ms=0, nodes=NODES, agents=("doubles",))) == "deadline"


def test_a_slow_agent_answers_late():
    with SimulatedMesh(remembers, nodes=3) as mesh:
        began = mesh.now
        with mesh.afflict(AgentSlow(at_ms=0, nodes=NODES, factor=4)):
            assert mesh.call("remembers", 1) == 1
        assert 1.9 < mesh.now - began < 2.5


def test_an_agent_that_leaks_is_stopped_at_its_limit():
    with SimulatedMesh(remembers, nodes=3) as mesh:
        with mesh.afflict(AgentLeaks(at_ms=0, nodes=NODES, mb=100)), pytest.raises(TaskFailed) as failed:
            mesh.call("remembers", 1)
        assert failed.value.failure.code == "out_of_memory"
        assert mesh.call("remembers", 1) == 1


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (StoreSevered(at_ms=0, nodes=NODES), "the simulator's store"),
        (AgentAnswers(at_ms=0, nodes=NODES, does="wrong"), "only a script knows"),
        (Misconfigured(at_ms=0, nodes=NODES, does="contract"), "made from their functions"),
    ],
)
def test_what_befalls_nothing_of_theirs_is_refused(fault, told):
    with SimulatedMesh(doubles, nodes=3) as mesh, pytest.raises(ValueError, match=told):
        mesh.afflict(fault)
