"""`mesh leave`: a node goes, in good order."""

from __future__ import annotations

import click

from hubless.cli.exits import Exit
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import print_json
from hubless.client import connect_blocking


@click.command(name="leave")
@click.argument("node")
@at_option
@json_option
def command(*, node: str, at: tuple[str, ...], as_json: bool) -> Exit:
    """Ask NODE (its id or name) to finish what it has and leave the mesh. Any node can pass the wish on."""
    with connect_blocking(*at) as mesh:
        told = mesh.ask("leave", node)
    if as_json:
        print_json(told)
    else:
        click.echo(f"node {told['node']} was asked to leave")
    return Exit.OK
