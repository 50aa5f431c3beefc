"""Every example runs, the way its text says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_example_is_tested_here():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "hello.py",
        "pipeline.py",
        "receipts.py",
        "llm_agent.py",
    }


def test_hello_is_eight_lines_at_most(start_dev):
    assert len((EXAMPLES / "hello.py").read_text().splitlines()) <= 8
    mesh = start_dev(2, EXAMPLES / "hello.py")
    assert mesh.run("call", "hello", '"Ada"').stdout == '"hello Ada"\n'


def test_the_pipeline_streams_through_its_three_agents(start_dev):
    mesh = start_dev(2, EXAMPLES / "pipeline.py")
    assert _main_of("pipeline.py", mesh.at) == "['Gossip', 'Ring', 'Node']\n"


def test_receipts_are_for_one_task_each_however_often_it_is_handed_in(start_dev):
    mesh = start_dev(2, EXAMPLES / "receipts.py")
    paid = "['order-17 is paid', 'order-18 is paid', 'order-19 is paid']\n"
    assert _main_of("receipts.py", mesh.at) == paid
    kept = json.loads(mesh.run("tasks", "--json").stdout)["tasks"]
    assert [(row["state"], row["attempt"]) for row in kept] == [("succeeded", 1)] * 3


@pytest.mark.parametrize("stub", [True, False])
def test_the_llm_agent_answers_with_a_stub_and_says_what_is_missing_without(start_dev, monkeypatch, stub):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("HUBLESS_STUB_MODEL", "1" if stub else "")
    mesh = start_dev(1, EXAMPLES / "llm_agent.py")
    result = mesh.run("call", "answer", json.dumps("What is a mesh?"), "--json")
    if stub:
        assert json.loads(result.stdout)["value"]["answer"] == "(stub) You asked: What is a mesh?"
    else:
        assert result.returncode == 1
        assert "HUBLESS_STUB_MODEL=1" in json.loads(result.stderr)["error"]["message"]


def _main_of(example: str, addresses: list[str]) -> str:
    """What an example's program returns, printed."""
    program = f"import runpy, trio; names = runpy.run_path({str(EXAMPLES / example)!r}); "
    program += f"print(trio.run(names['main'], *{addresses!r}))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return result.stdout
