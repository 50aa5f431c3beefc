"""`mesh leave`: a node goes, in good order."""

from __future__ import annotations

import time
from typing import Any

import click

from hubless.cli.arguments import check_arguments
from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import print_json
from hubless.client import BlockingMesh, UnreachableError, connect_blocking

_LOOK_EVERY_S = 0.1
_GONE = ("dead", "left")


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

    Any node can pass the wish on.
    """
    check_arguments(node=node, timeout=timeout)
    with connect_blocking(*at) as mesh:
        members = mesh.members()
        _check_lives(node, members)
        asked: str = mesh.ask("leave", node)["node"]
        if not no_wait:
            others = {member["node"] for member in members if member["condition"] not in _GONE} - {asked}
            _wait_until_left(mesh, asked, timeout, is_last=not others)
    if as_json:
        print_json({"node": asked, "condition": "leaving" if no_wait else "left"})
    else:
        click.echo(f"node {asked} was asked to leave" if no_wait else f"node {asked} has left")
    return Exit.OK


def _check_lives(node: str, members: list[dict[str, Any]]) -> None:
    meant = [member for member in members if node in (member["node"], member["name"])]
    conditions = {member["condition"] for member in meant}
    if conditions and conditions.issubset(_GONE):
        text = (
            f"node {node} is {meant[-1]['condition']}, nobody can ask it to leave: see `mesh members --all`"
        )
        raise CommandError(text, Exit.REFUSED, "gone")


def _wait_until_left(mesh: BlockingMesh, node: str, timeout: float, *, is_last: bool) -> None:
    """Looks until the others hold the node for left. The last node of a mesh has left when nobody answers."""
    condition = "alive"
    ends = time.monotonic() + timeout
    while time.monotonic() < ends:
        try:
            members = mesh.members()
        except UnreachableError:
            if is_last:
                return
        else:
            by_id = {member["node"]: member["condition"] for member in members}
            condition = by_id.get(node, "left")  # what is forgotten has been gone for long
            if condition == "left":
                return
            if condition == "dead":
                raise CommandError(f"node {node} died before it had left", Exit.FAILED, "died")
        time.sleep(_LOOK_EVERY_S)
    text = f"node {node} was asked to leave and is {condition} after {timeout:g} s: see `mesh members`"
    raise CommandError(text, Exit.FAILED, "still_there")
