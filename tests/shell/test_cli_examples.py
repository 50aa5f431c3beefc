"""Every example runs, the way its text says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_example_is_tested_here():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"hello.py", "pipeline.py", "llm_agent.py"}


def test_hello_is_eight_lines_at_most(start_dev):
    assert len((EXAMPLES / "hello.py").read_text().splitlines()) <= 8
    mesh = start_dev(2, EXAMPLES / "hello.py")
    assert mesh.run("call", "hello", '"Ada"').stdout == '"hello Ada"\n'


def test_the_pipeline_streams_through_its_three_agents(start_dev):
    mesh = start_dev(2, EXAMPLES / "pipeline.py")
    program = f"import runpy, trio; names = runpy.run_path({str(EXAMPLES / 'pipeline.py')!r}); "
    program += f"print(trio.run(names['main'], *{mesh.at!r}))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "['Gossip', 'Ring', 'Node']\n"


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
