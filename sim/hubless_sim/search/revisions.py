"""Revisions of a git repository, and a folder of its own to have them in: the user's checkout is never touched."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class RevisionError(ValueError):
    """A revision or a repository is not what it should be; the text says which, and what to do."""


class Revision(msgspec.Struct, frozen=True):
    """One commit."""

    commit: str
    subject: str

    def __str__(self) -> str:
        return f"{self.commit[:12]} {self.subject}"


class Repository:
    """A git repository, by any folder in it.  Raises RevisionError if it is in none."""

    def __init__(self, folder: Path) -> None:
        self._git = shutil.which("git") or ""
        if not self._git:
            raise RevisionError("git is not installed, and revisions are its own; install it")
        self._folder = folder
        if not folder.is_dir() or self._run(folder, "rev-parse", "--git-dir").returncode:
            raise RevisionError(f"{folder} is in no git repository; name one that has the revisions")

    def revision(self, name: str) -> Revision:
        """What a name stands for; raises RevisionError if there is no such revision."""
        found = self._run(
            self._folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
        if found.returncode:
            raise RevisionError(f"no such revision: {name!r}; name a commit, branch or tag of {self._folder}")
        return self._revisions("--max-count=1", found.stdout.split()[-1])[0]

    def between(self, good: Revision, bad: Revision) -> list[Revision]:
        """What came after ``good`` up to and with ``bad``, the oldest first, by first parents.

        Raises RevisionError if the one does not come before the other.
        """
        if good == bad:
            raise RevisionError(f"{good.commit[:12]} is given as good and as bad; name two revisions")
        if self._run(self._folder, "merge-base", "--is-ancestor", good.commit, bad.commit).returncode:
            raise RevisionError(
                f"the good revision {good.commit[:12]} does not come before the bad one {bad.commit[:12]}; "
                "name an ancestor of it (are they the wrong way round?)"
            )
        return self._revisions("--first-parent", "--reverse", f"{good.commit}..{bad.commit}")

    @contextmanager
    def worktree(self) -> Iterator[Callable[[Revision], Path]]:
        """What checks out a revision in a folder, always the same one, which is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="mesh-bisect-") as temporary:
            folder = Path(temporary) / "tree"

            def check_out(revision: Revision) -> Path:
                self._do(folder, "checkout", "--quiet", "--force", "--detach", revision.commit)
                self._do(folder, "clean", "-ffdxq")
                return folder

            try:
                self._do(self._folder, "worktree", "add", "--detach", "--no-checkout", str(folder))
                yield check_out
            finally:
                self._run(self._folder, "worktree", "remove", "--force", str(folder))

    def _revisions(self, *which: str) -> list[Revision]:
        listed = self._do(self._folder, "log", "--format=%H %s", *which, "--")
        parted = (line.partition(" ") for line in listed.splitlines())
        return [Revision(commit, subject) for commit, _, subject in parted]

    def _do(self, folder: Path, *arguments: str) -> str:
        done = self._run(folder, *arguments)
        if done.returncode:
            raise RevisionError(f"git {arguments[0]} failed: {' '.join(done.stderr.split())}")
        return done.stdout

    def _run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Hooks are for the user's own work, and the variables are those of a hook that this may have been run by.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        return subprocess.run(  # noqa: S603 it is git, and no name is taken for an option
            [self._git, "-C", str(folder), "-c", f"core.hooksPath={os.devnull}", *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
        )
