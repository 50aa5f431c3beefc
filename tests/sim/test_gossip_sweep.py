"""Fifty fixed seeds: meshes of 5 to 20 nodes under faults of every kind, then calm, then right views."""

import pytest

from hubless_gossip import Condition
from hubless_sim.gossip.run import GossipRun
from hubless_sim.gossip.swarm import drawn_tape


@pytest.mark.parametrize("seed", range(50))
def test_views_are_right_after_the_calm(seed: int) -> None:
    tape = drawn_tape(seed)
    run = GossipRun(tape)
    run.advance_to_ms(tape.duration_ms)
    running = set(run.running())
    wrong = {
        (node, other): condition.name
        for node in running
        for other, condition in run.view(node).items()
        if (condition is Condition.ALIVE) != (other in running)
    }
    unknown = {(node, other) for node in running for other in running if other not in run.view(node)}
    assert (wrong, unknown) == ({}, set()), tape.to_json().decode()
