"""`mesh sim` in this process, and tapes that are over in a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubless.cli import main
from hubless_sim.faults import Loss
from hubless_sim.search.swarms import SWARMS
from hubless_sim.tapes.systems import ShardSystem, Workload
from hubless_sim.tapes.tape import Tape


def tiny_tape(seed: int, *, fails: bool) -> Tape:
    """One shard that is asked twice; if it fails, nothing arrives any more from 0.2 s on."""
    return Tape(
        seed=seed,
        nodes=3,
        clients=1,
        duration_ms=1_500,
        system=ShardSystem(shards=1, workload=Workload(from_ms=300, until_ms=500, probe_ms=900)),
        faults=(Loss(at_ms=200, rate=1.0),) if fails else (),
    )


@pytest.fixture
def sim(capsys, monkeypatch, tmp_path):
    """Runs `mesh sim ...` in a folder of its own, as one version of the code: exit code, stdout, stderr."""
    monkeypatch.setattr("hubless_sim.cli.sweep.code_digest", lambda: "abcdef0123456789")
    monkeypatch.delenv("MESH_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["sim", *arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def holding(tmp_path) -> Path:
    """The file of a tape in which all holds."""
    path = tmp_path / "holding.json"
    path.write_bytes(tiny_tape(1, fails=False).to_json())
    return path


@pytest.fixture
def failing(tmp_path) -> Path:
    """The file of a tape in which a shard does not live."""
    path = tmp_path / "failing.json"
    path.write_bytes(tiny_tape(1, fails=True).to_json())
    return path


@pytest.fixture
def tiny_swarm(monkeypatch) -> tuple[int, ...]:
    """The sweep of shards draws tiny tapes; the seeds that fail."""
    bad = (4, 7)
    monkeypatch.setitem(SWARMS, "shards", lambda seed: tiny_tape(seed, fails=seed in bad))
    return bad
