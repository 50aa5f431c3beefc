"""Bounded queues: whatever a queue with a bound does is accepted, and a queue that takes one too many is found."""

import random

import pytest

from hubless_sim.checkers.bounds import Bound, Load, Overfull, overfull
from hubless_sim.gossip.run import GossipRun
from hubless_sim.gossip.swarm import cramped_tape
from hubless_sim.search.sweep import violations_of


def queue_run(seed: int, most: int, slots: int, *, slack: int = 0) -> list[Load]:
    """A queue that takes one more while less than ``most`` (and some slack) wait; what is out may come back."""
    chance = random.Random(seed)
    waiting = taken = 0
    looks = []
    for _ in range(3_000):
        match chance.randrange(5):
            case 0 if taken:
                taken -= 1
            case 1 if taken:  # a worker has died, or was too slow to be given more
                waiting, taken = waiting + taken, 0
            case 2 if waiting and taken < slots:
                waiting, taken = waiting - 1, taken + 1
            case _ if waiting < most + slack:
                waiting += 1
        looks.append(Load(waiting, taken))
    return looks


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("most", "slots"), [(1, 1), (2, 4), (16, 3)])
def test_a_queue_that_keeps_its_bound_is_accepted(seed: int, most: int, slots: int) -> None:
    bound = Bound(most)
    assert all(bound.is_kept(look) for look in queue_run(seed, most, slots))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("most", "slots"), [(1, 1), (2, 4), (16, 3)])
def test_a_queue_that_takes_one_too_many_is_found(seed: int, most: int, slots: int) -> None:
    bound = Bound(most)
    assert not all(bound.is_kept(look) for look in queue_run(seed, most, slots, slack=1))


def test_what_comes_back_is_not_too_much() -> None:
    bound = Bound(2)
    assert [bound.is_kept(look) for look in (Load(2, 3), Load(5, 0), Load(5, 1))] == [True, True, False]


def test_of_each_queue_the_first_is_told() -> None:
    square, wide = Overfull("the queue of square", 3, 2), Overfull("the queue of wide", 9, 2)
    longer = Overfull("the queue of square", 4, 2)
    found = list(overfull([(1, "n0", square), (2, "n0", longer), (3, "n1", square), (4, "n0", wide)]))
    assert [(each.at_ns, each.nodes) for each in found] == [(1, ("n0",)), (3, ("n1",)), (4, ("n0",))]
    assert {each.checker for each in found} == {"bounded queues"}
    assert list(overfull([])) == []


@pytest.mark.parametrize("seed", range(4))
def test_nodes_with_little_room_keep_within_it(seed: int) -> None:
    assert violations_of(seed, "cramped") == ()


def test_what_membership_keeps_too_much_of_is_told_of_its_node() -> None:
    run = GossipRun(cramped_tape(0))
    assert [(each.checker, each.nodes) for each in run.finish().violations] == []
    assert run.core(run.running()[0]).fill()["rumours"][1] == 3
    run.observe(7, 2, Overfull("the rumours", 4, 3))
    assert [(each.checker, each.at_ns, each.nodes) for each in run.violations()] == [
        ("bounded queues", 7, ("n2",))
    ]
