"""`mesh sim replay`: the same tape must be the same run."""

from __future__ import annotations

import subprocess
import sys

import click
import msgspec
from rich.text import Text

from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import json_option
from hubless.cli.screen import console, print_json
from hubless_sim.cli.options import plant_option
from hubless_sim.cli.tapes import NamedTape, tape_argument
from hubless_sim.cli.violations import print_violations, verdict_text
from hubless_sim.report import record, window
from hubless_sim.report import text as timeline
from hubless_sim.run import Result
from hubless_sim.search.interpreters import InterpreterError, check_code, environment
from hubless_sim.search.planting import planting
from hubless_sim.tapes.tape import Tape

_HASH_SEEDS = (0, 1, 77, 4242, 123_456)
_HASH_STEP = 1_000_003
_MOST_LINES = 40
_BEFORE_MS = 200.0


@click.command(name="replay")
@tape_argument
@click.option(
    "--times",
    default=3,
    show_default=True,
    type=click.IntRange(2, 1_000),
    help="How many processes play it, one after the other.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help="One more interpreter that plays it, with the same version of hubless; may be repeated.",
)
@plant_option
@json_option
def command(
    *, named: NamedTape, times: int, pythons: tuple[str, ...], plant: str | None, as_json: bool
) -> Exit:
    """Run TAPE again and again, and say whether it is the same run each time.

    Each time a fresh process with another PYTHONHASHSEED runs it, so that whatever depends on the order of a set shows;
    with --python, so does what depends on the version of Python. Exit code 1 if the digests differ, 0 if they are the
    same, whatever does not hold in the run. If something does not, a timeline of what came before it follows.
    """
    try:
        for python in pythons:
            check_code(python)
    except InterpreterError as problem:
        raise CommandError(str(problem), Exit.USAGE, "usage") from problem
    runs: list[Result] = []
    for turn, python in enumerate((*[sys.executable] * times, *pythons)):
        runs.append(_played(named.tape, _hash_seed(turn), plant, python))
        if not as_json:
            where = "" if turn < times else f"  {python}"
            click.echo(f"PYTHONHASHSEED={_hash_seed(turn):<9} {runs[-1].digest}{where}")
    digests = sorted({run.digest for run in runs})
    if as_json:
        first = msgspec.to_builtins(runs[0])
        told = {"identical": len(digests) == 1, "times": len(runs), "digests": digests}
        print_json(told | {field: first[field] for field in ("verdict", "violations", "virtual_s")})
    else:
        _print(named, plant, digests, runs[0])
    return Exit.OK if len(digests) == 1 else Exit.FAILED


def _hash_seed(turn: int) -> int:
    return _HASH_SEEDS[turn] if turn < len(_HASH_SEEDS) else turn * _HASH_STEP


def _played(tape: Tape, hash_seed: int, plant: str | None, python: str) -> Result:
    """The result of a run in a process of its own.

    Raises:
        CommandError: the process ended without a result.
    """
    done = subprocess.run(  # noqa: S603 our own interpreter, or one that is asked for
        [python, "-m", "hubless_sim", "-", *(("--plant", plant) if plant else ())],
        input=tape.to_json(),
        env=environment(PYTHONHASHSEED=str(hash_seed)),
        capture_output=True,
        check=False,
    )
    try:
        return msgspec.json.decode(done.stdout, type=Result)
    except msgspec.DecodeError as problem:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        text = f"a run ended with exit code {done.returncode} and no result: {last}"
        raise CommandError(text, Exit.INTERNAL, "internal") from problem


def _print(named: NamedTape, plant: str | None, digests: list[str], result: Result) -> None:
    screen = console()
    if len(digests) > 1:
        screen.print(f"{len(digests)} different runs", style="bold red")
        screen.print(
            "something in a core goes by the order of a set, by the clock, by the interpreter or by chance of its own"
        )
        return
    screen.print(
        Text("the same run each time", style="bold green") + Text(": ") + verdict_text(result.verdict)
    )
    print_violations(screen, result.violations)
    if result.violations:
        with planting(plant):
            recording = record(named.tape)
        at_ns = result.violations[0].at_ns
        shown = None if at_ns is None else window(recording, max(0.0, at_ns / 1e6 - _BEFORE_MS), None)
        screen.print("\nwhat came just before it; `mesh sim show TAPE` draws all of it", style="dim")
        click.echo(timeline(recording, shown, most_lines=_MOST_LINES), nl=False)
