"""`mesh sim show`: a picture of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hubless.cli.exits import CommandError, Exit
from hubless_sim.cli.options import plant_option
from hubless_sim.cli.tapes import NamedTape, playing, tape_argument
from hubless_sim.report import Recording, Window, html, record, shiviz, text, window
from hubless_sim.search.planting import planting


@click.command(name="show")
@tape_argument
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it.")
@click.option(
    "--text", "as_text", is_flag=True, help="A timeline in text, on the screen if no file is given."
)
@click.option("--shiviz", "as_shiviz", is_flag=True, help="A log with vector clocks, for ShiViz.")
@click.option("--from-ms", type=float, help="Show what happens from this time on.")
@click.option("--to-ms", "until_ms", type=float, help="Show what happens up to this time.")
@plant_option
def command(
    *,
    named: NamedTape,
    output: Path | None,
    as_text: bool,
    as_shiviz: bool,
    from_ms: float | None,
    until_ms: float | None,
    plant: str | None,
) -> Exit:
    """Run TAPE, and draw what happened: one HTML page, with all that it needs in it.

    If something does not hold, the page shows what led there (the causal past of the first violation), otherwise the
    whole run; --from-ms and --to-ms narrow it down. Exit code 0 whatever holds.
    """
    if as_text and as_shiviz:
        raise click.UsageError("--text and --shiviz exclude each other: ask for one")
    if output is None and not (as_text or as_shiviz):
        raise click.UsageError("a page needs a file: say where with -o run.html, or ask for --text")
    with playing(named), planting(plant):
        recording = record(named.tape)
    shown = _window(recording, from_ms, until_ms)
    draw = text if as_text else shiviz if as_shiviz else html
    _write(draw(recording, shown), output)
    if output is not None:
        click.echo(f"{recording.result.verdict}: {output}", err=True)
    return Exit.OK


def _window(recording: Recording, from_ms: float | None, until_ms: float | None) -> Window:
    try:
        return window(recording, from_ms, until_ms)
    except ValueError as problem:
        raise CommandError(f"--from-ms, --to-ms: {problem}", Exit.USAGE, "usage") from problem


def _write(drawn: str, output: Path | None) -> None:
    if output is None or str(output) == "-":
        sys.stdout.write(drawn)
        return
    try:
        output.write_text(drawn, encoding="utf-8")
    except OSError as problem:
        raise CommandError(f"{output}: {problem.strerror}; name a file that can be written") from problem
