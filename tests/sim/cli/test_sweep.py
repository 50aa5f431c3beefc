"""`mesh sim sweep`: what it finds, what it leaves behind, and how it goes on after an interruption."""

from __future__ import annotations

import json

import pytest

from hubless_sim.play import play
from hubless_sim.search.sweep import Tried
from hubless_sim.tapes.tape import parse
from hubless_sim.zoo import PLANTS


def failed_seeds(told: dict) -> list[int]:
    return [failure["seed"] for failure in told["failures"]]


def test_seeds_that_hold_leave_nothing_behind(sim, tiny_swarm, tmp_path):
    code, out, err = sim("sweep", "--seeds", "4", "--jobs", "1")
    assert (code, err) == (0, "")
    assert "4 seeds, 0 failed" in out
    assert list(tmp_path.iterdir()) == []


def test_the_first_seed_that_fails_ends_it_with_a_small_tape(sim, tiny_swarm, tmp_path):
    code, out, _ = sim("sweep", "--seeds", "9", "--jobs", "1")
    path = tmp_path / "sim-failures" / "shards-4.json"
    assert code == 1
    assert "5 seeds, 1 failed" in out
    assert "first failing seed: 4; see `mesh sim run sim-failures/shards-4.json`" in out
    assert "shards live: shard 0 does not live" in out
    assert "1 loss, from 0.2 s for ever" in out
    assert "workload.until_ms 500" in out
    assert "1 fault, 0 operations, 1 node, " in out
    assert [violation.checker for violation in play(parse(path.read_bytes())).violations] == ["shards live"]


def test_all_that_fail_are_named_for_programs(sim, tiny_swarm, tmp_path):
    code, out, _ = sim("sweep", "--seeds", "9", "--jobs", "1", "--keep-going", "--json", "--out", "found")
    told = json.loads(out)
    assert code == 1
    assert (told["system"], told["seeds"], told["ran"], told["failed"]) == ("shards", 9, 9, 2)
    assert told["seconds"] > 0 and told["seeds_per_s"] > 0
    assert failed_seeds(told) == [4, 7]
    first = told["failures"][0]
    assert first["violations"][0]["checker"] == "shards live"
    assert (first["faults"], first["shrunk"]["nodes"]) == ({"loss": 1}, 1)
    assert first["knobs"]["system.workload.until_ms"] == 500
    assert parse((tmp_path / first["tape"]).read_bytes()).seed == 4


def test_a_tape_may_be_left_as_it_was_drawn(sim, tiny_swarm, tmp_path):
    _, out, _ = sim("sweep", "--first", "7", "--seeds", "1", "--no-shrink", "--json")
    (failure,) = json.loads(out)["failures"]
    assert failure["shrunk"] is None
    assert parse((tmp_path / failure["tape"]).read_bytes()).nodes == 3


def test_a_planted_bug_is_found_by_one_process_and_by_two_and_is_gone_afterwards(sim):
    """In its own system, by the lowest seed that fails, in whatever order runs end."""
    plant = PLANTS["asks-half-of-a-joint-configuration"]
    arguments = ("sweep", "--plant", plant.name, "--seeds", "40", "--no-shrink", "--json", "--jobs")
    found = [json.loads(sim(*arguments, jobs)[1]) for jobs in ("1", "2")]
    assert [told["system"] for told in found] == [plant.system] * 2
    assert found[0]["failures"] == found[1]["failures"]
    tape = found[0]["failures"][0]["tape"]
    assert sim("run", tape, "--plant", plant.name)[0] == 1
    assert sim("run", tape)[0] == 0


# -- going on -------------------------------------------------------------------------------------------------


def interrupted_after(count: int):
    def searched(seeds, **_):
        for seed in list(seeds)[:count]:
            yield Tried(seed, ())
        raise KeyboardInterrupt

    return searched


def test_an_interruption_says_where_to_go_on(sim, monkeypatch):
    monkeypatch.setattr("hubless_sim.cli.sweep.searched", interrupted_after(6))
    code, _, err = sim("sweep", "--system", "gossip", "--first", "10", "--seeds", "50")
    assert code == 5
    assert "interrupted after 6 of 50 seeds" in err
    assert "`mesh sim sweep --system gossip --first 16 --seeds 44`" in err


def test_with_a_state_the_same_command_goes_on(sim, tiny_swarm, monkeypatch):
    arguments = ("sweep", "--seeds", "9", "--jobs", "1", "--keep-going", "--json", "--state", "state")
    with monkeypatch.context() as patch:
        patch.setattr("hubless_sim.cli.sweep.searched", interrupted_after(4))
        code, _, err = sim(*arguments)
    error = json.loads(err)["error"]
    assert (code, error["kind"], error["next"]) == (5, "interrupted", 4)
    assert "the same command goes on" in error["message"]
    code, out, _ = sim(*arguments)
    told = json.loads(out)
    assert (code, told["ran"], failed_seeds(told)) == (1, 5, [4, 7])
    code, out, _ = sim(*arguments)
    again = json.loads(out)
    assert (code, again["ran"], again["failures"]) == (1, 0, told["failures"])


def test_a_failure_that_is_known_ends_a_sweep_at_once(sim, tiny_swarm):
    arguments = ("sweep", "--seeds", "9", "--jobs", "1", "--state", "state")
    first = sim(*arguments)
    second = sim(*arguments)
    assert (first[0], second[0]) == (1, 1)
    assert "5 of 9 seeds were done before" in second[1]
    assert "0 seeds, 1 failed" in second[1]
    assert "sim-failures/shards-4.json" in second[1]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--system", "gossip"], ["is of system shards, not gossip"]),
        (["--plant", "elects-whoever-asks"], ["is of plant none, not elects-whoever-asks"]),
        (["--no-shrink"], ["--no-shrink"]),
    ],
)
def test_a_state_is_good_for_one_sweep_only(sim, tiny_swarm, changed, words):
    arguments = ("sweep", "--seeds", "1", "--jobs", "1", "--state", "state")
    assert sim(*arguments)[0] == 0
    code, _, err = sim(*arguments, *changed)
    assert code == 2
    for word in [*words, "name another file, or delete it"]:
        assert word in err


def test_a_state_of_other_code_is_refused(sim, tiny_swarm, monkeypatch):
    arguments = ("sweep", "--seeds", "1", "--jobs", "1", "--state", "state")
    assert sim(*arguments)[0] == 0
    monkeypatch.setattr("hubless_sim.cli.sweep.code_digest", lambda: "0123456789abcdef")
    code, _, err = sim(*arguments)
    assert code == 2
    assert "another version of the code" in err


# -- mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "0"], ["--seeds", "1<=x"]),
        (["--jobs", "0"], ["--jobs", "1<=x"]),
        (["--first", "-1"], ["--first"]),
        (["--plant", "nothing-like-it-at-all"], ["'nothing-like-it-at-all'"]),
        (["--system", "mash"], ["'mash'", "'mesh'"]),
        (["--out", "/dev/null/found"], ["--out /dev/null/found: Not a directory", "can be written"]),
        (["--state", "/nowhere/state"], ["--state /nowhere/state: No such file", "can be written"]),
        (["--state", "holding.json"], ["holding.json is not the state of a sweep", "name another file"]),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(sim, holding, arguments, words):
    code, out, err = sim("sweep", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err


def test_the_bar_moves_on_a_terminal_only(sim, tiny_swarm):
    _, out, err = sim("sweep", "--seeds", "2", "--jobs", "1")
    assert "\x1b" not in out + err
