"""Runs that once went wrong, each with one sentence on why."""

from pathlib import Path

import pytest

from hubless_sim.play import play
from hubless_sim.tapes.tape import parse

FOUND = {
    "draining_voter_given_up_too_early": "a shard let a draining node go that nobody could replace, from three voters "
    "to two, of which two were needed as before, and lost one of them; no run of these may lose a shard",
    "removed_founder_votes_for_its_past": "a founder that had been removed and was added again got the first entries "
    "of its old log one by one, took itself for the only voter, as these say, and elected itself",
}


@pytest.mark.parametrize("name", sorted(FOUND))
def test_what_once_went_wrong(name: str) -> None:
    file = Path(__file__).parent / "found" / f"{name}.json"
    result = play(parse(file.read_bytes()))
    assert (result.violations, result.found["lost_shards"]) == ((), []), FOUND[name]


def test_every_tape_has_its_sentence() -> None:
    kept = {file.stem for file in (Path(__file__).parent / "found").glob("*.json")}
    assert kept == set(FOUND)
