"""What a user reads after a mistake: one line with the remedy, and an exit code. No mesh is needed for these."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing

import pytest

from hubless.cli import main
from hubless.cli.exits import of_failure, translated
from hubless.datadir import DataDirectory, DataDirectoryError
from hubless_agents import Effect, Failure


@pytest.fixture
def mesh(capsys, monkeypatch):
    for name in ("MESH_AT", "MESH_CONFIG", "MESH_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cal"], ["no command 'cal'", "did you mean 'call'?"]),
        (["call"], ["Missing argument 'AGENT'", "mesh call --help"]),
        (["call", "hello", '{"a": }'], ["is not JSON", "byte 6"]),
        (["call", "hello", "Ada"], ["is not JSON", "a string needs its own quotes"]),
        (["call", "hello", "1", "--at", "nowhere"], ["'nowhere'", "write it as host:port"]),
        (["call", "hello", "1", "--timeout", "-1"], ["--timeout"]),
        (["call", "", "1"], ["agent is empty"]),
        (["submit", "", "--input", "i", "--detach"], ["agent is empty"]),
        (["tasks", "--agent", ""], ["agent is empty"]),
        (["dead-letters", "--agent", ""], ["agent is empty"]),
        (["call", "hello", "1", "--tiemout", "1"], ["--tiemout", "--timeout"]),
        (["call", "a" * 201, "1"], ["agent has 201 characters", "at most 200"]),
        (["call", "hello", "1", "--key", "\udcff"], ["key is '\\udcff'", "UTF-8"]),
        (["call", "hello", "1", "--idempotency-key", "k" * 201], ["idempotency_key has 201 characters"]),
        (["call", "hello", "1", "--durability", "disk"], ["'disk'", "replicated"]),
        (
            ["call", "hello", "1", "--durability", "none", "--idempotency-key", "k"],
            ["--idempotency-key needs a task that the mesh keeps", "leave it out"],
        ),
        (["fork", "two"], ["SHARD", "two"]),
        (["call", "hello", "1", "--timeout", "nan"], ["timeout is nan s; it must be positive"]),
        (["submit", "\udcff", "--input", "i", "--output", "o"], ["agent is '\\udcff'"]),
        (["ring", "\udcff"], ["key is '\\udcff'"]),
        (["ring", ""], ["KEY is empty", "leave it out"]),
        (["up", "missing.py"], ["there is no file missing.py"]),
        (["up", __file__, "--listen", "0.0.0.0:7000"], ["0.0.0.0:7000", "no keys", "127.0.0.1"]),
        (["up", __file__, "--listen", "7000"], ["listen is '7000'", "host:port"]),
        (["up", __file__, "--workers", "0"], ["workers is 0", "from 1 to 256"]),
        (["dev", "/etc"], ["/etc is not a Python file"]),
        (["submit", "a", "--input", "missing.jsonl", "--output", "o"], ["no input file missing.jsonl"]),
        (["demo", "/no/such/folder"], ["there is no folder /no/such/folder"]),
        (["completion", "tcsh"], ["tcsh", "bash"]),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(mesh, arguments, words):
    code, out, err = mesh(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err


_IDENTITY = '{"format":%d,"node":"n","mesh":"0101010101010101","shards":64,"boot":1,"has_journal":true}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["node.json is damaged", "restore it"]),
        (_IDENTITY % 9, ["format 9", "use the release that wrote it"]),
        (_IDENTITY % 1, ["journal.db is gone", "restore it"]),
    ],
)
def test_a_data_directory_that_cannot_be_used_is_the_users_to_mend(mesh, tmp_path, content, words):
    (tmp_path / "node.json").write_text(content)
    code, _, err = mesh("up", "--listen", "127.0.0.1:0", "--data", str(tmp_path))
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1
    assert "bug" not in err
    for word in words:
        assert word in err


def test_what_a_database_says_in_two_lines_is_told_in_one():
    problem = DataDirectoryError("the journal is damaged (*** in database main ***\nOn tree page 14)")
    assert str(translated(problem)) == "the journal is damaged (*** in database main *** On tree page 14)"


def test_a_failure_says_where_it_was():
    failure = Failure(code="raised", message="ValueError: no", where="n1/echo/worker-1", effect=Effect.MAYBE)
    assert str(of_failure(failure)).startswith("raised: ValueError: no (at n1/echo/worker-1) (it may have")
    full = Failure(code="overloaded", message="the disk is full", where="owner n1")
    assert str(of_failure(full)) == "overloaded: the disk is full (at owner n1)"
    late = Failure(code="expired", message="too late: allow more", where="client")
    assert str(of_failure(late)) == "expired: too late: allow more"
    refusal = Failure(code="refused", message="unknown: see `mesh tasks`", where="n1")
    assert str(of_failure(refusal)) == "refused: unknown: see `mesh tasks`"  # any node would have said so


def test_a_data_directory_in_use_is_named(mesh, tmp_path):
    with closing(DataDirectory(tmp_path)):
        code, _, err = mesh("up", "--listen", "127.0.0.1:0", "--data", str(tmp_path), "--json")
    assert code == 2
    told = json.loads(err)["error"]
    assert (told["kind"], told["exit"]) == ("configuration", 2)
    assert "in use by a running node" in told["message"]


def test_a_file_that_is_not_python_is_named_with_its_line(mesh, tmp_path):
    path = tmp_path / "agents.py"
    path.write_text("fine = 1\ndef broken(:\n")
    code, _, err = mesh("dev", str(path))
    assert code == 2
    assert f"{path}, line 2" in err


def test_an_empty_folder_has_nothing_to_show(mesh, tmp_path):
    code, _, err = mesh("demo", str(tmp_path))
    assert code == 2
    assert "has no documents" in err


def test_errors_are_json_for_programs(mesh):
    code, out, err = mesh("call", "hello", "{", "--json")
    error = json.loads(err)["error"]
    assert (code, out) == (2, "")
    assert (error["kind"], error["exit"]) == ("bad_json", 2)


@pytest.mark.parametrize("arguments", [["--help"], ["call", "--help"], ["submit", "-h"], ["--version"], []])
def test_help_is_not_an_error(mesh, arguments):
    code, out, err = mesh(*arguments)
    assert (code, err) == (0, "")
    assert out


def test_help_lists_every_command_and_exit_code(mesh):
    _, out, _ = mesh("--help")
    for command in [
        "demo",
        "dev",
        "up",
        "call",
        "submit",
        "status",
        "tasks",
        "dead-letters",
        "cancel",
        "retry",
        "members",
        "ring",
        "shards",
        "breakers",
        "leave",
        "drain",
        "fork",
        "sim",
        "completion",
    ]:
        assert f"  {command} " in out
    for code in (0, 1, 2, 3, 4, 5):
        assert f"\n    {code}  " in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(mesh, shell):
    code, out, _ = mesh("completion", shell)
    assert code == 0
    assert "_MESH_COMPLETE" in out


# -- configuration files ------------------------------------------------------------------------------------


def test_a_file_sets_options_for_all_commands_and_for_one(mesh, tmp_path):
    config = tmp_path / "mesh.toml"
    config.write_text('at = "one"\n[call]\ntimeout = 3\n')
    code, _, err = mesh("--config", str(config), "call", "hello", "1")
    assert code == 2
    assert "address is 'one'" in err
    config.write_text('[up]\nlisten = "everywhere"\n')
    _, _, err = mesh("--config", str(config), "up")
    assert "listen is 'everywhere'" in err


def test_flags_come_before_environment_and_environment_before_the_file(mesh, tmp_path, monkeypatch):
    config = tmp_path / "mesh.toml"
    config.write_text('[up]\nlisten = "file"\n')
    monkeypatch.setenv("MESH_CONFIG", str(config))
    assert "listen is 'file'" in mesh("up")[2]
    monkeypatch.setenv("MESH_UP_LISTEN", "environment")
    assert "listen is 'environment'" in mesh("up")[2]
    assert "listen is 'flag'" in mesh("up", "--listen", "flag")[2]


def test_mesh_at_names_the_nodes(mesh, monkeypatch):
    monkeypatch.setenv("MESH_AT", "here")
    assert "address is 'here'" in mesh("members")[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lisen = 1\n", ["unknown key 'lisen'", "did you mean 'listen'?"]),
        ("[up]\nprofil = 'lan'\n", ["unknown key 'up.profil'", "did you mean 'profile'?"]),
        ("[upp]\nlisten = 1\n", ["unknown key 'upp'"]),
        ("at = \n", ["is not TOML", "line 1"]),
    ],
)
def test_what_a_file_gets_wrong_is_named(mesh, tmp_path, text, words):
    config = tmp_path / "mesh.toml"
    config.write_text(text)
    code, _, err = mesh("--config", str(config), "members")
    assert code == 2
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_missing_configuration_file_is_named(mesh):
    code, _, err = mesh("--config", "nowhere.toml", "members")
    assert (code, "no configuration file nowhere.toml" in err) == (2, True)


# -- what is imported -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("from hubless import agent, Context", ["trio", "zmq", "click", "rich", "hubless.client"]),
        ("import hubless.cli.app", ["trio", "zmq", "rich", "msgpack", "hubless.client", "hubless.driver"]),
    ],
)
def test_what_must_start_quickly_imports_little(statement, unwanted):
    program = f"{statement}\nimport sys\nprint([name for name in {unwanted!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
