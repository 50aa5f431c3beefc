"""What nodes believe of one another: what a calm mesh holds is accepted, and every small change of it is not."""

from collections.abc import Iterator

import pytest

from hubless_gossip import Condition
from hubless_sim.checkers.membership import Death, Settled, false_deaths, wrong_metadata, wrong_views

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


SECOND = 1_000_000_000
ALL_WELL = {name: dict.fromkeys("abc", Condition.ALIVE) for name in "abc"}


def seen(*looks: tuple[float, dict[str, dict[str, Condition]]]) -> list[tuple[str, ...]]:
    """The nodes of what is found, of looks at some seconds."""
    settled = Settled()
    for at_s, views in looks:
        settled.look(int(at_s * SECOND), views)
    return [violation.nodes for violation in settled.violations()]


def doubting(condition: Condition | None) -> dict[str, dict[str, Condition]]:
    """All is well, but a holds b for something else, or for nobody."""
    view = {other: held for other, held in ALL_WELL["a"].items() if other != "b"}
    return ALL_WELL | {"a": view if condition is None else view | {"b": condition}}


def test_a_core_that_is_well_or_doubts_for_a_short_time_has_settled() -> None:
    assert seen() == seen((1, ALL_WELL)) == []
    suspects = doubting(Condition.SUSPECT)
    assert seen((1, suspects), (3.9, suspects), (4.1, ALL_WELL), (5, suspects), (7.9, suspects)) == []


@pytest.mark.parametrize("condition", [Condition.BUSY, Condition.SUSPECT, None])
def test_a_long_doubt_is_found_and_a_death_at_once(condition: Condition | None) -> None:
    doubt = doubting(condition)
    assert seen((1, ALL_WELL), (2, doubt), (5.1, doubt), (5.2, doubt)) == [("a", "b")]
    assert seen((1, ALL_WELL), (2, doubting(Condition.DEAD))) == [("a", "b")]


def test_a_core_whose_nodes_are_never_sure_of_all_at_once_is_found() -> None:
    others = ALL_WELL | {"b": ALL_WELL["b"] | {"c": Condition.SUSPECT}}
    turns = [(second, others if second % 2 else doubting(Condition.SUSPECT)) for second in range(8)]
    assert seen(*turns) == [()]
    assert seen(*turns, (8, ALL_WELL)) == []
