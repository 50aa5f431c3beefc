"""The test that newcomers copy runs, with the plugin and nothing else of this repository's configuration."""

import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples" / "testing"


def test_the_example_passes_with_other_seeds_too(tmp_path: Path) -> None:
    for file in EXAMPLES.glob("*.py"):
        shutil.copy(file, tmp_path)
    command = [sys.executable, "-m", "pytest", "-p", "hubless_sim.testing.plugin", "--mesh-seeds", "3", "-q"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "9 passed" in ran.stdout, ran.stdout
