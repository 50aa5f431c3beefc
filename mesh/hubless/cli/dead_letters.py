"""`mesh dead-letters`: tasks that nobody tries any more, with their evidence."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from hubless.cli.arguments import check_arguments
from hubless.cli.exits import Exit
from hubless.cli.names import Names
from hubless.cli.options import agent_option, at_option, json_option, limit_option
from hubless.cli.screen import ago, console, print_json, print_silence, print_unowned
from hubless.cli.taskview import failure_view
from hubless.client import connect_blocking

_LAST_FAILURES = 3


@click.command(name="dead-letters")
@at_option
@agent_option
@limit_option
@json_option
def command(*, at: tuple[str, ...], agent: str | None, limit: int, as_json: bool) -> Exit:
    """Show the tasks that were tried too often, and what went wrong with their last attempts.

    `mesh status ID` shows all that is known of one, `mesh retry ID` queues it again.
    """
    check_arguments(agent=agent)
    with connect_blocking(*at) as mesh:
        told = mesh.ask("dead_letters", json.dumps({"state": None, "agent": agent, "limit": limit}))
        names = Names() if as_json else Names(mesh.members())
    if as_json:
        print_json(told)
        return Exit.OK
    screen = console()
    if not told["tasks"]:
        is_certain = not (told["silent"] or told["unowned"])
        text = "no task is dead" if is_certain else "no task is known to be dead"
        screen.print(text, style="green" if is_certain else "yellow")
    for row in told["tasks"]:
        _print_letter(screen, row, names)
    if told["tasks"]:
        screen.print("`mesh retry ID` queues one again, once the cause is gone", style="dim")
    print_silence(screen, told["silent"], names.of)
    print_unowned(screen, told["unowned"])
    return Exit.OK


def _print_letter(screen: Console, row: dict[str, Any], names: Names) -> None:
    head = Text(row["task"], style="bold") + Text(f"  {row['agent']}")
    if row["key"]:
        head += Text(f", key {row['key']!r}")
    ended = row["ended"] if row["ended"] is not None else row["submitted"]
    tries = "1 attempt" if row["attempt"] == 1 else f"{row['attempt']} attempts"
    where = f", the last on {names[row['executor']]}" if row["executor"] else ""
    head += Text(f"  dead for {ago(max(0.0, time.time() - ended))}, {tries}{where}", style="dim")
    screen.print(head)
    failures = row.get("failures") or []
    earlier = len(failures) - _LAST_FAILURES
    if earlier > 0:
        screen.print(f"  {earlier} earlier: see `mesh status {row['task']}`", style="dim")
    for failure in failures[-_LAST_FAILURES:]:
        screen.print(failure_view(failure, names))
    screen.print()
