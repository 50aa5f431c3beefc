"""`mesh drain`: a node hands over all that it keeps, then goes."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.console import Console
from rich.status import Status

from hubless.cli.arguments import check_arguments
from hubless.cli.exits import Exit
from hubless.cli.leaving import order_to_go
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import print_json
from hubless.client import BlockingMesh, MeshError, connect_blocking

_TELL_EVERY_S = 1.0


@click.command(name="drain")
@click.argument("node")
@at_option
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Return when the node has left, or at once."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds to wait until the node has left.",
)
@json_option
def command(*, node: str, at: tuple[str, ...], wait: bool, timeout: float, as_json: bool) -> Exit:
    """Move everything that NODE (its id or name) owns and keeps to other nodes, then have it leave the mesh.

    It goes on with its work meanwhile, and gets no new shards; `mesh shards` shows what is still there. While no other
    node has room for a replica it waits for one. The only node that is there cannot be drained.
    """
    check_arguments(node=node, timeout=timeout)
    stderr = Console(stderr=True)
    with connect_blocking(*at) as mesh, stderr.status(f"draining {node}") as status:
        progress = _Progress(mesh, status) if stderr.is_terminal and not as_json else None
        asked = order_to_go(mesh, "drain", node, wait_s=timeout if wait else None, meanwhile=progress)
    if as_json:
        print_json({"node": asked, "condition": "left" if wait else "draining"})
    else:
        click.echo(f"node {asked} is drained and has left" if wait else f"node {asked} was asked to drain")
    return Exit.OK


class _Progress:
    """Says how many shards are still to be moved."""

    def __init__(self, mesh: BlockingMesh, status: Status) -> None:
        self._mesh = mesh
        self._status = status
        self._next = 0.0

    def __call__(self, node: str) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _TELL_EVERY_S
        try:
            shards: list[dict[str, Any]] = self._mesh.ask("shards")["shards"]
        except MeshError:
            return  # it is only for show
        kept = sum(node in (*row["voters"], *row["outgoing"], *row["learners"]) for row in shards)
        self._status.update(f"draining {node}: replicas of {kept} of {len(shards)} shards are still there")
