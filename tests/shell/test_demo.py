"""The demo, over a few documents."""

from __future__ import annotations

import json


def test_nothing_is_lost_and_nothing_wrong_though_a_node_is_killed(run_mesh, tmp_path):
    for number in range(12):
        (tmp_path / f"module_{number}.py").write_text(
            f'"""Module {number} counts the apples in a basket, and the baskets in a barn."""\n'
            f"def count_{number}(apples):\n    return len(apples)\n"
        )
    (tmp_path / "notes.md").write_text("# Harvest\n\nThe harvest was good, and the barn is full of apples.\n")
    (tmp_path / "broken.py").write_text("def broken(:\n")
    (tmp_path / "ignored.bin").write_bytes(b"\x00")
    result = run_mesh("demo", str(tmp_path), "--nodes", "3", "--json")
    told = json.loads(result.stdout)
    assert result.returncode == 0, result.stderr
    assert (told["documents"], told["tasks"], told["answered"]) == (14, 42, 42)
    assert (told["lost"], told["wrong"], told["kills"]) == (0, 0, 1)
    assert sum(told["per_node"].values()) == 42
    assert set(told["per_node"]) == {"node-1", "node-2", "node-3"}
    for field in ("recovery_ms", "known_ms", "back_ms", "seconds"):
        assert told[field] >= 0


def test_without_a_terminal_it_tells_its_story_in_lines(run_mesh, tmp_path):
    (tmp_path / "notes.txt").write_text("Apples are counted in the morning, and baskets in the evening.\n")
    result = run_mesh("demo", str(tmp_path), "--nodes", "2")
    assert result.returncode == 0, result.stderr
    for words in ("2 nodes see each other", "killed (SIGKILL)", "started again", "lost", "wrong"):
        assert words in result.stdout
