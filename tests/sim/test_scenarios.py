"""The shared scenarios: each holds in the simulator, and its faults and agents do what it is there to show."""

from __future__ import annotations

import re

import pytest

from hubless_sim.cli.tapes import SCENARIOS, scenarios
from hubless_sim.play import open_run, play
from hubless_sim.run import Result
from hubless_sim.tapes.operations import Operation, Query
from hubless_sim.tapes.tape import parse, replace


def played(name: str) -> Result:
    return play(parse((SCENARIOS / f"{name}.json").read_bytes()))


@pytest.mark.parametrize("name", scenarios())
def test_every_scenario_holds(name: str) -> None:
    result = played(name)
    assert (result.verdict, result.violations) == ("held", ())
    assert result.found["lost_shards"] == []


def test_each_is_described_and_there_are_twenty() -> None:
    described = re.findall(r"^\| `([a-z-]+)` \|", (SCENARIOS / "README.md").read_text(), re.MULTILINE)
    assert sorted(described) == scenarios()
    assert len(described) >= 20


def test_results_of_both_sides_are_merged_by_an_agent_that_goes_on_alone() -> None:
    assert played("going-on-alone").found["merged"] > 0


def test_dead_letters_are_found_by_an_operator_who_has_them_tried_again() -> None:
    tape = parse((SCENARIOS / "dead-letters.json").read_bytes())
    before = play(replace(tape, operations=tuple(each for each in tape.operations if not is_retry(each))))
    after = play(tape)
    assert {"raised", "worker_died"} <= after.found["answers"].keys()
    assert after.found["attempts"] > before.found["attempts"]


def is_retry(operation: Operation) -> bool:
    return isinstance(operation, Query) and operation.what == "retry"


def test_nobody_of_the_first_nodes_is_there_after_a_rolling_replacement() -> None:
    run = open_run(parse((SCENARIOS / "rolling-replacement.json").read_bytes()))
    run.finish()
    assert run.running() == ["n3", "n4", "n5"]
    assert run.violations() == []


@pytest.mark.parametrize("name", ["loss", "partition", "isolate"])
def test_network_faults_cost_messages(name: str) -> None:
    tape = parse((SCENARIOS / f"{name}.json").read_bytes())
    assert play(tape).lost > play(replace(tape, faults=())).lost
