"""`mesh sim run`, `draw`, `replay` and `shrink`: what people and programs read, and what a wrong tape comes to."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hubless_sim.cli import command
from hubless_sim.play import play
from hubless_sim.search.swarms import SWARMS
from hubless_sim.tapes.tape import parse


def test_a_run_that_holds_says_what_it_was_and_what_came_of_it(sim, holding):
    code, out, err = sim("run", str(holding))
    assert (code, err) == (0, "")
    assert "shards, 3 nodes, 1 client, 1.5 s, seed 1" in out
    assert "workload.until_ms 500" in out
    assert play(parse(holding.read_bytes())).digest in out
    assert "held" in out


def test_what_does_not_hold_is_named_and_the_exit_code_says_so(sim, failing):
    code, out, _ = sim("run", str(failing))
    assert code == 1
    assert "1 loss, from 0.2 s for ever" in out
    assert "violated" in out
    assert "shards live: shard 0 does not live" in out


def test_json_has_what_programs_go_by(sim, failing):
    code, out, _ = sim("run", str(failing), "--json")
    told = json.loads(out)
    assert code == 1
    assert set(told) >= {"digest", "verdict", "violations", "virtual_s", "messages", "wall_s"}
    assert (told["verdict"], told["virtual_s"]) == ("violated", 1.5)
    assert [violation["checker"] for violation in told["violations"]] == ["shards live"]


def test_a_tape_comes_from_standard_input_too(sim, holding, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(holding.read_bytes())))
    code, out, _ = sim("run", "-", "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "held")


def test_shared_scenarios_go_by_their_names(sim):
    code, out, _ = sim("run", "crash")
    assert code == 0
    assert "1 crash" in out


def test_the_module_of_the_package_is_the_command_for_programs(failing):
    done = subprocess.run(
        [sys.executable, "-m", "hubless_sim", str(failing)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["violations"][0]["checker"] == "shards live"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], ["Missing argument 'TAPE'"]),
        (["run", "nowhere.json"], ["there is no tape 'nowhere.json'", "give a file, - for standard input"]),
        (["run", "crahs"], ["there is no tape 'crahs'", "did you mean the scenario 'crash'?"]),
        (["run", "."], [".: Is a directory", "give a file"]),
        (["run", "/dev/null"], ["/dev/null: not JSON", "A tape is one JSON document"]),
        (["run", "crash", "--plant", "elects-whoever"], ["'elects-whoever'", "elects-whoever-asks"]),
        (["replay", "crash", "--times", "1"], ["--times", "2<=x"]),
        (
            ["replay", "crash", "--python", "/nowhere"],
            ["/nowhere: No such file", "name a Python interpreter"],
        ),
        (["draw", "x"], ["SEED", "'x'"]),
        (["draw", str(2**63)], ["SEED", f"0<=x<={2**63 - 1}"]),
        (
            ["run", "crash", "--plant", "zzz"],
            ["no plant is called 'zzz'; `mesh sim zoo --list` has all names"],
        ),
        (["draw", "1", "--system", "mash"], ["'mash'", "'mesh'"]),
        (["swep"], ["no command 'swep'", "did you mean 'sweep'?"]),
        (["shrink", "crash", "--seconds", "0"], ["--seconds"]),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(sim, arguments, words):
    code, out, err = sim(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nodes": 0}, ["0 at `$.nodes`; allowed is 1"]),
        ({"faults": [{"kind": "krash"}]}, ["krash", "Fault kinds are crash"]),
        ({"system": {"kind": "gossip", "preset": "fast"}}, ["preset 'fast' is unknown", "local"]),
    ],
)
def test_what_is_wrong_in_a_tape_is_named_with_its_place(sim, tmp_path, change, words):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps({"seed": 1, "nodes": 3, "duration_ms": 100} | change))
    code, _, err = sim("run", str(path))
    assert code == 2
    assert f"{path}: " in err and err.count("\n") == 1
    for word in words:
        assert word in err


@pytest.mark.parametrize("system", list(SWARMS))
def test_a_drawn_tape_is_the_one_that_a_sweep_runs(sim, system):
    code, out, _ = sim("draw", "3", "--system", system)
    assert code == 0
    assert parse(out) == SWARMS[system](3)


def test_help_says_what_each_system_is(sim):
    _, out, _ = sim("sweep", "--help")
    assert [system for system in SWARMS if not re.search(rf"\b{system}(:|,)", out)] == []


def test_a_replay_is_the_same_run_in_every_process(sim, failing):
    code, out, _ = sim("replay", str(failing), "--times", "2", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["identical"], told["digests"]) == (True, [play(parse(failing.read_bytes())).digest])
    assert told["verdict"] == "violated"


def test_other_interpreters_play_the_same_code(sim, holding, tmp_path):
    """One that tells another digest stands for another version of Python."""
    code, out, _ = sim("replay", str(holding), "--times", "2", "--python", sys.executable)
    assert (code, out.count(sys.executable), out.count(play(parse(holding.read_bytes())).digest)) == (0, 1, 3)
    sly = tmp_path / "sly"
    sly.write_text(
        f'#!/bin/sh\ncase $1 in -c) exec {sys.executable} "$@";; esac\n'
        f'{sys.executable} "$@" | sed \'s/"digest": "/&0/\'\n'
    )
    sly.chmod(0o755)
    code, out, _ = sim("replay", str(holding), "--times", "2", "--python", str(sly), "--json")
    assert (code, json.loads(out)["times"], len(json.loads(out)["digests"])) == (1, 3, 2)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'No module named msgspec' >&2; exit 1", "cannot play tapes: No module named msgspec. Install"),
        ("echo 0123456789abcdef", "has another version of hubless; install this one"),
    ],
)
def test_an_interpreter_with_other_code_is_refused_before_anything_runs(
    sim, holding, tmp_path, script, words
):
    other = tmp_path / "other"
    other.write_text(f"#!/bin/sh\n{script}\n")
    other.chmod(0o755)
    code, out, err = sim("replay", str(holding), "--python", str(other))
    assert (code, out) == (2, "")
    assert words in err


def test_a_run_that_depends_on_the_order_of_a_set_is_found_out(sim, holding, tmp_path, monkeypatch):
    """A module that Python loads before all others stands for a core that goes by the order of a set of strings."""
    (tmp_path / "sitecustomize.py").write_text(
        "from hubless_sim.world import trace\n"
        "digest = trace.Trace.digest\n"
        "trace.Trace.digest = lambda self: digest(self) + next(iter({'a', 'b', 'c', 'd', 'e', 'f'}))\n"
    )
    path = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    code, out, _ = sim("replay", str(holding), "--times", "5")
    assert code == 1
    assert "different runs" in out


def test_a_tape_that_fails_is_made_small(sim, failing):
    code, out, err = sim("shrink", str(failing))
    small = parse(out)
    assert code == 0
    assert "runs" in err
    assert (small.nodes, len(small.faults)) == (1, 1)
    assert play(small).violations


def test_the_small_tape_goes_where_it_is_wanted(sim, failing, tmp_path):
    out = tmp_path / "small.json"
    code, printed, _ = sim("shrink", str(failing), "-o", str(out), "--json")
    told = json.loads(printed)
    assert code == 0
    assert told["checker"] == "shards live"
    assert parse(out.read_bytes()).nodes == told["after"]["nodes"] == 1


def test_a_tape_that_holds_is_not_shrunk(sim, holding):
    code, _, err = sim("shrink", str(holding))
    assert code == 2
    assert "the tape passes" in err


def test_the_command_itself_loads_no_simulator():
    program = "from hubless.cli.app import mesh; mesh.load_all(); import sys; print('hubless_sim.play' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_every_command_that_is_listed_can_be_loaded(sim):
    code, out, _ = sim("--help")
    commands = command.load_all()
    assert code == 0
    assert set(commands) >= {"run", "replay", "draw", "sweep", "shrink", "bisect", "coverage", "show", "zoo"}
    assert [each.name for each in commands.values()] == list(commands)
    assert all(f"\n  {name} " in out for name in commands)


@pytest.mark.parametrize(
    ("words", "completed"),
    [("mesh sim run rest", "restart"), ("mesh sim run x --plant elects-w", "elects-whoever-asks")],
)
def test_the_shell_completes_names(words, completed):
    environment = {
        "_MESH_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from hubless.cli.app import mesh; mesh(prog_name='mesh')"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | environment,
    )
    assert f"plain,{completed}\n" in done.stdout
