"""The tests that newcomers copy run, with the plugin and nothing else of this repository's configuration."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "testing"
PAGE = ROOT / "docs" / "testing-your-agents.md"


def ran(folder: Path, *command: str) -> str:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False
    ).stdout


def pytest_on(folder: Path) -> str:
    return ran(folder, "-m", "pytest", "-p", "hubless_sim.testing.plugin", "--mesh-seeds", "3", "-q")


def test_the_example_passes_with_several_seeds(tmp_path: Path) -> None:
    for file in EXAMPLES.glob("*.py"):
        shutil.copy(file, tmp_path)
    assert "9 passed" in pytest_on(tmp_path)


def test_the_page_says_what_runs(tmp_path: Path) -> None:
    agents, test, script = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "payments.py").write_text(agents)
    (tmp_path / "test_payments.py").write_text(test)
    (tmp_path / "script.py").write_text(script)
    assert "3 passed" in pytest_on(tmp_path)
    assert ran(tmp_path, "script.py") == "order-17 is paid\n"
    (tmp_path / "payments.py").write_text(
        agents.replace("ctx.task, amount", 'f"{ctx.task}-{ctx.attempt}", amount')
    )
    assert "assert [30, 30] == [30]" in pytest_on(tmp_path)
