"""Members that compare views instead of hearing rumours: a push-pull is no confirmation (see the zoo, too)."""

import pytest

from hubless_gossip import Condition, Member, MemberChanged
from hubless_gossip.member import Address
from hubless_sim.gossip.haste import Hasty
from hubless_sim.gossip.hushed_swarm import drawn_tape
from hubless_sim.gossip.run import GossipRun
from hubless_sim.search.sweep import swept, violations_of

LONG = 1_000


@pytest.mark.parametrize("seed", range(8))
def test_the_standing_seeds_hold(seed: int) -> None:
    assert violations_of(seed, "hushed") == ()


@pytest.mark.long
def test_a_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, "hushed") if violations}
    assert failed == {}


def test_who_is_gone_is_held_dead_by_nearly_all_in_the_end() -> None:
    tape = drawn_tape(0)
    (gone,) = tape.faults[0].nodes  # type: ignore[attr-defined]
    run = GossipRun(tape)
    run.finish()
    held = [run.view(name)[gone] for name in run.running()]
    assert held.count(Condition.DEAD) > len(held) / 2


def test_a_death_that_came_too_early_is_told_of_its_node() -> None:
    run = GossipRun(drawn_tape(0))
    run.observe(7, 2, Hasty("n1", 1_250_000_000, 3_750_000_000, 1))
    member = Member("n1", 1, 1, Condition.DEAD, Address("h", 1), b"", 0, 0)
    run.observe(7, 2, MemberChanged(member, Condition.SUSPECT))
    assert [(each.checker, each.at_ns, each.nodes) for each in run.violations()] == [
        ("suspicions last", 7, ("n2", "n1"))
    ]
