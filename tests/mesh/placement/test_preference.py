"""Preference lists: distinct, spread over zones, stable; keys, ids and agents' rings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.placement import (
    AgentRing,
    Preferences,
    Ring,
    RingMember,
    mint_task_id,
    preference_list,
    shard_of_key,
    shard_of_task,
)
from hubless.placement.preference import SPARES

ZONED = st.dictionaries(
    st.sampled_from([f"n{i}" for i in range(12)]), st.sampled_from("ABCD"), min_size=1
).map(lambda zones: Ring.built([RingMember(node, 1, zone) for node, zone in zones.items()], vnodes=8))
SHARD_KEYS = [f"shard-{i}" for i in range(40)]


def by_the_book(ring: Ring, key: str, count: int) -> tuple[str, ...]:
    """The rule in the plainest way: one pass for new zones, a second to fill."""
    order = list(ring.walk(key))
    firsts: list[str] = []
    for node in order:
        if ring.members[node].zone not in [ring.members[other].zone for other in firsts]:
            firsts.append(node)
    return tuple((firsts + [node for node in order if node not in firsts])[:count])


@settings(max_examples=100, deadline=None)
@given(ZONED, st.integers(1, 14))
def test_lists_are_what_the_rule_says(ring: Ring, count: int) -> None:
    for key in SHARD_KEYS:
        assert preference_list(ring, key, count) == by_the_book(ring, key, count)


@settings(max_examples=100, deadline=None)
@given(ZONED, st.integers(1, 6))
def test_lists_are_distinct_full_and_spread(ring: Ring, count: int) -> None:
    for key in SHARD_KEYS:
        nodes = preference_list(ring, key, count)
        assert len(set(nodes)) == len(nodes) == min(count, len(ring))
        assert len({ring.members[node].zone for node in nodes}) == min(len(nodes), len(ring.zones))


@settings(max_examples=100, deadline=None)
@given(ZONED, st.integers(1, 6))
def test_a_list_is_a_prefix_of_the_longer_one(ring: Ring, count: int) -> None:
    for key in SHARD_KEYS:
        assert preference_list(ring, key, count + 1)[:count] == preference_list(ring, key, count)


@settings(max_examples=50, deadline=None)
@given(ZONED, st.integers(1, 4))
def test_spares_go_on_where_the_list_ends(ring: Ring, count: int) -> None:
    preferences = Preferences(ring, shards=4, replicas=count)
    for shard in range(4):
        longer = preference_list(ring, f"shard-{shard}", count + SPARES)
        assert preferences.of_shard(shard) + preferences.spares(shard) == longer


@settings(max_examples=100, deadline=None)
@given(ZONED, st.sampled_from("ABCDE"), st.integers(1, 5))
def test_a_join_replaces_at_most_one_member_of_a_list_and_only_by_the_newcomer(
    ring: Ring, zone: str, count: int
) -> None:
    joined = ring.with_member(RingMember("newcomer", 1, zone))
    for key in SHARD_KEYS:
        before, after = set(preference_list(ring, key, count)), set(preference_list(joined, key, count))
        assert after - before <= {"newcomer"}
        assert len(before - after) <= 1


@pytest.mark.parametrize(("zones", "nodes"), [(1, 5), (1, 20), (3, 5), (3, 20)])
def test_a_join_moves_at_most_its_share_of_the_places(zones: int, nodes: int) -> None:
    """Averaged over ten newcomers: 3 * K / (N + 1) places of K lists, 1.2 times that as allowance."""
    ring = Ring.built([RingMember(f"node-{i}", 1, f"z{i % zones}") for i in range(nodes)])
    keys = [f"shard-{i}" for i in range(512)]
    lists = {key: set(preference_list(ring, key, 3)) for key in keys}
    moved = 0
    for j in range(10):
        joined = ring.with_member(RingMember(f"newcomer-{j}", 1, f"z{j % zones}"))
        moved += sum(len(lists[key] - set(preference_list(joined, key, 3))) for key in keys)
    assert moved / 10 <= 1.2 * 3 * len(keys) / (nodes + 1)


def test_preferences_list_every_shard_once_and_know_who_owns_what() -> None:
    ring = Ring.built([RingMember(f"node-{i}") for i in range(5)])
    preferences = Preferences(ring, shards=64, replicas=3)
    lists = [preferences.of_shard(shard) for shard in range(64)]
    assert lists == [preference_list(ring, f"shard-{shard}", 3) for shard in range(64)]
    owned = {node: preferences.owned_by(node) for node in ring.members}
    assert sorted(shard for shards in owned.values() for shard in shards) == list(range(64))
    assert all(lists[shard][0] == node for node, shards in owned.items() for shard in shards)
    assert preferences.of_key("order-7") == preferences.of_shard(shard_of_key("order-7", 64))


def test_preferences_follow_the_members_and_stay_the_same_with_them() -> None:
    """Also when nothing but an age has changed: it may decide who declines."""
    members = [RingMember(f"node-{i}", since_ms=1 + i) for i in range(30)]
    preferences = Preferences(Ring.built([]), shards=64).changed(members)
    assert preferences.changed(reversed(members)) is preferences
    aged = [RingMember(member.node, since_ms=31 - member.since_ms) for member in members]
    lists = [preferences.of_shard(shard) for shard in range(64)]
    assert [preferences.changed(aged).of_shard(shard) for shard in range(64)] != lists
    again = preferences.changed(aged).changed(members)
    assert [again.of_shard(shard) for shard in range(64)] == lists


def test_preferences_of_nobody_are_empty_and_strange_shards_are_refused() -> None:
    preferences = Preferences(Ring.built([]), shards=8)
    assert preferences.of_shard(7) == ()
    assert preferences.owned_by("a") == ()
    for shard in (-1, 8):
        with pytest.raises(ValueError, match=r"shard must be 0\.\.7"):
            preferences.of_shard(shard)


def test_shard_of_key_is_the_same_for_ever() -> None:
    """Tasks are found again by it: changing the hash would orphan every key of a living mesh."""
    assert [shard_of_key(key, 64) for key in ("order-7", b"order-7", "", "ключ")] == [49, 49, 52, 32]


@given(st.integers(1, 200))
def test_shard_of_key_stays_in_range_and_reaches_every_shard(shards: int) -> None:
    assert {shard_of_key(f"key-{i}", shards) for i in range(shards * 20)} == set(range(shards))


@given(st.integers(0, 65535), st.binary(min_size=14, max_size=14))
def test_a_task_id_says_its_shard(shard: int, random_bytes: bytes) -> None:
    task = mint_task_id(shard, random_bytes)
    assert len(task) == 16
    assert shard_of_task(task) == shard
    assert task.endswith(random_bytes)
    assert task[:2] == shard.to_bytes(2, "big")


def test_bad_shards_and_ids_are_refused() -> None:
    for bad in (-1, 65536):
        with pytest.raises(ValueError, match="shard must be"):
            mint_task_id(bad, bytes(14))
    with pytest.raises(ValueError, match="14 bytes, got 13"):
        mint_task_id(0, bytes(13))
    with pytest.raises(ValueError, match="16 bytes, got 17"):
        shard_of_task(bytes(17))
    for bad in (0, 65537):
        with pytest.raises(ValueError, match="shards must be"):
            shard_of_key("key", bad)
    with pytest.raises(ValueError, match="replicas"):
        Preferences(Ring.built([]), replicas=0)


@settings(max_examples=60, deadline=None)
@given(ZONED, st.sets(st.sampled_from([f"n{i}" for i in range(14)])), st.binary(max_size=16))
def test_an_agents_order_holds_exactly_the_offering_members(
    ring: Ring, offering: set[str], key: bytes
) -> None:
    agent_ring = AgentRing(ring, "echo", offering)
    order = agent_ring.order(key)
    assert sorted(order) == sorted(offering & set(ring.members)) == sorted(agent_ring.nodes)
    assert agent_ring.order(key) == order
    assert AgentRing(ring, "echo", offering, limit=2).order(key) == order[:2]


@settings(max_examples=60, deadline=None)
@given(ZONED, st.binary(max_size=16))
def test_an_agents_order_keeps_when_an_executor_goes(ring: Ring, key: bytes) -> None:
    order = AgentRing(ring, "echo", ring.members).order(key)
    for gone in ring.members:
        rest = [node for node in ring.members if node != gone]
        assert list(AgentRing(ring, "echo", rest).order(key)) == [node for node in order if node != gone]


def test_different_agents_and_keys_start_at_different_executors() -> None:
    ring = Ring.built([RingMember(f"node-{i}") for i in range(5)])
    rings = [AgentRing(ring, agent, ring.members) for agent in ("echo", "parse")]
    keys = [f"key-{i}".encode() for i in range(200)]
    for agent_ring in rings:
        assert {agent_ring.order(key)[0] for key in keys} == set(ring.members)
    assert any(rings[0].order(key) != rings[1].order(key) for key in keys)
