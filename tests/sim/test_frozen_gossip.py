"""Some members never get well: what is wrong with them stays wrong for ever, and the others settle on themselves."""

import pytest

from hubless_sim.checkers.membership import MOST_DOUBT_NS
from hubless_sim.faults import Flapping, Isolate, Lasting, Loss, OneWay, Partition, Pause, SizeLimit, Starve
from hubless_sim.faults.concern import named_in
from hubless_sim.gossip.frozen_swarm import END_MS, HEAL_MS, SETTLED_MS, drawn_tape
from hubless_sim.gossip.run import GossipRun
from hubless_sim.play import play
from hubless_sim.search.calm import calm_ms
from hubless_sim.search.renumbering import without
from hubless_sim.search.sweep import swept, violations_of
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Tape, TapeError, check, replace
from hubless_sim.zoo import planted

MS = 1_000_000
STANDING = range(12)
LONG = 2_000


@pytest.mark.parametrize("seed", STANDING)
def test_the_core_settles(seed: int) -> None:
    assert violations_of(seed, "frozen-gossip") == ()


@pytest.mark.long
def test_two_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, "frozen-gossip") if violations}
    assert failed == {}


def core_of(tape: Tape) -> set[str]:
    assert isinstance(tape.system, GossipSystem)
    return set(tape.system.core)


def lasting(tape: Tape) -> list[Lasting]:
    return [fault for fault in tape.faults if isinstance(fault, Lasting) and fault.until_ms is None]


def test_the_core_is_more_than_half_and_most_tapes_have_several_troubles_that_last() -> None:
    tapes = [drawn_tape(seed) for seed in range(200)]
    kinds: set[type] = set()
    sizes: set[int] = set()
    for tape in tapes:
        core = core_of(tape)
        outsiders = {f"n{index}" for index in range(tape.nodes)} - core
        assert len(core) > tape.nodes / 2 and len(outsiders) >= 2
        assert all(outsiders & named_in(fault) for fault in lasting(tape))
        kinds.update(type(fault) for fault in lasting(tape))
        sizes.add(len(outsiders))
        ends = [fault.until_ms for fault in tape.faults if isinstance(fault, Lasting)]
        assert max((end for end in ends if end is not None), default=0) <= HEAL_MS
    assert {OneWay, Partition, Pause, Starve, Flapping, Isolate, Loss, SizeLimit} <= kinds
    assert sizes >= {2, 3, 4, 6, 9}
    assert sum(len(lasting(tape)) > 2 for tape in tapes) > 150


def cut_off(name: str, at_ms: int) -> Tape:
    """A tape in which one of the core is cut off from everybody from then on, which no swarm draws."""
    tape = drawn_tape(0)
    return replace(tape, faults=(*tape.faults, Isolate(at_ms=at_ms, nodes=(name,))))


def test_a_core_that_does_not_settle_is_found() -> None:
    tape = drawn_tape(0)
    victim = max(core_of(tape))
    for at_ms in (HEAL_MS, SETTLED_MS + 500):
        found = [
            each for each in play(cut_off(victim, at_ms)).violations if each.checker == "the core settles"
        ]
        assert {pair for each in found for pair in each.nodes} == core_of(tape)


@pytest.mark.parametrize(
    ("plant", "seed", "rule"),
    [("compares-no-views", 22, "the core settles"), ("lets-the-first-statement-win", 1, "right metadata")],
)
def test_planted_bugs_are_found(plant: str, seed: int, rule: str) -> None:
    with planted(plant):
        assert rule in {violation.checker for violation in play(drawn_tape(seed)).violations}


def test_the_others_may_believe_what_they_like() -> None:
    tape = drawn_tape(0)
    run = GossipRun(tape)
    assert run.finish().violations == ()
    outsiders = {f"n{index}" for index in range(tape.nodes)} - core_of(tape)
    assert any(run.view(name)[other].name != "ALIVE" for name in core_of(tape) for other in outsiders)


def test_a_tape_without_one_of_the_core_has_a_smaller_core_and_the_same_calm() -> None:
    tape = drawn_tape(0)
    smaller = without(tape, int(min(core_of(tape))[1:]))
    assert smaller is not None
    assert (len(core_of(smaller)), smaller.nodes) == (len(core_of(tape)) - 1, tape.nodes - 1)
    assert calm_ms(smaller) == calm_ms(tape) == SETTLED_MS
    assert END_MS - SETTLED_MS > 2 * MOST_DOUBT_NS / MS


def test_a_core_of_nodes_that_are_not_there_is_refused() -> None:
    with pytest.raises(TapeError, match=r"unknown node 'n3' at `\$.system.core`"):
        check(Tape(seed=1, nodes=3, duration_ms=100, system=GossipSystem(core=("n0", "n3"))))
