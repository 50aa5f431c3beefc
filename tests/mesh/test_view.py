"""This node's picture of the mesh: who takes work, who owns what, who offers what."""

from collections.abc import Callable

import pytest

from hubless.meta import Offer
from hubless.placement import Ring
from hubless.view import View
from hubless_gossip import Address, Condition, Member

Make = Callable[..., View]
Describe = Callable[..., Member]


@pytest.fixture
def view(view_of: Make, member: Describe) -> View:
    return view_of(member("n0"), member("n1"), member("n2"), member("n3"))


def test_the_owner_is_the_first_of_the_preference_list_that_is_alive(view: View, member: Describe) -> None:
    first, second, third = view.preference(5)
    assert view.owner_of_shard(5) == first
    view.learn(member(first, condition=Condition.SUSPECT))
    assert view.owner_of_shard(5) == second
    view.learn(member(second, condition=Condition.BUSY))
    assert view.owner_of_shard(5) == third
    view.learn(member(first))
    assert view.owner_of_shard(5) == first


def test_when_none_is_alive_the_first_that_is_present_owns(view: View, member: Describe) -> None:
    first, second, third = view.preference(5)
    view.learn(member(first, condition=Condition.DEAD))
    for node in (second, third):
        view.learn(member(node, condition=Condition.SUSPECT))
    assert view.owner_of_shard(5) == second
    for node in (second, third):
        view.learn(member(node, condition=Condition.LEFT))
    assert view.owner_of_shard(5) is None


def test_every_shard_has_one_owner(view: View) -> None:
    owned = [shard for node in ("n0", "n1", "n2", "n3") for shard in view.owned(node)]
    assert sorted(owned) == list(range(16))


@pytest.mark.parametrize(
    ("condition", "alive", "present"),
    [
        (Condition.ALIVE, True, True),
        (Condition.BUSY, False, True),
        (Condition.SUSPECT, False, True),
        (Condition.DEAD, False, False),
        (Condition.LEFT, False, False),
    ],
)
def test_who_takes_work_and_who_may_still_answer(
    view: View, member: Describe, condition: Condition, alive: bool, present: bool
) -> None:
    view.learn(member("n1", condition=condition))
    assert view.is_alive("n1") is alive
    assert ("n1" in view.takers) is alive
    assert view.is_present("n1") is present
    assert not view.is_present("n9")


def test_a_suspect_keeps_its_seat_and_the_dead_and_leaving_lose_it(view: View, member: Describe) -> None:
    view.learn(member("n1", condition=Condition.SUSPECT))
    assert not view.ring_is_stale
    view.learn(member("n1", condition=Condition.DEAD))
    assert view.ring_is_stale
    view.learn(member("n2", weight=0))
    assert [seat.node for seat in view.ring_members()] == ["n0", "n3"]
    assert not view.ring_is_stale


def test_offers_are_those_of_present_members(view: View, member: Describe) -> None:
    view.learn(member("n1", offers=(Offer("rare", "2", 3, 700, 1),)))
    assert view.agents() == ["echo", "once", "rare"]
    assert view.offered_by("n1") == ["rare"]
    assert view.default_deadline_ms("rare") == 1_400
    assert view.agent_ring("rare").nodes == {"n1"}
    view.learn(member("n1", condition=Condition.DEAD, offers=(Offer("rare", "2", 3, 700, 1),)))
    assert not view.is_offered("rare")
    assert view.offer("rare") is None
    assert view.default_deadline_ms("rare") == 30_000


def test_own_slots_are_this_node_s(view: View) -> None:
    assert view.own_slots("echo") == 2
    assert view.own_slots("nobody") == 0


def test_a_member_is_found_by_id_name_or_the_start_of_its_id(view_of: Make, member: Describe) -> None:
    view = view_of(member("n0"), member("n10", name="left"), member("n11", name="right"))
    assert view.find("n10") == "n10"
    assert view.find("right") == "n11"
    assert view.find("n0") == "n0"
    assert view.find("n1") is None, "two begin so"
    assert view.find("") is None
    assert view.find("nobody") is None


def test_of_two_members_of_one_name_neither_is_found(view_of: Make, member: Describe) -> None:
    view = view_of(member("n0", name="twin"), member("n1", name="twin"))
    assert view.find("twin") is None


def test_a_member_without_a_readable_description_has_neither_seat_nor_address(
    view: View, member: Describe
) -> None:
    view.learn(member("n4", meta=b"\xff\xff"))
    assert view.work_address("n4") is None
    assert "n4" not in [seat.node for seat in view.ring_members()]
    assert view.label("n4") == "n4"


def test_addresses_for_clients_begin_with_this_node_and_leave_out_who_is_not_well(
    view_of: Make, member: Describe
) -> None:
    view = view_of(member("n0"), member("n1"), member("n2", condition=Condition.BUSY), me="n1")
    assert view.work_addresses() == (Address("127.0.0.1", 20_001), Address("127.0.0.1", 20_000))


def test_only_the_absent_are_forgotten(view: View, member: Describe) -> None:
    view.learn(member("n1", condition=Condition.DEAD))
    assert view.absent() == ["n1"]
    view.forget("n1")
    view.forget("n2")
    assert [known.member.node for known in view.known()] == ["n0", "n2", "n3"]


def test_pools_are_the_others_that_are_present(view: View, member: Describe) -> None:
    assert view.pools_are_stale
    view.learn(member("n3", condition=Condition.DEAD))
    peers, offers = view.pools()
    assert peers == ["n1", "n2"]
    assert offers["echo"] == ["n0", "n1", "n2"]
    assert not view.pools_are_stale


def test_a_view_without_anybody_owns_nothing() -> None:
    view = View(me="n0", shards=4)
    view.ring_built(Ring.built(()))
    assert view.owner_of_shard(0) is None
    assert view.owned("n0") == ()
    assert not view.has_others()
