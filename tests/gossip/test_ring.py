"""The ring of live members against a sorted list."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_gossip.claims import node_point
from hubless_gossip.ring import Ring

nodes = st.sets(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(nodes, st.integers(0, 6), st.data())
def test_neighbours_are_those_of_a_sorted_circle(names: set[str], count: int, data: st.DataObject) -> None:
    ring = Ring()
    for node in sorted(names):
        ring.add(node)
    gone = data.draw(st.sampled_from(sorted(names)))
    ring.remove(gone)
    circle = sorted(names - {gone}, key=node_point)
    assert ring.nodes() == circle
    node = data.draw(st.sampled_from(sorted(names)))
    others = sorted(circle, key=lambda other: (node_point(other) - node_point(node)) % 2**64)
    others = [other for other in others if other != node]
    assert ring.successors(node, count) == others[:count]
    assert ring.predecessors(node, count) == others[::-1][:count]


@settings(max_examples=100, deadline=None)
@given(nodes, st.integers(0, 9), st.data())
def test_draws_are_different_live_and_not_excluded(names: set[str], count: int, data: st.DataObject) -> None:
    ring = Ring()
    for node in sorted(names):
        ring.add(node)
    excluded = data.draw(st.sets(st.sampled_from(sorted(names)), max_size=3))
    drawn = ring.draw(random.Random(1), count, excluded)
    assert len(set(drawn)) == len(drawn) <= count
    assert set(drawn) <= names - excluded


def test_everybody_is_watched_by_whom_it_is_told() -> None:
    ring = Ring()
    for number in range(20):
        ring.add(f"n{number}")
    for node in ring.nodes():
        for watcher in ring.predecessors(node, 3):
            assert node in ring.successors(watcher, 3)
