"""The ring is uhashring's, whatever way it was reached, and moves little when a node comes or goes."""

import os
import random
import subprocess
import sys
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uhashring import HashRing

from hubless.placement import VNODES, Ring, RingMember, ring_hash

NODES = st.text("abcdefgh-0123456789", min_size=1, max_size=6)
MEMBERS = st.dictionaries(
    NODES, st.tuples(st.integers(1, 3), st.sampled_from(["", "east", "west"])), max_size=8
).map(lambda seats: [RingMember(node, weight, zone) for node, (weight, zone) in seats.items()])
KEYS = st.binary(min_size=1, max_size=8)


def reference(members: list[RingMember], vnodes: int) -> HashRing:
    """A fresh uhashring ring, told of the members in whatever order they come."""
    return HashRing({m.node: m.weight for m in members}, vnodes=vnodes, hash_fn=ring_hash)


def shares(ring: Ring) -> dict[str, float]:
    """Part of the circle that each node owns, worked out from the points."""
    points = list(ring.points())
    full = 1 << 128
    owned: dict[str, float] = dict.fromkeys(ring.members, 0.0)
    for (before, _), (position, node) in zip([points[-1], *points[:-1]], points, strict=True):
        owned[node] += ((position - before) % full) / full
    return owned


@settings(max_examples=100, deadline=None)
@given(MEMBERS, st.randoms(use_true_random=False))
def test_equals_a_fresh_uhashring_ring_in_any_order(members: list[RingMember], rng: random.Random) -> None:
    shuffled = rng.sample(members, len(members))
    ring = Ring.built(members, vnodes=12)
    expected = reference(shuffled, 12).get_points() if members else []
    assert list(ring.points()) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(MEMBERS, min_size=2, max_size=5))
def test_following_views_equals_building_the_last(views: list[list[RingMember]]) -> None:
    ring = Ring.built(views[0], vnodes=12)
    for members in views[1:]:
        ring = ring.changed(members)
        fresh = Ring.built(members, vnodes=12)
        assert list(ring.points()) == list(fresh.points())
        assert dict(ring.members) == dict(fresh.members)
        assert ring.zones == fresh.zones


@settings(max_examples=50, deadline=None)
@given(MEMBERS, st.builds(RingMember, NODES, st.integers(1, 3), st.just("north")))
def test_join_then_leave_restores_the_ring_and_never_touches_the_old_one(
    members: list[RingMember], newcomer: RingMember
) -> None:
    before = Ring.built([m for m in members if m.node != newcomer.node], vnodes=12)
    points = list(before.points())
    joined = before.with_member(newcomer)
    assert newcomer.node in joined
    assert joined.members[newcomer.node] == newcomer
    assert list(joined.without(newcomer.node).points()) == points
    assert list(before.points()) == points
    assert newcomer.node not in before


@settings(max_examples=100, deadline=None)
@given(MEMBERS.filter(bool), KEYS, st.integers(1, 10))
def test_owners_are_what_uhashring_meets_first(members: list[RingMember], key: bytes, count: int) -> None:
    ring = Ring.built(members, vnodes=12)
    met = [conf["nodename"] for conf in reference(members, 12).range(key, unique=True)]
    assert list(ring.walk(key)) == met
    assert list(ring.owners(key, count)) == met[:count]


@settings(max_examples=50, deadline=None)
@given(MEMBERS.filter(bool), NODES, st.lists(KEYS, min_size=1, max_size=30))
def test_a_join_moves_keys_only_to_the_newcomer(
    members: list[RingMember], node: str, keys: list[bytes]
) -> None:
    before = Ring.built([m for m in members if m.node != node], vnodes=12)
    after = before.with_member(RingMember(node))
    for key in keys:
        if before.owners(key, 1) != after.owners(key, 1):
            assert after.owners(key, 1) == (node,)


def test_shares_stray_from_fair_by_less_than_five_sigma_at_100_nodes() -> None:
    ring = Ring.built([RingMember(f"node-{i}") for i in range(100)])
    sigma = 1 / sqrt(VNODES)
    for share in shares(ring).values():
        assert abs(share * 100 - 1) < 5 * sigma


def test_shares_follow_weights() -> None:
    ring = Ring.built([RingMember(f"node-{i}", 1 + i % 4) for i in range(40)])
    owned = shares(ring)
    for weight in (1, 2, 3, 4):
        group = sum(owned[m.node] for m in ring.members.values() if m.weight == weight)
        assert abs(group / (weight / 10) - 1) < 0.15


def test_join_at_100_nodes_moves_about_its_fair_share() -> None:
    before = Ring.built([RingMember(f"node-{i}") for i in range(100)])
    after = before.with_member(RingMember("newcomer"))
    keys = [f"key-{i}" for i in range(5_000)]
    moved = sum(before.owners(key, 1) != after.owners(key, 1) for key in keys)
    assert 0.5 < moved / (5_000 / 101) < 1.6


def test_same_ring_in_processes_with_different_hash_seeds() -> None:
    code = (
        "from hubless.placement import Ring, RingMember\n"
        "ring = Ring.built({RingMember(f'n{i}', 1, f'z{i % 3}') for i in range(9)}, vnodes=20)\n"
        "ring = ring.without('n3').with_member(RingMember('x'))\n"
        "print(list(ring.members), list(ring.points()), [ring.owners(f'k{i}', 3) for i in range(50)])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "n8" in outputs.pop()


def test_an_empty_ring_owns_nothing() -> None:
    ring = Ring.built([])
    assert ring.owners("key", 3) == ()
    assert list(ring.walk("key")) == []
    assert len(ring) == 0


def test_an_unchanged_view_is_the_same_ring() -> None:
    ring = Ring.built([RingMember("a"), RingMember("b")], vnodes=4)
    assert ring.changed([RingMember("b"), RingMember("a")]) is ring


def test_a_change_of_zone_alone_keeps_every_point() -> None:
    ring = Ring.built([RingMember("a"), RingMember("b")], vnodes=4)
    moved = ring.with_member(RingMember("a", zone="east"))
    assert list(moved.points()) == list(ring.points())
    assert (ring.zones, moved.zones) == ({"": 2}, {"": 1, "east": 1})


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([RingMember("a"), RingMember("a", 2)], "twice"),
        ([RingMember("")], "empty"),
        ([RingMember("a", 0)], "weight of 'a' must be 1..64, got 0"),
        ([RingMember("a", 65)], "got 65"),
    ],
)
def test_members_that_cannot_be_seated_are_refused(members: list[RingMember], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Ring.built(members)


def test_removing_a_stranger_and_vnodes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="'ghost' is not on the ring"):
        Ring.built([RingMember("a")], vnodes=4).without("ghost")
    with pytest.raises(ValueError, match="vnodes must be 1"):
        Ring.built([], vnodes=0)
