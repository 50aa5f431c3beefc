"""The `mesh` command: which commands there are, the options of all, and how errors end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from hubless.cli.exits import EXIT_CODES, Exit, leave, report, reraise_if_debugging, translated
from hubless.cli.lazy import LazyGroup

_COMMANDS = {
    "demo": ("hubless.cli.demo", "Run five nodes over real documents, kill one, and check every answer."),
    "dev": ("hubless.cli.dev", "Run a local mesh of your agents in the foreground."),
    "up": ("hubless.cli.up", "Run one node."),
    "call": ("hubless.cli.call", "Call an agent once."),
    "submit": ("hubless.cli.submit", "Call an agent for each line of a JSON Lines file."),
    "status": ("hubless.cli.status", "Show how the mesh is and what to do about it, or all about one task."),
    "tasks": ("hubless.cli.tasks", "Show the tasks that the mesh keeps."),
    "dead-letters": ("hubless.cli.dead_letters", "Show the tasks that were tried too often, and why."),
    "cancel": ("hubless.cli.cancel", "Cancel a task."),
    "retry": ("hubless.cli.retry", "Queue a task again that failed."),
    "members": ("hubless.cli.members", "Show who is in the mesh, and how they are."),
    "ring": ("hubless.cli.ring", "Show which nodes own which shards, or where a key lives."),
    "shards": ("hubless.cli.shards", "Show the shards: owners, replicas, condition."),
    "breakers": ("hubless.cli.breakers", "Show the circuit breakers of a node."),
    "leave": ("hubless.cli.leave", "Ask a node to leave the mesh in good order."),
    "drain": ("hubless.cli.drain", "Move all that a node keeps to others, then have it leave."),
    "fork": ("hubless.cli.fork", "Give a shard whose majority is lost for ever a new lineage."),
    "sim": ("hubless_sim.cli", "Break a simulated mesh on purpose, and find out what does not hold."),
    "completion": ("hubless.cli.completion", "Print the completion script of a shell."),
}

_EPILOG = f"""\b
Start:
  mesh demo                         see it work
  mesh dev agents.py                a local mesh of your agents
  mesh call hello '"Ada"'           call one of them

Options can also be set by environment (MESH_AT, MESH_UP_LISTEN, ...) or in a TOML file given with
--config: top-level keys for every command, a table such as [up] for one.

{EXIT_CODES}"""


def _read_config(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.default_map = import_module("hubless.cli.settings").read(value, mesh.load_all())


@click.group(
    cls=LazyGroup,
    sections={"Commands": _COMMANDS},
    epilog=_EPILOG,
    context_settings={"auto_envvar_prefix": "MESH", "help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    metavar="FILE",
    callback=_read_config,
    is_eager=True,
    expose_value=False,
    help="Read options from a TOML file.",
)
@click.version_option(package_name="hubless", prog_name="hubless", message="%(prog)s %(version)s")
def mesh() -> None:
    """A mesh of agents with no hub: nodes find each other, share the work, and go on when one dies."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `mesh` with the arguments of the process, and ends the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    code: Any = Exit.OK
    try:
        code = mesh.main(args=given, prog_name="mesh", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.format_message())
        code = Exit.USAGE if given else Exit.OK
    except BaseException as problem:
        if isinstance(problem, SystemExit):
            raise
        reraise_if_debugging(problem)
        error = translated(problem)
        report(error, as_json="--json" in given)
        code = error.code
    leave(Exit(code) if isinstance(code, int) else Exit.OK)
