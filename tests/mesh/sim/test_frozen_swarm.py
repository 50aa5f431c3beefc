"""One or two nodes never get well: what is wrong stays wrong for ever, and the others live and end what they began."""

from collections.abc import Callable

import pytest

from hubless.placement import Preferences, Ring, RingMember
from hubless_sim.faults import (
    Bandwidth,
    Crash,
    Fault,
    Flapping,
    Isolate,
    Lasting,
    Loss,
    OneWay,
    Partition,
    Pause,
    PowerCut,
    Restart,
    RingPartition,
    Starve,
)
from hubless_sim.faults.concern import named_in
from hubless_sim.faults.freeze import frozen
from hubless_sim.mesh.frozen_swarm import HEAL_MS, OWNED_MS, drawn_tape, tape_of_two
from hubless_sim.mesh.run import MeshRun
from hubless_sim.play import play
from hubless_sim.search.renumbering import without
from hubless_sim.search.sweep import swept
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.systems import MeshSystem
from hubless_sim.tapes.tape import Tape
from hubless_sim.zoo import planted

STANDING = range(6)
STANDING_OF_TWO = (0, *range(2, 7))
"""Of seed 1 a shard is lost: both outsiders have it when they go."""
LONG = 400
FOUND = (206, 643)
"""An owner with a stalled disk and one follower that it heard: it stayed, and nothing was ever committed again.
An owner whose links came and went: it was heard often enough to stay, and what was asked of it was lost."""


@pytest.mark.parametrize("seed", [*STANDING, *FOUND])
def test_the_core_lives_and_ends_what_was_begun(seed: int) -> None:
    run = MeshRun(drawn_tape(seed))
    assert run.judge().violations == ()
    assert run.found()["lost_shards"] == []


@pytest.mark.parametrize("seed", STANDING_OF_TWO)
def test_the_core_of_seven_lives_without_two(seed: int) -> None:
    run = MeshRun(tape_of_two(seed))
    assert run.judge().violations == ()
    assert run.found()["lost_shards"] == []


@pytest.mark.parametrize(
    ("plant", "drawn", "seed", "rule"),
    [
        ("hears-an-owner-that-it-doubts-for-ever", drawn_tape, 1, "calm calls succeed"),
        ("lets-the-outcome-go-with-the-owner", drawn_tape, 2, "nothing left behind"),
        ("hears-an-owner-that-it-doubts-for-ever", tape_of_two, 0, "one owner"),
    ],
)
def test_a_core_that_does_not_live_is_found(
    plant: str, drawn: Callable[[int], Tape], seed: int, rule: str
) -> None:
    with planted(plant):
        found = {violation.checker for violation in play(drawn(seed)).violations}
    assert rule in found


@pytest.mark.long
@pytest.mark.parametrize("system", ["frozen", "frozen-two"])
def test_four_hundred_seeds_hold(system: str) -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2, system) if violations}
    assert failed == {}


def core_of(tape: Tape) -> set[str]:
    assert isinstance(tape.system, MeshSystem)
    return set(tape.system.core)


def test_what_lasts_for_ever_concerns_the_outsider_and_most_tapes_have_some() -> None:
    tapes = [drawn_tape(seed) for seed in range(200)]
    lasting = 0
    kinds: set[type] = set()
    for tape in tapes:
        (outsider,) = {f"n{index}" for index in range(tape.nodes)} - core_of(tape)
        late = [fault for fault in tape.faults if isinstance(fault, Lasting) and fault.until_ms is None]
        assert all(outsider in named_in(fault) for fault in late)
        lasting += bool(late)
        kinds.update(type(fault) for fault in late)
        ends = [fault.until_ms for fault in tape.faults if isinstance(fault, Lasting)]
        assert max((end for end in ends if end is not None), default=0) <= HEAL_MS
    assert lasting > 150
    assert {OneWay, Partition, Pause, Starve, Flapping, Isolate, Loss, PowerCut} <= kinds


def test_two_that_never_get_well_have_no_shard_in_common() -> None:
    pairs = set()
    troubled = 0
    for tape in map(tape_of_two, range(200)):
        assert isinstance(tape.system, MeshSystem)
        members = tuple(f"n{index}" for index in range(tape.nodes))
        outsiders = set(members) - core_of(tape)
        ring = Preferences(
            Ring.built(RingMember(name, since_ms=1) for name in members), shards=tape.system.shards
        )
        assert not any(outsiders <= set(ring.of_shard(shard)) for shard in range(tape.system.shards))
        late = [fault for fault in tape.faults if isinstance(fault, Lasting) and fault.until_ms is None]
        assert all(outsiders & named_in(fault) for fault in late)
        assert not any(isinstance(fault, Restart) and fault.wipe for fault in tape.faults)
        troubled += all(any(name in named_in(fault) for fault in late) for name in outsiders)
        pairs.add(tuple(sorted(outsiders)))
    assert troubled > 100
    assert len(pairs) > 3


@pytest.mark.parametrize("drawn", [drawn_tape, tape_of_two])
def test_every_shard_is_asked_through_the_core(drawn: Callable[[int], Tape]) -> None:
    for seed in range(20):
        tape = drawn(seed)
        assert isinstance(tape.system, MeshSystem)
        late = [each for each in tape.operations if isinstance(each, Call) and each.at_ms >= OWNED_MS]
        assert len(late) == tape.system.shards
        assert {each.gateway for each in late} <= core_of(tape)


@pytest.mark.parametrize(
    ("fault", "stays"),
    [
        (Pause(at_ms=1, until_ms=9, nodes=("n1", "n3")), [Pause(at_ms=9, nodes=("n3",))]),
        (Pause(at_ms=1, until_ms=8, nodes=("n3",)), []),
        (Pause(at_ms=1, until_ms=9, nodes=("n1",)), []),
        (Crash(at_ms=1, nodes=("n3",)), []),
        (Restart(at_ms=9, nodes=("n3",)), []),
        (
            OneWay(at_ms=1, until_ms=9, sources=("n1", "n3"), targets=("n0",)),
            [OneWay(at_ms=9, sources=("n3",), targets=("n0",))],
        ),
        (
            Bandwidth(at_ms=1, until_ms=9, bytes_per_s=7, sources=("n1",)),
            [Bandwidth(at_ms=9, bytes_per_s=7, sources=("n1",), targets=("n3",))],
        ),
        (
            Partition(at_ms=1, until_ms=9, sides=(("n0", "n3"), ("n1",))),
            [Partition(at_ms=9, sides=(("n3",), ("n1",)))],
        ),
        (
            Flapping(at_ms=1, until_ms=9, sides=((), ("n1",)), down_ms=1, up_ms=1),
            [Flapping(at_ms=9, sides=(("n3",), ("n1",)), down_ms=1, up_ms=1)],
        ),
        (Partition(at_ms=1, until_ms=9, sides=(("n0",), ("n1",))), []),
        (Isolate(at_ms=1, until_ms=9, nodes=("n0", "n3")), [Isolate(at_ms=9, nodes=("n3",))]),
        (
            RingPartition(at_ms=1, until_ms=9, nodes=("n3", "n0", "n1", "n4", "n2")),
            [Partition(at_ms=9, sides=(("n3",), ("n1", "n4")))],
        ),
    ],
)
def test_of_a_fault_the_share_of_the_outsider_stays(fault: Fault, stays: list[Fault]) -> None:
    assert frozen(fault, ("n3",), 9) == [fault, *stays]


def test_of_several_outsiders_each_keeps_its_share() -> None:
    cut = Partition(at_ms=1, until_ms=9, sides=(("n0", "n3"), ("n1", "n2")))
    assert frozen(cut, ("n2", "n3"), 9) == [
        cut,
        Partition(at_ms=9, sides=(("n2",), ("n0", "n3"))),
        Partition(at_ms=9, sides=(("n3",), ("n1", "n2"))),
    ]


def test_a_tape_without_one_of_the_core_has_a_smaller_core() -> None:
    tape = drawn_tape(0)
    gone = min(core_of(tape))
    smaller = without(tape, int(gone[1:]))
    assert smaller is not None
    assert len(core_of(smaller)) == len(core_of(tape)) - 1
    assert smaller.nodes == tape.nodes - 1
