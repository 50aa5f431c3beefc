"""`mesh status`: the mesh at a glance, or all that is known of one task."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

import click
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hubless.cli.exits import Exit
from hubless.cli.health import Problem, problems
from hubless.cli.names import Names
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import console, counted, print_json
from hubless.cli.shardview import count_by_condition
from hubless.cli.taskid import task_argument
from hubless.cli.taskview import task_view
from hubless.client import BlockingMesh, connect_blocking


@click.command(name="status")
@task_argument(required=False)
@at_option
@json_option
def command(*, task: str | None, at: tuple[str, ...], as_json: bool) -> Exit:
    """Show how the mesh is, what is wrong and what to do about it; with ID all that is known of that task."""
    with connect_blocking(*at) as mesh:
        if task is None:
            _glance(mesh, as_json=as_json)
            return Exit.OK
        row = mesh.status(task)
        names = Names() if as_json else Names(mesh.members())
    if as_json:
        print_json(row)
    else:
        console().print(task_view(row, names, time.time()))
    return Exit.OK


def _glance(mesh: BlockingMesh, *, as_json: bool) -> None:
    asked = mesh.ask("members")
    members: list[dict[str, Any]] = asked["members"]
    shards = mesh.ask("shards")
    tasks = mesh.ask("tasks", json.dumps({"state": None, "agent": None, "limit": 1}))
    names = Names(members)
    found = problems(members, shards, tasks, names)
    nodes = dict(sorted(Counter(member["condition"] for member in members).items()))
    conditions = count_by_condition(shards["shards"])
    if as_json:
        told = {"mesh": asked["mesh"], "nodes": nodes, "shards": conditions, "tasks": tasks["counts"]}
        silent = sorted({*shards["silent"], *tasks["silent"]})
        print_json(told | {"silent": silent, "problems": [asdict(problem) for problem in found]})
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_row("nodes", counted(nodes))
    grid.add_row("shards", counted(conditions))
    is_certain = not (tasks["silent"] or tasks["unowned"])
    grid.add_row("tasks", counted(tasks["counts"], is_certain=is_certain))
    screen = console()
    screen.print(f"mesh {asked['mesh']}", style="bold")
    screen.print(grid)
    screen.print()
    if not found:
        screen.print("all is well", style="green")
    for problem in found:
        screen.print(_told(problem))


def _told(problem: Problem) -> Group:
    what = Text(problem.what, style="red" if problem.is_grave else "yellow")
    return Group(what, Padding(problem.remedy, (0, 0, 0, 2), expand=False))
