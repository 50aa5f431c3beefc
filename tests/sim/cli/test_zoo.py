"""`mesh sim zoo`."""

from __future__ import annotations

import json

from hubless_sim.zoo import PLANTS

QUICK = "commits-what-one-too-few-has"


def test_it_says_what_there_is(sim) -> None:
    code, out, _ = sim("zoo", "--list", "--json")
    assert code == 0
    assert [each["name"] for each in json.loads(out)] == list(PLANTS)
    code, out, _ = sim("zoo", "--list", QUICK)
    assert (code, out.splitlines()[0]) == (0, f"{QUICK}  (raft, shards sweep)")


def test_it_looks_for_what_is_named(sim) -> None:
    code, out, _ = sim("zoo", QUICK, "--json")
    (found,) = json.loads(out)
    assert code == 0
    assert found["name"] == QUICK
    assert found["found"]["seed"] == PLANTS[QUICK].first
    assert found["found"]["checker"] == "leader completeness"
    assert found["left"] <= found["faults"]


def test_a_name_that_is_near_is_offered(sim) -> None:
    code, _, error = sim("zoo", "commits-what-one-has")
    assert code == 2
    assert f"did you mean {QUICK}" in error


def test_the_page_is_written_of_all_or_not_at_all(sim) -> None:
    code, _, error = sim("zoo", QUICK, "--write")
    assert code == 2
    assert "give no names" in error
