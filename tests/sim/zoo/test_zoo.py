"""The zoo: every planted bug is found by the sweep of its system, and is gone when it is pulled out."""

from pathlib import Path

import pytest

from hubless_sim.play import play
from hubless_sim.search.swarms import SWARMS
from hubless_sim.zoo import PLANTS, plant_of, planted
from hubless_sim.zoo.measure import find
from hubless_sim.zoo.page import names_on
from hubless_sim.zoo.planting import Swaps

PAGE = Path(__file__).parents[3] / "docs" / "zoo.md"
NEAR = 30
"""So many seeds from the one on that was measured last: it drifts when something in the product takes other times."""


@pytest.mark.parametrize("name", PLANTS)
def test_a_sweep_finds_what_is_planted(name: str) -> None:
    plant = PLANTS[name]
    found = find(plant, range(plant.first, plant.first + NEAR))
    assert found is not None, (
        f"no tape of the {plant.system} sweep from seed {plant.first} on shows {name}. If `mesh sim zoo {name}` finds "
        "it elsewhere, write that seed into the zoo, and `mesh sim zoo --write` the page; else the sweep is blind."
    )


def test_the_zoo_has_bugs_of_all_areas() -> None:
    areas = [plant.area for plant in PLANTS.values()]
    assert len(areas) >= 25
    assert {area: areas.count(area) for area in set(areas) if areas.count(area) < 3} == {}


def test_every_plant_says_in_a_sentence_what_it_does_wrong() -> None:
    unlike = {plant.what for plant in PLANTS.values()}
    assert len(unlike) == len(PLANTS)
    assert [what for what in unlike if not what.endswith((".", ").")) or "\n" in what] == []


def test_the_page_lists_exactly_the_plants() -> None:
    assert names_on(PAGE.read_text()) == list(PLANTS), "write the page anew: mesh sim zoo --write"


def test_what_was_planted_is_gone_afterwards() -> None:
    name = "commits-what-one-too-few-has"
    tape = SWARMS["shards"](PLANTS[name].first)
    before = play(tape)
    with planted(name):
        assert play(tape).violations
    assert play(tape) == before
    assert before.violations == ()


def test_what_was_planted_is_gone_after_an_error_too() -> None:
    name = "commits-what-one-too-few-has"
    tape = SWARMS["shards"](PLANTS[name].first)
    with pytest.raises(ZeroDivisionError), planted(name):
        _ = 1 // 0
    assert play(tape).violations == ()


def test_an_unknown_name_is_met_with_those_that_are_near() -> None:
    with pytest.raises(
        LookupError, match="no plant is called 'elects-whoever'; did you mean elects-whoever-asks"
    ):
        plant_of("elects-whoever")
    with pytest.raises(LookupError, match="has all names"), planted("?"):
        pass


class Base:
    limit = 1

    @staticmethod
    def fixed() -> str:
        return "fixed"

    def word(self) -> str:
        return "base"


class Child(Base):
    pass


def test_swaps_put_methods_of_all_kinds_back() -> None:
    swaps = Swaps()
    word = swaps.put(Child, "word", lambda _self: "swapped")
    swaps.put(Base, "fixed", staticmethod(lambda: "loose"))
    swaps.put(Base, "limit", 2)
    assert (Child().word(), word(Child()), Base().word(), Base().fixed(), Child.limit) == (
        "swapped",
        "base",
        "base",
        "loose",
        2,
    )
    swaps.undo()
    assert (Child().word(), Base().fixed(), Child.limit) == ("base", "fixed", 1)
    assert "word" not in vars(Child)


def test_what_is_swapped_twice_becomes_what_it_was_at_first() -> None:
    swaps = Swaps()
    swaps.put(Base, "limit", 2)
    swaps.put(Base, "limit", 3)
    swaps.undo()
    assert Base.limit == 1


def test_nothing_is_swapped_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="limits"):
        Swaps().put(Base, "limits", 2)
