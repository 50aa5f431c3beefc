"""Waiting until a node has left, as `mesh leave` and `mesh drain` do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hubless.cli.exits import CommandError, Exit, refused
from hubless.client import BlockingMesh, UnreachableError

_LOOK_EVERY_S = 0.1
_GONE = ("dead", "left")


def order_to_go(
    mesh: BlockingMesh,
    order: str,
    node: str,
    *,
    wait_s: float | None,
    meanwhile: Callable[[str], None] | None = None,
) -> str:
    """Orders a node (by id or name) to "leave" or to "drain", waits so long until it has left, and returns its id.

    Args:
        wait_s: None does not wait.
        meanwhile: called now and then with the node's id, while there is time to say something.

    Raises:
        CommandError: the node is gone, is to drain and nobody else is there, dies before it has left, or has not left
            in time, or before Ctrl-C.
    """
    members = mesh.members()
    meant = [member for member in members if node in (member["node"], member["name"])]
    _check_lives(node, meant)
    others = [member for member in members if member not in meant and member["condition"] not in _GONE]
    if order == "drain" and meant and not others:
        text = f"node {node} is the only one that is there, nobody can take over what it keeps: start another one first"
        raise refused(f"{text}, or stop it with `mesh leave {node}`", "alone")
    asked: str = mesh.ask(order, node)["node"]
    if wait_s is not None:
        try:
            _wait_until_left(mesh, asked, wait_s, order, is_last=not others, meanwhile=meanwhile)
        except KeyboardInterrupt as problem:
            text = f"interrupted; node {asked} was asked to {order} and goes on with that: see `mesh members`"
            raise CommandError(text, Exit.INTERRUPTED, "interrupted") from problem
    return asked


def _check_lives(node: str, meant: list[dict[str, Any]]) -> None:
    conditions = {member["condition"] for member in meant}
    if not conditions or not conditions.issubset(_GONE):
        return
    if "left" in conditions:
        raise refused(f"node {node} has left already: see `mesh members --all`", "gone")
    raise refused(f"node {node} is dead: `mesh status` says what becomes of what it kept", "gone")


def _wait_until_left(
    mesh: BlockingMesh,
    node: str,
    timeout: float,
    order: str,
    *,
    is_last: bool,
    meanwhile: Callable[[str], None] | None,
) -> None:
    """Looks until the others hold the node for left. The last node of a mesh has left when nobody answers."""
    condition = "alive"
    ends = time.monotonic() + timeout
    while time.monotonic() < ends:
        try:
            members = mesh.members()
            if meanwhile is not None:
                meanwhile(node)
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
    where = "shards" if order == "drain" else "members"
    text = f"node {node} was asked to {order} and is {condition} after {timeout:g} s: it goes on, see `mesh {where}`"
    raise CommandError(text, Exit.FAILED, "still_there")
