"""`mesh breakers`: whom a node does not trust."""

from __future__ import annotations

from typing import Any

import click

from hubless.cli.exits import Exit
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import console, print_json, table
from hubless.client import connect_blocking


@click.command(name="breakers")
@at_option
@click.option("--all", "show_all", is_flag=True, help="Show also the breakers that are closed.")
@json_option
def command(*, at: tuple[str, ...], show_all: bool, as_json: bool) -> Exit:
    """Show the circuit breakers of the asked node: those that are not closed.

    A breaker is local to its node. open: no calls; half_open: one trial call at a time; closed: all is well.
    """
    with connect_blocking(*at) as mesh:
        told = mesh.ask("breakers")
        if as_json:
            print_json(told)
            return Exit.OK
        names = {member["node"]: member["name"] for member in mesh.members()}
    closed = [row for row in told["breakers"] if row["state"] == "closed"]
    shown = told["breakers"] if show_all else [row for row in told["breakers"] if row not in closed]
    screen = console()
    if told["panic"]:
        screen.print("panic: this node suspects itself, since most of its peers look bad", style="bold red")
    if not shown:
        screen.print(f"all {len(closed)} breakers are closed", style="green")
        return Exit.OK
    columns = ("peer", "node", "agent", "state", "calls", "failures", "failure rate", "reason")
    rows = [_row(breaker, names) for breaker in shown]
    screen.print(table(columns, rows, right=("calls", "failures", "failure rate")))
    if not show_all:
        screen.print(f"and {len(closed)} closed: see them with --all", style="dim")
    return Exit.OK


def _row(breaker: dict[str, Any], names: dict[str, str]) -> tuple[Any, ...]:
    scope = breaker["scope"]
    return (
        names.get(scope.get("peer", "")) or "-",
        scope.get("peer", "-"),
        scope.get("agent", "(link)") + (f" {scope['version']}" if "version" in scope else ""),
        breaker["state"],
        breaker["calls"],
        breaker["failures"],
        f"{breaker['failure_rate']:.0%}",
        breaker["reason"],
    )
