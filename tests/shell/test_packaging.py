"""The built wheel in a fresh virtual environment, beside openai-agents, whose import name is `agents`."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"hubless", "hubless_gossip", "hubless_agents", "hubless_sim"}
CORE_PACKAGES_MOST = 20
DIRECT_MOST = 10


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as a user of `pip install .` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder
    )
    (built,) = folder.glob("hubless-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that has the wheel and nothing else of ours."""
    folder = tmp_path_factory.mktemp("venv")
    _run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return python


def test_the_wheel_holds_our_four_packages_typed_and_nothing_beside_them(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == OURS
    assert {f"{package}/py.typed" for package in OURS} <= set(names)


def test_the_core_install_is_small(python: Path) -> None:
    listed = json.loads(_run(python, "-m", "pip", "list", "--format", "json", cwd=python.parent))
    installed = {package["name"].lower() for package in listed} - {"pip", "setuptools", "hubless"}
    assert len(installed) <= CORE_PACKAGES_MOST
    script = "import importlib.metadata as m; print(sum('extra ==' not in r for r in m.requires('hubless')))"
    assert int(_run(python, "-c", script, cwd=python.parent)) <= DIRECT_MOST


def test_both_import_beside_openai_agents(python: Path) -> None:
    _run(python, "-m", "pip", "install", "--quiet", "openai-agents", cwd=python.parent)
    script = (
        "import agents, hubless, hubless_gossip, hubless_agents, hubless_sim\n"
        "assert agents.Runner, 'this is not the package of openai-agents'\n"
        "assert hubless.agent"
    )
    _run(python, "-c", script, cwd=python.parent)


def test_the_command_starts(python: Path) -> None:
    assert "demo" in _run(python.parent / "mesh", "--help", cwd=python.parent)


def test_a_users_file_type_checks_against_the_wheel(python: Path, tmp_path: Path) -> None:
    (tmp_path / "agents_file.py").write_text(
        "from hubless import agent\n\n\n@agent\ndef shout(text: str) -> str:\n    return text.upper()\n\n\n"
        "answer: str = shout('hi')\n"
    )
    _run(
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        python,
        "--cache-dir",
        tmp_path / "cache",
        tmp_path / "agents_file.py",
        cwd=tmp_path,
    )
