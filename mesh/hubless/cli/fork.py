"""`mesh fork`: an operator's way out when a shard's majority is lost for ever."""

from __future__ import annotations

from typing import Any

import click

from hubless.cli.exits import CommandError, Exit, refused
from hubless.cli.names import Names
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import console, print_json, print_silence
from hubless.cli.shardview import shards_table
from hubless.client import connect_blocking


@click.command(name="fork")
@click.argument("shard", type=click.IntRange(min=0))
@at_option
@click.option("--yes", is_flag=True, help="Do it; without this, only what would be done is shown.")
@click.option("--force", is_flag=True, help="Even if missing nodes are only in doubt, or did not answer.")
@json_option
def command(*, shard: int, at: tuple[str, ...], yes: bool, force: bool, as_json: bool) -> Exit:
    """Give SHARD a new lineage from the best replica that is left, without those that are lost.

    For a shard whose condition is quorum_lost, when the missing nodes will never come back with their data. Tasks that
    only they knew are gone. Tasks that were under way are marked as forked, and may run a second time.

    Refused while the shard has an owner, and, without --force, while a majority may still be there. Use --force for
    nodes that you know to be gone and the mesh does not. If they are not gone, what they do is lost.
    """
    with connect_blocking(*at) as mesh:
        told = mesh.ask("fork", f"{shard} force" if force else str(shard)) if yes else mesh.ask("shards")
        members = [] if as_json and yes else mesh.members()
    names = Names(members)
    if not yes:
        present = {member["node"] for member in members if member["condition"] not in ("dead", "left")}
        present.difference_update(told["silent"])
        raise _unconfirmed(shard, told, present, names, force=force, as_json=as_json)
    if as_json:
        print_json(told)
    else:
        click.echo(
            f"shard {shard} has a new lineage from entry {told['index']} on, with {names.of(told['replicas'])}; "
            "tasks that were under way are marked as forked"
        )
    return Exit.OK


def _unconfirmed(
    shard: int, told: dict[str, Any], present: set[str], names: Names, *, force: bool, as_json: bool
) -> CommandError:
    """Shows what would be done."""
    rows = [row for row in told["shards"] if row["shard"] == shard]
    if not rows:
        last = len(told["shards"]) - 1
        return refused(f"there is no shard {shard}: this mesh has shards 0 to {last}", "bad_input")
    row = rows[0]
    if row["condition"] != "quorum_lost" and (row["owner"] or not force):
        text = f"shard {shard} is {row['condition']}, not quorum_lost: there is nothing to fork"
        return refused(text, "not_lost", {"shard": row})
    if not as_json:
        screen = console()
        screen.print(shards_table(rows, names))
        print_silence(screen, told["silent"], names.of)
        screen.print()
        screen.print(
            f"`mesh fork {shard} --yes{' --force' if force else ''}` would take the replica that is left with the "
            f"longest log, as it is, and found shard {shard} anew with the replicas that answer. For ever lost are: "
            f"entries that only the missing ones have{_missing(row, present, names)}, among them accepted tasks and "
            "results. Should they come back, what they have does not count any more. Tasks that were under way are "
            "marked as forked, and may run a second time."
        )
    text = "nothing was done: bring the missing nodes back if you can; if you cannot, repeat this with --yes"
    return CommandError(text, Exit.USAGE, "unconfirmed", {"shard": row})


def _missing(row: dict[str, Any], present: set[str], names: Names) -> str:
    missing = [node for node in dict.fromkeys([*row["voters"], *row["outgoing"]]) if node not in present]
    return f" ({names.of(missing)})" if missing else ""
