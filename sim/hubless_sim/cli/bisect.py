"""`mesh sim bisect`: since which commit a tape fails."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
import msgspec

from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import json_option
from hubless.cli.screen import print_json
from hubless_sim.cli.tapes import NamedTape, tape_argument
from hubless_sim.search.bisect import PATIENCE_S, Bisected, Tried, bisect
from hubless_sim.search.revisions import RevisionError


@click.command(name="bisect")
@tape_argument
@click.option("--good", required=True, metavar="REV", help="A revision on which all holds.")
@click.option("--bad", default="HEAD", show_default=True, metavar="REV", help="A later one that fails.")
@click.option("--checker", metavar="NAME", help="What must fail; else what fails first on the bad one.")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=".",
    help="A checkout of hubless; else the current folder.",
)
@click.option(
    "--seconds",
    default=PATIENCE_S,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Skip a revision on which a run takes longer.",
)
@json_option
def command(
    *,
    named: NamedTape,
    good: str,
    bad: str,
    checker: str | None,
    repository: Path,
    seconds: float,
    as_json: bool,
) -> Exit:
    """Find the first commit on which TAPE fails, between a good revision and a bad one.

    Revisions are checked out in a temporary folder, which is gone afterwards; your own checkout is not touched, and
    what is not committed is not looked at. Merges count as one commit. Revisions that cannot run the tape are skipped.
    """

    def say(tried: Tried) -> None:
        if not as_json:
            why = f": {tried.why}" if tried.why else ""
            click.echo(f"{tried.outcome:7} {tried.revision}{why}", err=True)

    try:
        with _ended_in_order():
            found = bisect(
                named.tape,
                good=good,
                bad=bad,
                repository=repository,
                checker=checker,
                patience_s=seconds,
                say=say,
            )
    except RevisionError as problem:
        raise CommandError(str(problem), kind="revision") from problem
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print(found)
    return Exit.OK


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM is taken like Ctrl-C, so that nothing is left in the repository."""

    def interrupted(_number: int, _frame: FrameType | None) -> Any:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(found: Bisected) -> None:
    if len(found.suspects) == 1:
        click.echo(f"first bad commit: {found.first_bad}")
        return
    click.echo("the first bad commit is one of these, of which all but the last cannot run the tape:")
    for suspect in found.suspects:
        click.echo(f"  {suspect}")
