"""`mesh sim coverage`: which marks of the cores are reached, the rarest first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import click
import msgspec
from rich.progress import track
from rich.text import Text

from hubless.cli.exits import Exit
from hubless.cli.options import json_option
from hubless.cli.screen import console, print_json, table
from hubless_sim.search.coverage import (
    ENOUGH,
    Found,
    Reached,
    chosen,
    found,
    reached,
    searched,
    seeds_of,
    standing,
    written,
)
from hubless_sim.search.marks import marks


@click.command(name="coverage")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    help="Run so many seeds of every system, and a few of each tape that is kept, instead of the standing sweep.",
)
@click.option("--first", default=0, show_default=True, type=click.IntRange(0), help="The first of them.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option(
    "--choose",
    is_flag=True,
    help=f"Print a choice of seeds that reaches every mark {ENOUGH} times if it can, as the standing sweep has it.",
)
@json_option
def command(*, seeds: int | None, first: int, jobs: int, choose: bool, as_json: bool) -> Exit:
    """Say which of the cores' marks are reached, by package, the rarest first.

    A mark names something that happens only sometimes. Without --seeds the standing sweep runs, which is checked for
    all changes. Exit code 1 if a mark is not reached.
    """
    known = marks()
    names = standing() if seeds is None else searched(first, seeds)
    began = time.monotonic()
    by_tape = _reached(names, jobs, is_shown=not (as_json or choose))
    wall_s = time.monotonic() - began
    all_found = found(known, by_tape)
    missed = [each for each in all_found if not each.tapes]
    if choose:
        click.echo(written(seeds_of(chosen(by_tape))))
    elif as_json:
        print_json(
            {
                "marks": [_told(each) for each in all_found],
                "missed": len(missed),
                "tapes": len(by_tape),
                "wall_s": round(wall_s, 3),
            }
        )
    else:
        _print(all_found, len(by_tape), wall_s)
    return Exit.FAILED if missed else Exit.OK


def _reached(names: Sequence[str], jobs: int, *, is_shown: bool) -> dict[str, Reached]:
    screen = console()
    running = reached(names, jobs)
    if is_shown and screen.is_terminal:
        running = iter(track(running, "tapes", len(names), console=screen, transient=True))
    return dict(running)


def _told(each: Found) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(each.mark)
    return told | {"tapes": each.tapes, "times": each.times}


def _print(all_found: Sequence[Found], tapes: int, wall_s: float) -> None:
    screen = console()
    in_order = sorted(all_found, key=lambda each: each.mark.package)  # within a package the order stays
    for package, some in groupby(in_order, key=lambda each: each.mark.package):
        screen.print(Text(package, style="bold"))
        rows = [
            (
                Text(str(each.tapes), style="" if each.tapes else "bold red"),
                each.times,
                each.mark.text,
                Text(f"{each.mark.file}:{each.mark.line}", style="dim"),
            )
            for each in some
        ]
        screen.print(table(("tapes", "times", "mark", "where"), rows, right=("tapes", "times")))
        screen.print()
    missed = sum(not each.tapes for each in all_found)
    style = "bold red" if missed else "green"
    told = f"{missed} not reached" if missed else "all reached"
    screen.print(
        Text(told, style=style) + Text(f" of {len(all_found)} marks, by {tapes} tapes in {wall_s:.1f} s")
    )
