"""`mesh sim bisect`: what it says. The search itself is tested beside it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

HOLDS = '{"violations": []}'
FAILS = '{"violations": [{"checker": "one owner", "text": "there are two"}]}'


@pytest.fixture
def revisions(tmp_path):
    """A repository whose simulator prints the same for all tapes; its tags r0 and r1 hold, r2 fails."""
    folder = tmp_path / "checkout"
    package = folder / "sim" / "hubless_sim"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    who = {f"GIT_{role}_{what}": "ada" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*arguments):
        environment = os.environ | who | {"GIT_CONFIG_GLOBAL": os.devnull}
        subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, env=environment)

    git("init", "--quiet")
    for number, printed in enumerate([HOLDS, HOLDS, FAILS]):
        (package / "__main__.py").write_text(f"print({printed!r})  # {number}\n")
        git("add", "--all")
        git("commit", "--quiet", "-m", f"change {number}")
        git("tag", f"r{number}")
    return folder


def test_the_first_bad_commit_is_printed_with_its_subject(sim, failing, revisions):
    code, out, err = sim(
        "bisect", str(failing), "--good", "r0", "--bad", "r2", "--repository", str(revisions)
    )
    assert code == 0
    assert out.startswith("first bad commit: ")
    assert out.endswith(" change 2\n")
    assert [line.split()[0] for line in err.splitlines()] == ["fails", "holds", "holds"]


def test_json_has_all_that_was_tried(sim, failing, revisions, monkeypatch):
    monkeypatch.chdir(revisions)
    code, out, err = sim("bisect", str(failing), "--good", "r0", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["first_bad"]["subject"], told["checker"]) == ("change 2", "one owner")
    assert [tried["outcome"] for tried in told["tried"]] == ["fails", "holds", "holds"]


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("r9", "r2", "no such revision: 'r9'"),
        ("r0", "r1", "is not bad: the tape holds there"),
        ("r2", "r0", "are they the wrong way round?"),
    ],
)
def test_wrong_ends_are_wrong_usage(sim, failing, revisions, good, bad, told):
    code, out, err = sim("bisect", str(failing), "--good", good, "--bad", bad, "--repository", str(revisions))
    assert (code, out) == (2, "")
    assert told in err.splitlines()[-1]
