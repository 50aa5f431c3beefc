"""Bisection over a small repository, whose revisions stand for the simulator: each says what becomes of any tape."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from hubless_sim.faults import Loss, Partition
from hubless_sim.search.bisect import bisect, sparse
from hubless_sim.search.revisions import RevisionError
from hubless_sim.tapes.systems import ShardSystem
from hubless_sim.tapes.tape import Tape, parse

TAPE = Tape(
    seed=3,
    nodes=3,
    clients=1,
    duration_ms=1_000,
    system=ShardSystem(shards=1),
    faults=(Loss(at_ms=10, rate=0.5), Partition(at_ms=5, until_ms=9, sides=(("n0",), ()))),
)

HOLDS = "print('{\"violations\": []}')"
FAILS = 'print(\'{"violations": [{"checker": "one owner", "text": "there are two"}]}\')'
FAILS_IN_OTHER_WORDS = 'print(\'{"violations": ["there are two"]}\')'
FAILS_OTHERWISE = 'print(\'{"violations": [{"checker": "answered", "text": "it was not"}]}\')'
CANNOT_READ_AND_SAYS_SO_IN_JSON = """raise SystemExit('{"error": {"message": "no such kind"}}')"""
CANNOT_READ = "raise SystemExit('Error: tape: unknown field')"


class Revisions:
    """A repository with one commit for each program that stands for the simulator."""

    def __init__(self, folder: Path, *programs: str) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")
        for number, program in enumerate(programs):
            package = folder / "sim" / "hubless_sim"
            package.mkdir(parents=True, exist_ok=True)
            (package / "__init__.py").touch()
            (package / "__main__.py").write_text(f"{program}\n")
            (folder / "number").write_text(str(number))
            self.git("add", "--all")
            self.git("commit", "--quiet", "-m", f"change {number}")
            self.git("tag", f"r{number}")

    def git(self, *arguments: str) -> str:
        who = {
            f"GIT_{role}_{what}": "a@example.org"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | who | {"GIT_CONFIG_GLOBAL": os.devnull},
        )
        return done.stdout

    def bisect(self, good: str, bad: str):
        return bisect(TAPE, good=good, bad=bad, repository=self.folder)


def test_the_first_bad_commit_is_found_by_halves(tmp_path):
    revisions = Revisions(tmp_path, *[HOLDS] * 5, *[FAILS] * 4)
    found = revisions.bisect("r0", "main")
    assert (found.first_bad.subject, found.checker) == ("change 5", "one owner")
    assert found.suspects == (found.first_bad,)
    assert len(found.tried) <= 5


def test_revisions_that_cannot_run_the_tape_are_skipped(tmp_path):
    revisions = Revisions(tmp_path, HOLDS, HOLDS, CANNOT_READ, CANNOT_READ_AND_SAYS_SO_IN_JSON, FAILS)
    found = revisions.bisect("r0", "r4")
    assert [suspect.subject for suspect in found.suspects] == ["change 2", "change 3", "change 4"]
    assert {"Error: tape: unknown field", "no such kind"} <= {tried.why for tried in found.tried}


def test_another_failure_is_neither_good_nor_bad(tmp_path):
    found = Revisions(tmp_path, HOLDS, FAILS_OTHERWISE, FAILS).bisect("r0", "r2")
    assert [suspect.subject for suspect in found.suspects] == ["change 1", "change 2"]


def test_old_revisions_tell_violations_without_a_checker(tmp_path):
    found = Revisions(tmp_path, HOLDS, FAILS_IN_OTHER_WORDS, FAILS).bisect("r0", "r2")
    assert found.first_bad.subject == "change 1"


def test_each_revision_runs_its_own_code_on_the_same_tape(tmp_path):
    program = (
        "import sys, json, pathlib; tape = json.loads(pathlib.Path(sys.argv[1]).read_text()); "
        "number = pathlib.Path('number').read_text(); "
        "print(json.dumps({'violations': [str(tape['seed'])] if number > '1' else []}))"
    )
    found = Revisions(tmp_path, *[program] * 4).bisect("r0", "r3")
    assert (found.first_bad.subject, found.tried[0].why) == ("change 2", "3")


@pytest.mark.parametrize("bad", ["r2", "r1"])
def test_nothing_is_left_in_the_repository(bad, tmp_path, monkeypatch):
    """Neither after a success nor after an error, although the checkout has work that is not committed."""
    checkout, temporary = tmp_path / "checkout", tmp_path / "temporary"
    checkout.mkdir()
    temporary.mkdir()
    revisions = Revisions(checkout, HOLDS, HOLDS, FAILS)
    (checkout / "number").write_text("work")
    (checkout / "new").write_text("more work")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = [
        revisions.git(*asked)
        for asked in (("status", "--porcelain"), ("branch", "--all"), ("rev-parse", "HEAD"))
    ]
    if bad == "r2":
        revisions.bisect("r0", bad)
    else:
        with pytest.raises(RevisionError):
            revisions.bisect("r0", bad)
    after = [
        revisions.git(*asked)
        for asked in (("status", "--porcelain"), ("branch", "--all"), ("rev-parse", "HEAD"))
    ]
    assert after == before
    assert len(revisions.git("worktree", "list").splitlines()) == 1
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("r0", "nowhere", "no such revision: 'nowhere'"),
        ("--all", "r3", "no such revision: '--all'"),
        ("r0", "r1", "is not bad: the tape holds there"),
        ("r2", "r3", "is not good: the tape fails there too: there are two"),
        ("r3", "r0", "does not come before the bad one"),
        ("r3", "main", "is given as good and as bad"),
    ],
)
def test_wrong_ends_are_refused_in_words(good, bad, told, tmp_path):
    with pytest.raises(RevisionError, match=told):
        Revisions(tmp_path, HOLDS, HOLDS, FAILS, FAILS).bisect(good, bad)


def test_a_folder_in_no_repository_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(RevisionError, match="is in no git repository"):
        bisect(TAPE, good="a", bad="b", repository=tmp_path / "elsewhere")


def test_older_simulators_are_given_no_more_than_they_must_know():
    written = sparse(TAPE)
    assert parse(written) == TAPE
    assert json.loads(written) == {
        "seed": 3,
        "nodes": 3,
        "clients": 1,
        "duration_ms": 1_000,
        "system": {"kind": "shards", "shards": 1},
        "faults": [
            {"kind": "loss", "at_ms": 10, "rate": 0.5},
            {"kind": "partition", "at_ms": 5, "until_ms": 9, "sides": [["n0"], []]},
        ],
    }
