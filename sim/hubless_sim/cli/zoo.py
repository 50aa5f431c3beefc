"""`mesh sim zoo`: the planted bugs, and how soon sweeps find them."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import json_option
from hubless.cli.screen import print_json
from hubless_sim.cli.options import PlantName
from hubless_sim.zoo import PLANTS
from hubless_sim.zoo.measure import Measured, measured
from hubless_sim.zoo.page import page_of

_PAGE = Path("docs/zoo.md")


@click.command(name="zoo")
@click.argument("names", nargs=-1, metavar="[NAME]...", type=PlantName())
@click.option("--list", "is_list", is_flag=True, help="Say what there is, and look for nothing.")
@click.option("--write", is_flag=True, help=f"Measure all, and write {_PAGE}.")
@click.option(
    "--seconds", default=60.0, show_default=True, type=click.FloatRange(1), help="CPU time for each."
)
@json_option
def command(*, names: tuple[str, ...], is_list: bool, write: bool, seconds: float, as_json: bool) -> Exit:
    """Look for the bugs of the zoo: those that are named, or all of them.

    Each is planted in the code of this process, and looked for from seed 0 on by the sweep of its system; the tape that
    shows it loses all faults that it can do without. The exit code is 1 if one is not found in its time.
    """
    chosen = names or tuple(PLANTS)
    if is_list:
        return _listed(chosen, as_json=as_json)
    if write and (names or not _PAGE.parent.is_dir()):
        raise CommandError(
            f"--write measures all bugs and writes {_PAGE}: give no names, and run it in a checkout of the project"
        )
    zoo: list[Measured] = []
    for name in chosen:
        zoo.append(measured(PLANTS[name], most_s=seconds))
        if not as_json:
            click.echo(_line(zoo[-1]))
    if as_json:
        print_json(msgspec.to_builtins(zoo))
    if write:
        _PAGE.write_text(page_of(zoo))
    return Exit.OK if all(each.found for each in zoo) else Exit.FAILED


def _listed(names: tuple[str, ...], *, as_json: bool) -> Exit:
    plants = [PLANTS[name] for name in names]
    if as_json:
        fields = ("name", "area", "what", "system", "first")
        print_json([{field: getattr(plant, field) for field in fields} for plant in plants])
        return Exit.OK
    for plant in plants:
        click.echo(f"{plant.name}  ({plant.area}, {plant.system} sweep)\n    {plant.what}")
    return Exit.OK


def _line(each: Measured) -> str:
    found = each.found
    if found is None:
        return f"{each.name}: NOT FOUND by the {each.system} sweep"
    return (
        f"{each.name}: seed {found.seed} of the {each.system} sweep, {found.cpu_s:.1f} CPU s, {found.checker}; "
        f"{each.faults} faults, {each.left} of them needed"
    )
