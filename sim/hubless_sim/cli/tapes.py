"""Tapes as an argument of commands: a file, standard input, or a shared scenario."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

from hubless.cli.exits import CommandError
from hubless_sim.tapes.tape import Tape, TapeError, parse

Decorated = TypeVar("Decorated", bound=Any)

_PACKAGE = Path(__file__).parents[1]
SCENARIOS = next(
    (place for place in (_PACKAGE / "scenarios", _PACKAGE.parent / "scenarios") if place.is_dir()), _PACKAGE
)
"""Where the shared scenarios are: inside the package once installed, beside it in a checkout."""


class NamedTape(NamedTuple):
    """A tape, and what its user calls it."""

    name: str
    tape: Tape


class TapeArgument(click.ParamType[NamedTape]):
    """Reads the tape that is named."""

    name = "tape"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NamedTape:
        if isinstance(value, NamedTape):
            return value
        try:
            return NamedTape(value, parse(_read(value)))
        except FileNotFoundError:
            self.fail(f"there is no tape {value!r}; {_instead(value)}", param, ctx)
        except OSError as problem:
            self.fail(f"{value}: {problem.strerror}; give a file that holds a tape", param, ctx)
        except TapeError as problem:
            self.fail(_said(value, problem), param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        named = [CompletionItem(name) for name in scenarios() if name.startswith(incomplete)]
        return [*named, CompletionItem(incomplete, type="file")]


def tape_argument(command: Decorated) -> Decorated:
    """The TAPE that a command is about."""
    return click.argument("named", metavar="TAPE", type=TapeArgument())(command)


@contextmanager
def playing(named: NamedTape) -> Iterator[None]:
    """What is found out only when a tape is played is its user's to mend too.

    Raises:
        CommandError: the tape cannot be played; it names the place.
    """
    try:
        yield
    except TapeError as problem:
        raise CommandError(_said(named.name, problem), kind="tape") from problem


def scenarios() -> list[str]:
    """The names of the shared scenarios."""
    return sorted(path.stem for path in SCENARIOS.glob("*.json"))


def _said(name: str, problem: TapeError) -> str:
    return f"{'the tape' if name == '-' else name}: {str(problem).removeprefix('tape: ')}"


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    if not Path(name).exists() and name in scenarios():
        return (SCENARIOS / f"{name}.json").read_bytes()
    return Path(name).read_bytes()


def _instead(name: str) -> str:
    known = scenarios()
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean the scenario {near[0]!r}?"
    choice = f", or a scenario: {', '.join(known)}" if known else ""
    return f"give a file, - for standard input{choice}"
