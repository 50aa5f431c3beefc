"""`mesh sim shrink`: the smallest tape that fails alike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import json_option
from hubless.cli.screen import console, print_json
from hubless_sim.cli.options import plant_option
from hubless_sim.cli.tapes import NamedTape, playing, tape_argument
from hubless_sim.cli.violations import print_violations
from hubless_sim.search.budget import shrunk_in_time
from hubless_sim.search.shrink import NothingToShrinkError, Shrunk
from hubless_sim.tapes.describe import faults_line


@click.command(name="shrink")
@tape_argument
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the tape there, not to stdout.",
)
@click.option("--checker", metavar="NAME", help="What must go on failing; else what fails first.")
@click.option(
    "--seconds",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Take what has been reached after so long.",
)
@plant_option
@json_option
def command(
    *,
    named: NamedTape,
    out: Path | None,
    checker: str | None,
    seconds: float,
    plant: str | None,
    as_json: bool,
) -> Exit:
    """Make TAPE, which fails, as small as it gets: faults, operations, nodes, time, and odd settings.

    The small tape fails by the same checker, and leaves the nodes no less of a calm. It is printed, or written to FILE;
    with --json it is a part of what is printed. With --plant, tapes that fail without the bug are not taken.
    """

    def say(text: str) -> None:
        if not as_json:
            click.echo(text, err=True)

    with playing(named), _failing(named):
        shrunk = shrunk_in_time(named.tape, plant, seconds=seconds, checker=checker, say=say)
    if out is not None:
        out.write_bytes(shrunk.tape.to_json())
    if as_json:
        print_json(msgspec.to_builtins(shrunk))
    elif out is None:
        click.echo(shrunk.tape.to_json(), nl=False)
    else:
        _print(shrunk)
    return Exit.OK


@contextlib.contextmanager
def _failing(named: NamedTape) -> Iterator[None]:
    try:
        yield
    except NothingToShrinkError as problem:
        raise CommandError(f"{named.name}: {problem}", kind="passes") from problem


def _print(shrunk: Shrunk) -> None:
    screen = console()
    screen.print(f"faults: {faults_line(shrunk.tape)}")
    print_violations(screen, shrunk.violations)
