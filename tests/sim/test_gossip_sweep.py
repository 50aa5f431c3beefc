"""Fixed seeds: meshes of 5 to 20 nodes under faults of every kind, then calm, then right views."""

import pytest

from hubless_gossip import Address, Condition, Member, MemberChanged
from hubless_sim.faults import Crash, Fault, Isolate, Loss, Partition, Restart, Starve
from hubless_sim.gossip.audit import Audit
from hubless_sim.play import play
from hubless_sim.search.sweep import violations_of
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Tape, replace

MS = 1_000_000
NAMES = ("n0", "n1", "n2")
LIVES = {"n0": 1, "n1": 1, "n2": 2}


@pytest.mark.parametrize("seed", range(50))
def test_what_is_told_is_right_and_so_are_views_after_the_calm(seed: int) -> None:
    assert violations_of(seed, "gossip") == ()


def test_views_that_have_no_time_to_become_right_are_blamed_on_tapes_that_ask_for_right_ones() -> None:
    crash = Crash(at_ms=2_900, nodes=("n1",), silent=True)
    tape = Tape(seed=1, nodes=4, duration_ms=3_000, faults=(crash,))
    assert play(tape).violations == ()
    asking = replace(tape, system=GossipSystem(right_views=True))
    assert {violation.checker for violation in play(asking).violations} == {"right views"}


# The audit itself


def told(
    *told: tuple[int, str, Member], faults: tuple[Fault, ...] = (), lives: dict[str, int] = LIVES
) -> list[str]:
    """The rules that are broken when nodes, in their first lives, tell this at these times in ms."""
    audit = Audit(faults, NAMES)
    for at_ms, teller, member in told:
        audit.told(at_ms * MS, teller, 1, MemberChanged(member, None), lives)
    return [violation.checker for violation in audit.violations]


def member(
    node: str, *, boot: int = 1, incarnation: int = 0, condition: Condition = Condition.ALIVE
) -> Member:
    return Member(node, boot, incarnation, condition, Address("10.0.0.1", 1), b"", 0, 0)


def dead(node: str, boot: int = 1) -> Member:
    return member(node, boot=boot, condition=Condition.DEAD)


def test_the_death_of_a_healthy_process_is_false() -> None:
    assert told((500, "n0", dead("n1"))) == ["no false deaths"]


def test_the_death_of_a_process_that_runs_no_more_is_not() -> None:
    assert told((500, "n0", dead("n1")), lives={"n0": 1}) == []
    assert told((500, "n0", dead("n2", boot=1))) == []


@pytest.mark.parametrize(
    "fault",
    [
        Isolate(at_ms=100, until_ms=200, nodes=("n1",)),
        Isolate(at_ms=100, until_ms=200, nodes=("n0",)),
        Loss(at_ms=100, until_ms=200, rate=0.5),
        Partition(at_ms=100, until_ms=200, sides=(("n2",), ())),
        Starve(at_ms=100, until_ms=200, nodes=("n1",), links_alive=False),
    ],
)
def test_from_a_fault_on_nodes_may_be_wrong_about_those_whom_it_concerned(fault: Fault) -> None:
    assert told((150, "n0", dead("n1")), faults=(fault,)) == []
    assert told((900, "n0", dead("n1")), faults=(fault,)) == []
    assert told((90, "n0", dead("n1")), faults=(fault,)) == ["no false deaths"]


def test_a_busy_process_is_healthy_as_long_as_its_links_answer() -> None:
    busy = Starve(at_ms=100, until_ms=900, nodes=("n1",))
    assert told((500, "n0", dead("n1")), faults=(busy,)) == ["no false deaths"]


def test_incarnations_never_fall_not_even_over_restarts() -> None:
    before = (1, "n0", member("n1", incarnation=3))
    assert told(before, (2, "n0", member("n1", incarnation=2))) == ["numbers rise"]
    assert told(before, (2, "n0", member("n1", boot=2, incarnation=0))) == ["numbers rise"]
    assert told(before, (2, "n0", member("n1", boot=2, incarnation=3))) == []
    assert told(before, (2, "n2", member("n1", incarnation=2))) == []


def test_a_wiped_disk_has_no_incarnation_to_go_on_from() -> None:
    wipe = Restart(at_ms=1, nodes=("n1",), wipe=True)
    before = (1, "n0", member("n1", incarnation=3))
    assert told(before, (2, "n0", member("n1", boot=2, incarnation=0)), faults=(wipe,)) == []
