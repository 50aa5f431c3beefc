"""This node's picture of the mesh: who takes work, who owns what, who offers what."""

from collections.abc import Callable

import pytest

from hubless.meta import Offer
from hubless.view import View
from hubless_gossip import Address, Condition, Member

Make = Callable[..., View]
Describe = Callable[..., Member]


@pytest.fixture
def view(view_of: Make, member: Describe) -> View:
    return view_of(member("n0"), member("n1"), member("n2"), member("n3"))


def test_nobody_owns_a_shard_until_somebody_says_so(view: View) -> None:
    assert (view.owner_of_shard(5), view.term_of_shard(5), view.reachable()) == (None, 0, ())
    assert view.learn_owner(5, 3, "n1")
    assert (view.owner_of_shard(5), view.term_of_shard(5)) == ("n1", 3)
    assert (view.owned("n1"), view.reachable()) == ((5,), (5,))


@pytest.mark.parametrize(("term", "node"), [(3, "n1"), (3, "n2"), (2, "n2"), (9, "")])
def test_the_newest_term_counts_and_the_first_who_names_it(view: View, term: int, node: str) -> None:
    view.learn_owner(5, 3, "n1")
    assert not view.learn_owner(5, term, node)
    assert view.owner_of_shard(5) == "n1"


@pytest.mark.parametrize("shard", [-1, 16])
def test_nobody_owns_a_shard_that_the_mesh_does_not_have(view: View, shard: int) -> None:
    assert not view.learn_owner(shard, 1, "n1")


def test_an_owner_that_is_gone_owns_nothing_and_one_in_doubt_may(view: View, member: Describe) -> None:
    view.learn_owner(5, 3, "n1")
    for condition in (Condition.SUSPECT, Condition.BUSY):
        view.learn(member("n1", condition=condition))
        assert view.owner_of_shard(5) == "n1"
    view.learn(member("n1", condition=Condition.DEAD))
    assert (view.owner_of_shard(5), view.term_of_shard(5), view.reachable()) == (None, 3, ())
    assert view.learn_owner(5, 4, "n2")
    assert view.owner_of_shard(5) == "n2"


def test_an_owner_that_was_never_heard_of_may_come_later(view: View, member: Describe) -> None:
    assert view.learn_owner(5, 1, "n9")
    assert view.owner_of_shard(5) is None
    view.learn(member("n9"))
    assert view.owner_of_shard(5) == "n9"


def test_who_says_that_it_is_not_the_owner_is_believed_until_it_says_otherwise(view: View) -> None:
    view.learn_owner(5, 3, "n1")
    view.doubt_owner(5, "n2")
    assert view.owner_of_shard(5) == "n1"
    view.doubt_owner(5, "n1")
    assert view.owner_of_shard(5) is None
    assert not view.learn_owner(5, 2, "n2"), "what was old stays old"
    assert view.learn_owner(5, 3, "n1"), "it was not ready yet"


def test_members_are_well_in_doubt_or_gone(view: View, member: Describe) -> None:
    for node, condition in (
        ("n1", Condition.BUSY),
        ("n2", Condition.SUSPECT),
        ("n3", Condition.DEAD),
        ("n4", Condition.LEFT),
    ):
        view.learn(member(node, condition=condition))
    assert view.conditions() == ({"n0"}, {"n1", "n2"}, {"n3", "n4"})


def test_who_wants_no_part_in_keeping_is_draining_as_long_as_it_is_there(
    view_of: Make, member: Describe
) -> None:
    view = view_of(member("n0"), member("n1", weight=0), member("n2", weight=0, condition=Condition.DEAD))
    assert view.draining() == {"n1"}
    assert not view.has_other_seats()
    view.learn(member("n3"))
    assert view.has_other_seats()


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


def seats(view: View) -> list[str]:
    return [seat.node for seat in view.ring_members()]


def test_a_suspect_keeps_its_seat_and_the_leaving_lose_it(view: View, member: Describe) -> None:
    view.learn(member("n1", condition=Condition.SUSPECT))
    assert not view.ring_is_stale
    view.learn(member("n2", weight=0))
    assert view.ring_is_stale
    view.learn(member("n3", condition=Condition.LEFT))
    assert seats(view) == ["n0", "n1"]
    assert not view.ring_is_stale


def test_the_dead_keep_their_seats_until_they_are_replaced(view: View, member: Describe) -> None:
    """Nothing moves for a restart."""
    view.learn(member("n1", condition=Condition.DEAD))
    view.replace_dead(29, after_ns=30)
    assert not view.ring_is_stale
    assert seats(view) == ["n0", "n1", "n2", "n3"]
    view.replace_dead(30, after_ns=30)
    assert view.ring_is_stale
    assert seats(view) == ["n0", "n2", "n3"]
    view.replace_dead(31, after_ns=30)
    assert not view.ring_is_stale, "once"


def test_who_was_replaced_stays_so_until_it_is_back(view: View, member: Describe) -> None:
    view.learn(member("n1", condition=Condition.DEAD))
    view.replace_dead(30, after_ns=30)
    view.learn(member("n1", condition=Condition.DEAD))
    assert "n1" not in seats(view)
    view.learn(member("n1", boot=2))
    assert view.ring_is_stale
    assert "n1" in seats(view)


def test_seats_are_as_old_as_the_members_say(view_of: Make, member: Describe) -> None:
    view = view_of(member("n0", since_ms=9), member("n1"))
    view.learn(member("n1", since_ms=7))
    assert view.ring_is_stale
    assert [(seat.node, seat.since_ms) for seat in view.ring_members()] == [("n0", 9), ("n1", 7)]


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
    view.ring_built(view.preferences.changed(()))
    assert view.owner_of_shard(0) is None
    assert view.owned("n0") == ()
    assert not view.has_others()


def test_a_node_is_cut_off_while_it_or_this_one_says_so_and_is_there(view: View, member: Describe) -> None:
    view.learn_link("n0", "n1", degraded=True)
    view.learn_link("n1", "n0", degraded=True)
    view.learn_link("n2", "n3", degraded=True)
    assert [node for node in ("n1", "n2", "n3") if node in view.cut_off] == ["n1"]
    view.learn_link("n0", "n1", degraded=False)
    assert view.is_out_of_reach("n1")
    view.learn_link("n1", "n0", degraded=False)
    assert not view.is_out_of_reach("n1")
    view.learn_link("n0", "n1", degraded=True)
    view.learn(member("n1", boot=2))
    assert "n1" not in view.cut_off, "another process"
    view.learn_links([("n0", "n3"), ("n1", "n2")])
    assert [node for node in ("n1", "n2", "n3") if node in view.cut_off] == ["n3"]
    view.learn(member("n2", condition=Condition.DEAD))
    view.learn_link("n0", "n2", degraded=True)
    assert "n2" not in view.cut_off
