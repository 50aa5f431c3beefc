"""`mesh tasks`: what the mesh has to do, and has done."""

from __future__ import annotations

import json
import time

import click

from hubless.cli.arguments import check_arguments
from hubless.cli.exits import Exit
from hubless.cli.names import Names
from hubless.cli.options import agent_option, at_option, json_option, limit_option
from hubless.cli.screen import console, counted, print_json, print_silence, print_unowned
from hubless.cli.taskview import tasks_table
from hubless.client import connect_blocking

_STATES = ("queued", "running", "succeeded", "failed", "dead", "cancelled", "expired")


@click.command(name="tasks")
@at_option
@click.option("--state", type=click.Choice(_STATES), help="Show only tasks in this state.")
@agent_option
@limit_option
@json_option
def command(*, at: tuple[str, ...], state: str | None, agent: str | None, limit: int, as_json: bool) -> Exit:
    """Show the tasks that the mesh keeps, the newest last, and how many are in which state.

    queued, running; succeeded, failed; dead: tried too often, see `mesh dead-letters`; cancelled; expired: not done by
    its deadline. Those that have ended are kept for a while. Tasks with durability "none" are not among them.
    """
    check_arguments(agent=agent)
    argument = json.dumps({"state": state, "agent": agent, "limit": limit})
    with connect_blocking(*at) as mesh:
        told = mesh.ask("tasks", argument)
        names = Names() if as_json else Names(mesh.members())
    if as_json:
        print_json(told)
        return Exit.OK
    screen = console()
    is_certain = not (told["silent"] or told["unowned"])
    screen.print(counted(told["counts"], is_certain=is_certain), style="bold")
    if not told["tasks"] and any(told["counts"].values()):
        screen.print("none of these is what was asked for", style="dim")
    if told["tasks"]:
        screen.print(tasks_table(told["tasks"], names, time.time()))
        if len(told["tasks"]) >= limit:
            text = f"not more than the newest {limit} are shown: choose with --limit, --state and --agent"
            screen.print(text, style="dim")
    print_silence(screen, told["silent"], names.of)
    print_unowned(screen, told["unowned"])
    return Exit.OK
