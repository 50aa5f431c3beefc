"""`mesh sim show`."""

from __future__ import annotations

from pathlib import Path

from hubless_sim.faults import Loss
from hubless_sim.tapes.systems import ShardSystem, Workload
from hubless_sim.tapes.tape import Tape

TAPE = Tape(
    seed=1,
    nodes=3,
    clients=1,
    duration_ms=1_500,
    system=ShardSystem(shards=1, workload=Workload(from_ms=300, until_ms=500, probe_ms=900)),
    faults=(Loss(at_ms=200, rate=1.0),),
)


def test_a_page_is_written(sim) -> None:
    Path("tape.json").write_bytes(TAPE.to_json())
    code, out, err = sim("show", "tape.json", "-o", "run.html")
    assert (code, out) == (0, "")
    assert err == "violated: run.html\n"
    assert Path("run.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_timeline_goes_to_the_screen(sim) -> None:
    Path("tape.json").write_bytes(TAPE.to_json())
    code, out, _ = sim("show", "tape.json", "--text", "--from-ms", "190", "--to-ms", "240")
    assert code == 0
    assert "== loss rate 1.0 begins" in out


def test_a_log_for_shiviz_can_be_piped(sim) -> None:
    Path("tape.json").write_bytes(TAPE.to_json())
    code, out, _ = sim("show", "tape.json", "--shiviz", "-o", "-")
    assert code == 0
    assert out.startswith(r"(?<event>.*)\n")


def test_what_cannot_be_drawn_is_said(sim) -> None:
    Path("tape.json").write_bytes(TAPE.to_json())
    for arguments, what in (
        ((), "say where with -o run.html"),
        (("--text", "--shiviz"), "exclude each other"),
        (("--text", "--from-ms", "5000"), "this run goes from 0 to"),
        (("-o", "nowhere/run.html"), "name a file that can be written"),
    ):
        code, out, err = sim("show", "tape.json", *arguments)
        assert (code, out) == (2, "")
        assert what in " ".join(err.split())
