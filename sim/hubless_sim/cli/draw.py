"""`mesh sim draw`: the tape of a seed."""

from __future__ import annotations

import click

from hubless.cli.exits import Exit
from hubless_sim.cli.options import DEFAULT_SYSTEM, MOST_SEED, system_option
from hubless_sim.search.swarms import SWARMS


@click.command(name="draw")
@click.argument("seed", type=click.IntRange(0, MOST_SEED))
@system_option
def command(*, seed: int, system: str | None) -> Exit:
    """Print the tape of SEED, as a sweep runs it."""
    click.echo(SWARMS[system or DEFAULT_SYSTEM](seed).to_json(), nl=False)
    return Exit.OK
