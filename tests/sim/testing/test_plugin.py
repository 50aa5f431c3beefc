"""The fixture of the pytest plugin, as a user's test run has it."""

import subprocess
import sys
import textwrap
from pathlib import Path

AGENTS = """
import random
from hubless import agent

@agent
def draws() -> float:
    return random.random()

@agent
def shout(text: str) -> str:
    return text.upper()
"""


def pytest_on(folder: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "my_agents.py").write_text(AGENTS)
    (folder / "test_mine.py").write_text(textwrap.dedent(test))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "hubless_sim.testing.plugin",
        "-p",
        "no:cacheprovider",
        "-q",
    ]
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)


def test_the_fixture_starts_a_mesh_and_leaves_it(tmp_path: Path) -> None:
    test = """
        def test_shout(simulated_mesh):
            mesh = simulated_mesh("my_agents.py", nodes=3)
            mesh.kill("n1")
            assert mesh.call("shout", "hello") == "HELLO"
            assert mesh.seed == 1
    """
    ran = pytest_on(tmp_path, test)
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout


def test_seeds_are_options(tmp_path: Path) -> None:
    test = """
        def test_seed(simulated_mesh):
            mesh = simulated_mesh("my_agents.py", nodes=1)
            assert mesh.seed != 6
    """
    ran = pytest_on(tmp_path, test, "--mesh-seed", "4", "--mesh-seeds", "3")
    assert "test_seed[seed-6]" in ran.stdout
    assert "1 failed, 2 passed" in ran.stdout
    assert "1 passed" in pytest_on(tmp_path, test, "--mesh-seed", "4").stdout


def test_what_the_mesh_broke_is_a_failure_of_the_test_and_not_an_error_after_it(tmp_path: Path) -> None:
    test = """
        from hubless_sim.zoo import planted

        def test_twice(simulated_mesh):
            with planted("starts-a-task-anew-when-it-comes-again"):
                mesh = simulated_mesh("my_agents.py", nodes=1)
                mesh.call("draws", idempotency_key="once")
                mesh.call("draws", idempotency_key="once")
    """
    ran = pytest_on(tmp_path, test)
    assert "1 failed" in ran.stdout
    assert "error" not in ran.stdout.splitlines()[-1]
    assert "the mesh broke its promise: linearizable" in ran.stdout


def test_the_plugin_loads_nothing_of_the_mesh_until_it_is_asked_for(tmp_path: Path) -> None:
    test = """
        import sys

        def test_nothing():
            assert not {"hubless", "hubless_agents", "hubless_gossip", "msgspec", "trio"} & set(sys.modules)
    """
    ran = pytest_on(tmp_path, test, "-p", "no:trio", "-p", "no:hypothesispytest", "-p", "no:anyio")
    assert ran.returncode == 0, ran.stdout
