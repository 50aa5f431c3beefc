"""When a node serves: in its mesh and with agents to offer, or alone, if it knows its mesh and nobody answers."""

from __future__ import annotations

import pytest

from hubless.arrival import ALONE_AFTER_NS, Arrival
from hubless.effects import Log, NodeEffect

SECOND_NS = 1_000_000_000


def advanced(
    arrival: Arrival, now_ns: int = 0, *, has_met: bool = False, can_work: bool = True
) -> tuple[bool, list[NodeEffect]]:
    out: list[NodeEffect] = []
    return arrival.advance(now_ns, has_met=has_met, can_work=can_work, out=out), out


def begun(*, joins: bool = True, boot: int = 1) -> Arrival:
    arrival = Arrival(joins=joins)
    arrival.begin(0, boot=boot)
    return arrival


@pytest.mark.parametrize(("joins", "has_met"), [(True, True), (False, False)])
def test_a_node_in_its_mesh_arrives_when_it_can_work(joins: bool, has_met: bool) -> None:
    arrival = begun(joins=joins)
    assert advanced(arrival, has_met=has_met, can_work=False) == (False, [])
    assert not arrival.is_over
    assert advanced(arrival, has_met=has_met) == (True, [])
    assert arrival.is_over


def test_a_node_that_nobody_has_met_yet_waits_for_ever() -> None:
    arrival = begun()
    assert arrival.alone_from_ns is None
    assert advanced(arrival, 3_600 * SECOND_NS) == (False, [])


def test_one_that_was_of_the_mesh_before_goes_on_alone() -> None:
    arrival = begun(boot=2)
    assert arrival.alone_from_ns == ALONE_AFTER_NS
    assert advanced(arrival, ALONE_AFTER_NS - 1) == (False, [])
    over, (warning,) = advanced(arrival, ALONE_AFTER_NS)
    assert (over, arrival.alone_from_ns) == (True, None)
    assert isinstance(warning, Log)


def test_that_is_said_once_however_long_its_workers_take() -> None:
    arrival = begun(boot=2)
    over, said = advanced(arrival, ALONE_AFTER_NS, can_work=False)
    assert (over, len(said)) == (False, 1)
    assert advanced(arrival, ALONE_AFTER_NS + 1, can_work=False) == (False, [])
    assert advanced(arrival, ALONE_AFTER_NS + 2) == (True, [])


def test_who_is_met_in_time_is_not_given_up() -> None:
    arrival = begun(boot=2)
    assert advanced(arrival, SECOND_NS, has_met=True, can_work=False) == (False, [])
    assert arrival.alone_from_ns is None
    assert advanced(arrival, ALONE_AFTER_NS, has_met=True) == (True, [])
