"""`mesh shards`: what is kept where, and how it is."""

from __future__ import annotations

from typing import Any

import click

from hubless.cli.exits import Exit
from hubless.cli.names import Names
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import console, counted, print_json, print_silence
from hubless.cli.shardview import count_by_condition, shards_table
from hubless.client import connect_blocking


@click.command(name="shards")
@at_option
@click.option("--unhealthy", is_flag=True, help="Show only those that are not healthy.")
@json_option
def command(*, at: tuple[str, ...], unhealthy: bool, as_json: bool) -> Exit:
    """Show the shards of the mesh: owner, term, log, replicas and condition, put together from all nodes.

    log: entries that a majority has on disk, +n those that it has not yet. live, kept: tasks that have not ended, and
    that have. replicas: "-n" is n entries behind; "(joins)" is being brought up to date; "(goes)" makes way.
    """
    with connect_blocking(*at) as mesh:
        told = mesh.ask("shards")
        names = Names() if as_json else Names(mesh.members())
    rows: list[dict[str, Any]] = told["shards"]
    shown = [row for row in rows if row["condition"] != "healthy"] if unhealthy else rows
    if as_json:
        print_json(told | {"shards": shown})
        return Exit.OK
    screen = console()
    screen.print(counted(count_by_condition(rows)), style="bold")
    if shown:
        screen.print(shards_table(shown, names))
    print_silence(screen, told["silent"], names.of)
    return Exit.OK
