"""A node that calls another one dead, which is well: nobody believes it, unless a second one says so, too."""

import msgspec
import pytest

from hubless_gossip import Condition, MemberChanged
from hubless_sim.gossip.accused_swarm import drawn_tape
from hubless_sim.gossip.run import GossipRun
from hubless_sim.search.sweep import swept, violations_of
from hubless_sim.tapes.tape import replace

LONG = 2_000


@pytest.mark.parametrize("seed", range(12))
def test_the_standing_seeds_hold(seed: int) -> None:
    assert violations_of(seed, "accused") == ()


@pytest.mark.long
def test_two_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, "accused") if violations}
    assert failed == {}


def told_of(run: GossipRun, victim: str) -> set[Condition]:
    run.finish()
    changed = [told.event.member for told in run.told if isinstance(told.event, MemberChanged)]
    return {member.condition for member in changed if member.node == victim}


@pytest.mark.parametrize("seed", range(4))
def test_who_is_accused_is_suspected_and_not_dead(seed: int) -> None:
    tape = drawn_tape(seed)
    (victim,) = tape.faults[0].victims  # type: ignore[attr-defined]
    assert told_of(GossipRun(tape), victim) == {Condition.ALIVE, Condition.SUSPECT}


def test_two_names_are_enough_for_a_death() -> None:
    tape = next(tape for tape in map(drawn_tape, range(20)) if getattr(tape.faults[0], "deaths", False))
    (lie,) = tape.faults
    others = tuple(sorted({"n0", "n1", "n2"} - set(lie.victims))[:2])  # type: ignore[attr-defined]
    names = msgspec.structs.replace(lie, accusers=others)
    run = GossipRun(replace(tape, faults=(names,)))
    assert Condition.DEAD in told_of(run, names.victims[0])  # type: ignore[attr-defined]
