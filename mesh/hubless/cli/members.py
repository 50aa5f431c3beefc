"""`mesh members`: who is there."""

from __future__ import annotations

import click

from hubless.cli.exits import Exit
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import ago, console, print_json, table
from hubless.client import connect_blocking

_MOST_COUNTED = 255


@click.command(name="members")
@at_option
@click.option("--all", "show_all", is_flag=True, help="Show also those that left or are dead.")
@json_option
def command(*, at: tuple[str, ...], show_all: bool, as_json: bool) -> Exit:
    """Show the members of the mesh, as one node believes them to be.

    alive: answers; busy: its process lives and its loop is blocked, it gets no new work; suspect: silent, given
    time to object; dead; left: it said goodbye. running: attempts of tasks that run there now.
    """
    with connect_blocking(*at) as mesh:
        told = mesh.ask("members")
    if as_json:
        print_json(told)
        return Exit.OK
    gone = [member for member in told["members"] if member["condition"] in ("dead", "left")]
    shown = told["members"] if show_all else [member for member in told["members"] if member not in gone]
    rows = [
        (
            member["name"] or "-",
            member["node"] + ("  (asked)" if member["node"] == told["node"] else ""),
            member["condition"],
            ago(member["since_s"]),
            member["work"] or "-",
            _running(member["load"]),
            ", ".join(f"{agent['name']} ({agent['slots']})" for agent in member["agents"]) or "-",
        )
        for member in sorted(shown, key=lambda member: (member["name"], member["node"]))
    ]
    title = f"mesh {told['mesh']}: {len(shown)} members"
    columns = ("name", "node", "condition", "for", "work address", "running", "agents (slots)")
    screen = console()
    screen.print(title, style="bold")
    screen.print(table(columns, rows, right=("for", "running")))
    if gone and not show_all:
        be = "is" if len(gone) == 1 else "are"
        screen.print(f"and {len(gone)} that left or {be} dead: see them with --all", style="dim")
    return Exit.OK


def _running(load: int) -> str:
    """How many attempts run on a node; it travels as one byte, so the largest number stands for more."""
    return str(load) if load < _MOST_COUNTED else f"{_MOST_COUNTED} or more"
