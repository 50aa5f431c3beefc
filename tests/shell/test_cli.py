"""The command line against real nodes: what a new user types, and what comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from hubless.demo.processes import free_ports


def error_of(result) -> dict:
    return json.loads(result.stderr)["error"]


# -- call -------------------------------------------------------------------------------------------------------


def test_call_prints_the_answer(dev_mesh):
    assert dev_mesh.run("call", "greet", '{"name": "Ada"}').stdout == '"hello Ada"\n'
    assert dev_mesh.run("call", "double", "-", input="21").stdout == "42\n"
    told = json.loads(dev_mesh.run("call", "double", "4", "--key", "k", "--timeout", "20", "--json").stdout)
    assert (told["value"], told["attempt"]) == (8, 1)
    assert told["node"]


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "words"),
    [
        (["duoble", "1"], 4, "unknown_agent", "did you mean 'double'?"),
        (["double", '"three"'], 4, "bad_input", "not of type"),
        (["explode", "3"], 1, "raised", "RuntimeError: no 3"),
        (["echo", "-"], 4, "payload_too_large", "the limit is 1048576"),
    ],
)
def test_a_failed_call_says_why_in_one_line_and_its_exit_code(dev_mesh, arguments, code, kind, words):
    stdin = json.dumps("x" * 2**20) if arguments[-1] == "-" else None
    for_people = dev_mesh.run("call", *arguments, input=stdin)
    assert (for_people.returncode, for_people.stdout) == (code, "")
    assert for_people.stderr.startswith("error: ") and for_people.stderr.count("\n") == 1
    assert words in for_people.stderr
    for_programs = dev_mesh.run("call", *arguments, "--json", input=stdin)
    assert error_of(for_programs)["kind"] == kind
    assert error_of(for_programs)["exit"] == for_programs.returncode == code


def test_a_call_that_runs_out_of_time_is_exit_code_1(dev_mesh):
    result = dev_mesh.run("call", "sleepy", "0.5", "--timeout", "0.1", "--json")
    assert result.returncode == 1
    assert error_of(result)["kind"] in ("expired", "deadline")  # whoever notices first


def test_a_traceback_is_shown_when_it_is_asked_for(dev_mesh):
    result = dev_mesh.run("call", "explode", "3", "--trace")
    assert "agents.py" in result.stderr
    assert "in explode" in result.stderr


def test_a_dead_address_is_exit_code_3(run_mesh):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        result = run_mesh("members", "--at", f"127.0.0.1:{closed.getsockname()[1]}")
    assert result.returncode == 3
    assert "connection refused" in result.stderr
    assert "mesh up" in result.stderr


# -- looking ------------------------------------------------------------------------------------------------------


def test_members_ring_and_breakers_for_people_and_programs(dev_mesh):
    members = json.loads(dev_mesh.run("members", "--json").stdout)
    assert {member["work"] for member in members["members"]} == set(dev_mesh.at)
    shown = dev_mesh.run("members").stdout
    assert all(f"node-{number}" in shown for number in (1, 2, 3))
    assert "alive" in shown and "double (1)" in shown
    ring = json.loads(dev_mesh.run("ring", "--json").stdout)
    assert len(ring["owners"]) == ring["shards"] == 64
    assert "64 shards" in dev_mesh.run("ring").stdout
    place = json.loads(dev_mesh.run("ring", "customer-7", "--json").stdout)
    assert place["owner"] in place["preference"]
    assert f"shard {place['shard']}" in dev_mesh.run("ring", "customer-7").stdout
    assert json.loads(dev_mesh.run("breakers", "--json").stdout)["panic"] is False
    assert "closed" in dev_mesh.run("breakers").stdout


def test_a_node_that_is_not_there_cannot_leave(dev_mesh):
    result = dev_mesh.run("leave", "node-9")
    assert result.returncode == 4
    assert "'node-9'" in result.stderr and "mesh members" in result.stderr


# -- submit -------------------------------------------------------------------------------------------------------


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_submit_answers_every_line_in_order(dev_mesh, tmp_path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f"{number}\n" for number in range(500)))
    result = dev_mesh.run("submit", "double", "--input", str(source), "--output", str(output), "--json")
    summary = json.loads(result.stdout)
    assert (result.returncode, summary["answered"], summary["failed"]) == (0, 500, 0)
    assert [(record["line"], record["value"]) for record in lines_of(output)] == [
        (number + 1, 2 * number) for number in range(500)
    ]
    again = dev_mesh.run("submit", "double", "--input", str(source), "--output", str(output))
    assert again.returncode == 0
    assert "500 of them before" in again.stdout
    assert len(lines_of(output)) == 500


def test_submit_goes_on_where_its_output_ends(dev_mesh, tmp_path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f"{number}\n" for number in range(20)))
    command = ["submit", "double", "--input", str(source), "--output", str(output), "--json"]
    dev_mesh.run(*command)
    whole = output.read_bytes()
    output.write_bytes(whole[: whole.index(b'{"line":8') + 7])
    summary = json.loads(dev_mesh.run(*command).stdout)
    assert (summary["resumed_after"], summary["answered"]) == (7, 20)
    assert output.read_bytes() == whole


def test_submit_records_failures_and_exits_with_1(dev_mesh, tmp_path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('1\n"two"\n3\n')
    result = dev_mesh.run("submit", "double", "--input", str(source), "--output", str(output))
    assert result.returncode == 1
    assert "2 answered, 1 failed" in result.stdout
    records = lines_of(output)
    assert [record.get("value") for record in records] == [2, None, 6]
    assert (records[1]["error"]["code"], records[1]["error"]["effect"]) == ("bad_input", "none")


def test_submit_outlives_the_kill_of_a_node(start_dev, tmp_path):
    mesh = start_dev(3)
    (node,) = [pid for pid, _, command in _processes() if f"{mesh.at[1]} " in command and " up " in command]
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f"{number}\n" for number in range(1500)))
    command = [sys.executable, "-m", "hubless.cli", "submit", "slowly", "--json", "--at", ",".join(mesh.at)]
    command += ["--input", str(source), "--output", str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not (output.exists() and output.stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(node, signal.SIGKILL)
        assert process.poll() is None
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert [record["value"] for record in lines_of(output)] == [2 * number for number in range(1500)]


def test_submit_without_a_mesh_keeps_what_it_has(run_mesh, tmp_path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("1\n")
    port = free_ports(1)[0]
    command = ["submit", "double", "--input", str(source), "--output", str(output)]
    result = run_mesh(*command, "--at", f"127.0.0.1:{port}")
    assert result.returncode == 3
    assert "0 of 1 lines are done, the same command goes on" in result.stderr


# -- up and dev ---------------------------------------------------------------------------------------------------


def _processes() -> list[tuple[int, int, str]]:
    """(pid, parent, command line) of every process."""
    listing = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in listing.splitlines()]
    return [(int(row[0]), int(row[1]), row[2]) for row in rows if len(row) == 3]


def _family(pid: int) -> set[int]:
    """A process and everything below it."""
    processes = _processes()
    family = {pid}
    while grown := {child for child, parent, _ in processes if parent in family} - family:
        family |= grown
    return family


def _wait_until_gone(pids: set[int]) -> None:
    patience_ends = time.monotonic() + 30
    while left := pids.intersection(pid for pid, _, command in _processes() if "<defunct>" not in command):
        assert time.monotonic() < patience_ends, left
        time.sleep(0.05)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_dev_leaves_no_process_behind(start_dev, ending):
    mesh = start_dev(2)
    family = _family(mesh.process.pid)
    assert len(family) >= 1 + 2 + 2  # itself, two nodes, a worker each; spares come when they come
    mesh.process.send_signal(ending)
    mesh.process.communicate(timeout=60)
    _wait_until_gone(family)


def test_dev_says_what_its_nodes_and_workers_say(dev_mesh):
    ready = [line for line in dev_mesh.lines if line["event"] == "ready"]
    assert {line["name"] for line in ready} == {"node-1", "node-2", "node-3"}
    assert dev_mesh.lines[-1]["agents"] == ready[0]["agents"]
    assert "double" in ready[0]["agents"]


def test_a_port_in_use_is_named(dev_mesh, run_mesh):
    address = dev_mesh.at[0]
    result = run_mesh("up", "--listen", address)
    assert result.returncode == 2
    assert f"{address} is in use" in result.stderr and result.stderr.count("\n") == 1
    result = run_mesh("dev", str(dev_mesh.agents), "--port", address.rpartition(":")[2])
    assert result.returncode == 2
    assert "choose other ports with --port" in result.stderr


def test_a_node_joins_and_leaves_when_it_is_asked_to(start_dev, run_mesh):
    mesh = start_dev(1)
    port = free_ports(1)[0]
    command = [
        sys.executable,
        "-m",
        "hubless.cli",
        "up",
        "--listen",
        f"127.0.0.1:{port}",
        "--join",
        mesh.at[0],
    ]
    command += ["--name", "guest", "--profile", "local", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as guest:
        ready = next(event for event in map(json.loads, guest.stdout) if event["event"] == "ready")
        assert ready["work"] == f"127.0.0.1:{port}"
        result = run_mesh("call", "double", "5", "--at", ready["work"])
        assert result.stdout == "10\n", result.stderr  # it runs no agents itself, and passes the work on
        left = run_mesh("leave", "guest", "--at", mesh.at[0])
        assert (left.returncode, left.stdout) == (0, f"node {ready['node']} has left\n"), left.stderr
        events = [json.loads(line)["event"] for line in guest.stdout]
        assert guest.wait(60) == 0
    assert events[-1] == "stopped"
    again = run_mesh("leave", "guest", "--at", mesh.at[0])
    assert (again.returncode, "has left already" in again.stderr) == (4, True)
    told = json.loads(run_mesh("members", "--at", mesh.at[0], "--json").stdout)
    assert [member["condition"] for member in told["members"] if member["name"] == "guest"] == ["left"]
