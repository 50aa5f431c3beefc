"""A mesh of real nodes that several test files share: started by `mesh dev`, ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hubless.demo.processes import free_ports

AGENTS = """
import time
from hubless import agent

@agent
def double(number: int) -> int:
    "Doubles a number."
    return 2 * number

@agent
async def greet(name: str, greeting: str = "hello") -> str:
    return f"{greeting} {name}"

@agent
def echo(value: object) -> object:
    return value

@agent(retries=0)
def explode(number: int) -> int:
    raise RuntimeError(f"no {number}")

@agent
def slowly(number: int) -> int:
    time.sleep(0.003)
    return 2 * number

@agent(deadline_s=30)
def sleepy(seconds: float) -> str:
    time.sleep(seconds)
    return "awake"
"""


@dataclass
class DevMesh:
    """A running `mesh dev`: its process, the work addresses of its nodes, what it has said until it was ready."""

    process: subprocess.Popen[str]
    at: list[str]
    agents: Path
    lines: list[dict[str, Any]]

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a `mesh` command against this mesh."""
        return _run(*arguments, env={"MESH_AT": ",".join(self.at)}, **options)

    def end(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


def _run(
    *arguments: str, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hubless.cli", *arguments]
    environment = os.environ | (env or {})
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False, **options
    )


def _started(agents: Path, nodes: int) -> DevMesh:
    port = free_ports(nodes)[0]
    options = ["--nodes", str(nodes), "--port", str(port), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hubless.cli", "dev", str(agents), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[dict[str, Any]] = []
    for line in process.stdout or ():
        lines.append(json.loads(line))
        if lines[-1].get("event") == "mesh_ready":
            return DevMesh(process, lines[-1]["at"], agents, lines)
    raise AssertionError(f"mesh dev ended: {lines}")


@pytest.fixture(scope="session")
def run_mesh():
    """Runs a `mesh` command in a process of its own."""
    return _run


@pytest.fixture(scope="session")
def agents_file(tmp_path_factory) -> Path:
    """A user's file of agents."""
    path = tmp_path_factory.mktemp("agents") / "agents.py"
    path.write_text(AGENTS)
    return path


@pytest.fixture
def start_dev(agents_file) -> Iterator[Callable[..., DevMesh]]:
    """Starts meshes that a test may break."""
    made: list[DevMesh] = []

    def start(nodes: int, agents: Path = agents_file) -> DevMesh:
        made.append(_started(agents, nodes))
        return made[-1]

    yield start
    for mesh in made:
        if mesh.process.poll() is None:
            mesh.end()


@pytest.fixture(scope="session")
def dev_mesh(agents_file) -> Iterator[DevMesh]:
    """Three nodes that no test may break."""
    mesh = _started(agents_file, 3)
    yield mesh
    assert mesh.end() == 0
