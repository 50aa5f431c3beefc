"""What nodes believe of one another: what a calm mesh holds is accepted, and every small change of it is not."""

from collections.abc import Iterator

import pytest

from hubless_gossip import Condition
from hubless_sim.checkers.membership import Death, false_deaths, wrong_metadata, wrong_views

ALIVE, BUSY, SUSPECT, DEAD, LEFT = Condition
RUNNING = ("n0", "n1", "n2")
GONE = {"n3": DEAD, "n4": LEFT}

Views = dict[str, dict[str, Condition]]
Metadata = dict[str, dict[str, bytes]]


def calm() -> Views:
    return {node: {**dict.fromkeys(RUNNING, ALIVE), **GONE} for node in RUNNING}


def test_a_calm_mesh_is_accepted_also_if_some_have_forgotten_the_dead() -> None:
    views = calm()
    assert list(wrong_views(views)) == []
    del views["n1"]["n3"]
    assert list(wrong_views(views)) == []
    assert list(wrong_views({"n0": {"n0": ALIVE}})) == []


def changed_views() -> Iterator[tuple[str, Views]]:
    """Each view with one belief that is another: the mutants."""
    for node in RUNNING:
        for other in RUNNING:
            for condition in (BUSY, SUSPECT, DEAD, LEFT):
                views = calm()
                views[node][other] = condition
                yield node, views
            views = calm()
            del views[node][other]
            yield node, views
        for gone in GONE:
            for condition in (ALIVE, BUSY, SUSPECT):
                views = calm()
                views[node][gone] = condition
                yield node, views


def test_any_belief_that_is_another_is_found_where_it_is_held() -> None:
    mutants = list(changed_views())
    assert len(mutants) == 3 * (3 * 5 + 2 * 3)
    for node, views in mutants:
        assert [(each.checker, each.nodes) for each in wrong_views(views)] == [("right views", (node,))]


def test_a_process_that_ends_is_held_for_alive_by_all_others() -> None:
    views = calm()
    del views["n2"]
    assert [each.nodes for each in wrong_views(views)] == [("n0",), ("n1",)]


def known() -> Metadata:
    return {node: {other: other.encode() for other in RUNNING} for node in RUNNING}


def test_what_is_known_of_all_is_accepted_and_of_those_who_are_gone_does_not_matter() -> None:
    metadata = known()
    metadata["n0"]["n4"] = b"said before it left"
    assert list(wrong_metadata(metadata)) == []


def test_old_news_of_anybody_is_found_where_it_is_held() -> None:
    for node in RUNNING:
        for other in RUNNING:
            if other != node:
                metadata = known()
                metadata[node][other] = b"old"
                (found,) = wrong_metadata(metadata)
                assert (found.checker, found.nodes) == ("right metadata", (node,))
                assert other in found.text


@pytest.mark.parametrize(
    ("death", "is_false"),
    [
        (Death(5, "n0", "n1"), True),
        (Death(5, "n2", "n1"), False),  # the teller is ill
        (Death(5, "n0", "n2"), False),
        (Death(9, "n2", "n1"), True),  # and has got well
    ],
)
def test_a_death_is_false_if_both_are_healthy_then(death: Death, is_false: bool) -> None:
    found = list(false_deaths([death], lambda node, at_ns: node != "n2" or at_ns > 6))
    assert [(each.checker, each.at_ns, each.nodes) for each in found] == (
        [("no false deaths", death.at_ns, (death.teller, death.member))] if is_false else []
    )
