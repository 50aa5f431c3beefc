"""`mesh sim run`: what comes of a tape."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec
from rich.table import Table
from rich.text import Text

from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import json_option
from hubless.cli.screen import console, print_json
from hubless_sim.cli.options import plant_option
from hubless_sim.cli.tapes import NamedTape, playing, tape_argument
from hubless_sim.cli.violations import print_violations, verdict_text
from hubless_sim.play import play
from hubless_sim.run import Result
from hubless_sim.search.planting import planting
from hubless_sim.tapes.describe import described


@click.command(name="run")
@tape_argument
@click.option(
    "--real", is_flag=True, help="Run it on node processes of this machine, in as much time as it says."
)
@plant_option
@json_option
def command(*, named: NamedTape, real: bool, plant: str | None, as_json: bool) -> Exit:
    """Run TAPE, and say whether all holds.

    Exit code 1 if something that must hold does not. --json has digest, verdict, violations, virtual_s, messages,
    wall_s, further figures, and what the system has found.

    With --real, nodes are killed, stopped and cut off from each other as the tape says. Only tapes of whole nodes can
    be run so, and no two runs are alike. Network faults need network namespaces, which this machine may refuse.
    """
    began = time.monotonic()
    with playing(named):
        result = _real(named, plant, as_json=as_json) if real else _simulated(named, plant)
    wall_s = time.monotonic() - began
    if as_json:
        print_json(msgspec.to_builtins(result) | {"wall_s": round(wall_s, 3)})
    else:
        _print(named, result, wall_s)
    return Exit.OK if result.verdict == "held" else Exit.FAILED


def _simulated(named: NamedTape, plant: str | None) -> Result:
    with planting(plant):
        return play(named.tape)


def _real(named: NamedTape, plant: str | None, *, as_json: bool) -> Result:
    from hubless_sim import real  # noqa: PLC0415 simulated runs need no sockets and no processes

    def say(text: str) -> None:
        if not as_json:
            click.echo(text, err=True)

    try:
        return real.play(named.tape, say=say, plant=plant or "")
    except real.MachineError as problem:
        raise CommandError(str(problem), kind="machine") from problem


def _print(named: NamedTape, result: Result, wall_s: float) -> None:
    screen = console()
    told = described(named.tape)
    rows: list[tuple[str, Any]] = list((told | {"tape": f"{named.name}: {told['tape']}"}).items())
    rows += [("", ""), ("verdict", verdict_text(result.verdict)), *_figures(result, wall_s)]
    rows += [(name.replace("_", " "), found) for name, found in _short(result.found)]
    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, text in rows:
        grid.add_row(Text(label, style="dim"), text)
    screen.print(grid)
    if result.violations:
        screen.print()
        print_violations(screen, result.violations)


def _figures(result: Result, wall_s: float) -> list[tuple[str, str]]:
    large = f", {result.too_large:,} of them too large" if result.too_large else ""
    return [
        ("time", f"{result.virtual_s:.3f} s in {wall_s:.2f} s"),
        ("events", f"{result.events:,}"),
        ("messages", f"{result.messages:,} ({result.bytes:,} bytes; {result.lost:,} lost{large})"),
        ("written", f"{result.written_bytes:,} bytes"),
        *([("digest", result.digest)] if result.digest else []),
    ]


def _short(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What fits on a line; --json has all."""
    return [(name, str(value)) for name, value in found.items() if not isinstance(value, dict | list | tuple)]
