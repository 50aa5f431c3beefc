"""Other interpreters that play a tape with the code that runs here."""

import os
import subprocess
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from hubless_sim.search.version import PACKAGES, code_digest

_WHICH_CODE = (
    "import hubless_sim.cli.run; from hubless_sim.search.version import code_digest; print(code_digest())"
)


class InterpreterError(ValueError):
    """An interpreter cannot play tapes, or has other code; the text says which and what to do."""


def environment(**changes: str) -> dict[str, str]:
    """What to start an interpreter with, so that it finds the code of a checkout; one that is installed is its own."""
    installed = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    here = [
        str(Path(root).parent)
        for name in PACKAGES
        if (spec := find_spec(name))
        for root in spec.submodule_search_locations or ()
        if Path(root).parent not in installed
    ]
    path = os.pathsep.join([*here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | ({"PYTHONPATH": path} if path else {}) | changes


def check_code(python: str) -> None:
    """Refuse an interpreter that has not this very code, and all that it needs.  Raises InterpreterError."""
    try:
        done = subprocess.run(  # noqa: S603 an interpreter that the caller named
            [python, "-c", _WHICH_CODE], env=environment(), capture_output=True, text=True, check=False
        )
    except OSError as problem:
        raise InterpreterError(f"{python}: {problem.strerror}; name a Python interpreter") from problem
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise InterpreterError(f"{python} cannot play tapes: {last}. Install hubless for it.")
    if done.stdout.strip() != code_digest():
        raise InterpreterError(f"{python} has another version of hubless; install this one for it")
