"""`mesh ring`: where work goes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from hubless.cli.arguments import check_arguments
from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import console, print_json, ranges, table
from hubless.client import connect_blocking


@click.command(name="ring")
@click.argument("key", required=False)
@at_option
@json_option
def command(*, key: str | None, at: tuple[str, ...], as_json: bool) -> Exit:
    """Show the shards that each node owns; with KEY, the shard of that key and its preference list."""
    if key == "":
        raise CommandError("KEY is empty: give a key, or leave it out to see the whole ring")
    check_arguments(key=key or "")
    with connect_blocking(*at) as mesh:
        told = mesh.ask("ring", key or "")
        if as_json:
            print_json(told)
            return Exit.OK
        names = {member["node"]: member["name"] for member in mesh.members()}
    if key is not None:
        _print_key(told, names)
    else:
        _print_shards(told, names)
    return Exit.OK


def _print_key(told: dict[str, Any], names: dict[str, str]) -> None:
    roles = ["owner now" if node == told["owner"] else "" for node in told["preference"]]
    rows = [
        (place + 1, names.get(node) or "-", node, role)
        for place, (node, role) in enumerate(zip(told["preference"], roles, strict=True))
    ]
    title = f"key {told['key']!r} is in shard {told['shard']}; its preference list:"
    screen = console()
    screen.print(title, style="bold")
    screen.print(table(("place", "name", "node", ""), rows, right=("place",)))


def _print_shards(told: dict[str, Any], names: dict[str, str]) -> None:
    first: Counter[str] = Counter()
    shards: dict[str, list[int]] = {}
    replicas: Counter[str] = Counter()
    for shard, preference in told["owners"].items():
        replicas.update(preference)
        if preference:
            first[preference[0]] += 1
            shards.setdefault(preference[0], []).append(int(shard))
    rows = [
        (names.get(node) or "-", node, first[node], replicas[node], ranges(shards.get(node, [])))
        for node in sorted(replicas, key=lambda node: (names.get(node) or "", node))
    ]
    title = f"{told['shards']} shards, each on {told['replicas']} nodes of its preference list"
    columns = ("name", "node", "first of", "on lists", "shards that it is first of")
    screen = console()
    screen.print(title, style="bold")
    screen.print(table(columns, rows, right=("first of", "on lists")))
