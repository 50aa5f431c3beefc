"""Rings and owners: what nodes that agree hold is accepted, and every small change of it is not."""

from hubless_sim.checkers.rings import two_owners, unlike_rings

SEATS = {"n0": 1, "n1": 2, "n2": 1}

Rings = dict[str, dict[str, object]]
Owners = dict[str, dict[int, tuple[int, str]]]


def agreed() -> Rings:
    return {node: dict(SEATS) for node in SEATS}


def test_rings_that_agree_are_accepted_and_seats_of_the_dead_may_differ() -> None:
    rings = agreed()
    assert list(unlike_rings(rings)) == []
    rings["n1"]["n9"] = 1
    assert list(unlike_rings(rings)) == []


def test_who_leaves_has_no_seat_on_any_ring() -> None:
    rings = agreed()
    for ring in rings.values():
        del ring["n2"]
    assert list(unlike_rings(rings)) == []


def test_a_seat_that_is_missing_or_another_is_found() -> None:
    for node in SEATS:
        for other in SEATS:
            for seat in (None, 7):
                rings = agreed()
                if seat is None:
                    del rings[node][other]
                else:
                    rings[node][other] = seat
                wrong = [each.nodes for each in unlike_rings(rings)]
                expected = [(node,)] if node != other else [(each,) for each in SEATS if each != node]
                assert wrong == expected


def known() -> Owners:
    """The last has not heard of the newest term of shard 1 yet."""
    return {
        "n0": {0: (3, "n0"), 1: (5, "n1")},
        "n1": {0: (3, "n0"), 1: (5, "n1")},
        "n2": {0: (3, "n0"), 1: (4, "n0")},
    }


def test_who_is_behind_knows_an_earlier_owner() -> None:
    assert list(two_owners(known())) == []


def test_two_owners_in_one_term_of_a_shard_are_found() -> None:
    for node, shard, owner in (("n0", 0, "n2"), ("n1", 1, "n2"), ("n2", 0, "n1")):
        owners = known()
        owners[node][shard] = (owners[node][shard][0], owner)
        found = list(two_owners(owners))
        assert {each.checker for each in found} == {"one owner known"}
        assert all(f"shard {shard}" in each.text for each in found)
    owners = known()
    owners["n2"][1] = (5, "n0")
    assert [each.nodes for each in two_owners(owners)] == [("n0", "n2")]
