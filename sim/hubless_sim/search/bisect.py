"""Finds the commit since which a tape fails, by running it on revisions of the code in processes of their own.

A revision that cannot run the tape, because it is older than what the tape asks for or is broken in another way, is
passed over, as ``git bisect skip`` does.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from hubless_sim.search.revisions import Repository, Revision, RevisionError
from hubless_sim.tapes.tape import Tape

PATIENCE_S = 600.0
_ROOTS = ("mesh", "gossip", "agents", "sim")
_MOST_TOLD = 300

Outcome = Literal["holds", "fails", "skipped"]


class Tried(msgspec.Struct, frozen=True):
    """What became of the tape on a revision; ``why`` tells the first violation, or why it could not be run."""

    revision: Revision
    outcome: Outcome
    why: str = ""


class Bisected(msgspec.Struct, frozen=True):
    """Where the failure comes from: ``first_bad``, or, if revisions before it were skipped, one of ``suspects``."""

    first_bad: Revision
    suspects: tuple[Revision, ...]
    checker: str
    tried: tuple[Tried, ...]


def bisect(
    tape: Tape,
    *,
    good: str,
    bad: str,
    repository: Path,
    checker: str | None = None,
    patience_s: float = PATIENCE_S,
    say: Callable[[Tried], None] | None = None,
) -> Bisected:
    """Find the first revision after ``good``, up to ``bad``, on which a tape fails.

    ``checker`` names the failure (default: that of the first violation on ``bad``); revisions on which only others fail
    are skipped.  Raises RevisionError if there are no such revisions, or if the tape does not hold on the good one and
    fail on the bad one.
    """
    source = Repository(repository)
    first, last = source.revision(good), source.revision(bad)
    between = source.between(first, last)
    with source.worktree() as check_out, tempfile.TemporaryDirectory(prefix="mesh-bisect-") as folder:
        path = Path(folder) / "tape.json"
        path.write_bytes(sparse(tape))
        search = _Search(lambda revision: _played(check_out(revision), path, patience_s), checker, say)
        search.expect(last, "fails", "bad")
        search.expect(first, "holds", "good")
        return search.among(between)


def sparse(tape: Tape) -> bytes:
    """The tape without what has its default: an older simulator refuses fields that it does not know."""
    return msgspec.json.encode(_sparse(tape))


def _sparse(part: Any) -> Any:
    if isinstance(part, tuple):
        return [_sparse(each) for each in part]
    if not isinstance(part, msgspec.Struct):
        return part
    config = part.__struct_config__
    kept = {} if config.tag_field is None else {config.tag_field: config.tag}
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if default is msgspec.NODEFAULT or value != default:
            kept[field.encode_name] = _sparse(value)
    return kept


class _Played(msgspec.Struct, frozen=True):
    """What a revision found: the checkers that failed ("" where it names none), and the first text or problem."""

    checkers: tuple[str, ...] | None
    text: str


class _Search:
    def __init__(
        self,
        played: Callable[[Revision], _Played],
        checker: str | None,
        say: Callable[[Tried], None] | None,
    ) -> None:
        self._played = played
        self._checker = checker
        self._say = say or (lambda _: None)
        self._tried: dict[str, Tried] = {}

    def expect(self, revision: Revision, outcome: Outcome, called: str) -> None:
        """Refuses a revision on which the tape does not do what it should."""
        tried = self._try(revision)
        if tried.outcome != outcome:
            what = {
                "holds": "the tape holds there",
                "fails": f"the tape fails there too: {tried.why}",
                "skipped": f"the tape cannot be run there: {tried.why}",
            }
            other = "later" if called == "bad" else "earlier"
            raise RevisionError(
                f"the {called} revision {str(revision)!r} is not {called}: {what[tried.outcome]}. "
                f"Name another one, such as {'an' if other == 'earlier' else 'a'} {other} one."
            )

    def among(self, revisions: list[Revision]) -> Bisected:
        """The first bad one of revisions after a good one, the last of which is bad."""
        good, bad = -1, len(revisions) - 1
        while open_places := [
            place for place in range(good + 1, bad) if revisions[place].commit not in self._tried
        ]:
            place = min(open_places, key=lambda each: abs(2 * each - good - bad))
            match self._try(revisions[place]).outcome:
                case "holds":
                    good = place
                case "fails":
                    bad = place
                case "skipped":
                    pass
        return Bisected(
            revisions[bad],
            tuple(revisions[good + 1 : bad + 1]),
            self._checker or "",
            tuple(self._tried.values()),
        )

    def _try(self, revision: Revision) -> Tried:
        played = self._played(revision)
        outcome: Outcome = "skipped"
        if played.checkers == ():
            outcome = "holds"
        elif played.checkers is not None:
            self._checker = self._checker or played.checkers[0] or None
            outcome = "fails" if {self._checker, ""} & set(played.checkers) else "skipped"
        tried = self._tried[revision.commit] = Tried(revision, outcome, played.text)
        self._say(tried)
        return tried


def _played(folder: Path, tape: Path, patience_s: float) -> _Played:
    """Run the tape with the code in a folder: only what it prints says what became of it."""
    roots = os.pathsep.join(str(folder / root) for root in _ROOTS)
    try:
        done = subprocess.run(  # noqa: S603 our own interpreter
            [sys.executable, "-P", "-m", "hubless_sim", str(tape)],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=folder,
            env=os.environ | {"PYTHONPATH": roots, "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=patience_s,
        )
    except subprocess.TimeoutExpired:
        return _Played(None, f"it did not end within {patience_s:g} s")
    try:
        violations = msgspec.json.decode(done.stdout)["violations"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return _Played(None, _problem(done)[:_MOST_TOLD])
    named = [each if isinstance(each, dict) else {"text": str(each)} for each in violations]
    checkers = tuple(str(each.get("checker", "")) for each in named)
    return _Played(checkers, str(named[0].get("text", ""))[:_MOST_TOLD] if named else "")


def _problem(done: subprocess.CompletedProcess[str]) -> str:
    """Why there is no result: older simulators say so in a line, later ones as JSON."""
    told = done.stderr.strip().splitlines()
    if not told:
        return f"it ended with exit code {done.returncode}"
    try:
        return str(msgspec.json.decode(told[-1])["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return told[-1]
