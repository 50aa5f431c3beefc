"""`mesh leave`: a node goes, in good order."""

from __future__ import annotations

import click

from hubless.cli.arguments import check_arguments
from hubless.cli.exits import Exit
from hubless.cli.leaving import order_to_go
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import print_json
from hubless.client import connect_blocking


@click.command(name="leave")
@click.argument("node")
@at_option
@click.option("--no-wait", is_flag=True, help="Return as soon as the node has been asked.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="Seconds to wait until the node has left.",
)
@json_option
def command(*, node: str, at: tuple[str, ...], no_wait: bool, timeout: float, as_json: bool) -> Exit:
    """Ask NODE (its id or name) to finish what it has and leave the mesh, and wait until it has.

    Any node can pass the wish on. The replicas that it leaves behind are replaced afterwards: use `mesh drain` to have
    them moved before it goes.
    """
    check_arguments(node=node, timeout=timeout)
    with connect_blocking(*at) as mesh:
        asked = order_to_go(mesh, "leave", node, wait_s=None if no_wait else timeout)
    if as_json:
        print_json({"node": asked, "condition": "leaving" if no_wait else "left"})
    else:
        click.echo(f"node {asked} was asked to leave" if no_wait else f"node {asked} has left")
    return Exit.OK
