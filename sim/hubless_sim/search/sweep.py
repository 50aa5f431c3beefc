"""``python -m hubless_sim.search.sweep``: bare shards or whole nodes under faults of every kind, one drawn tape a seed.

Ends with exit code 1 at the first seed that fails, and prints its tape.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context

import click

from hubless_sim.gossip import swarm as gossip_swarm
from hubless_sim.mesh import swarm as mesh_swarm
from hubless_sim.play import play
from hubless_sim.shards import swarm as shard_swarm
from hubless_sim.tapes.tape import Tape

_BATCH = 20


SWARMS: dict[str, Callable[[int], Tape]] = {
    "gossip": gossip_swarm.drawn_tape,
    "shards": shard_swarm.drawn_tape,
    "mesh": mesh_swarm.drawn_tape,
}
"""How each system's tape of a seed is drawn."""


def violations_of(seed: int, system: str = "shards") -> tuple[str, ...]:
    """What does not hold in the run of a seed's tape."""
    return tuple(violation.text for violation in play(SWARMS[system](seed)).violations)


def _tried(seed: int, system: str) -> tuple[int, tuple[str, ...]]:
    return seed, violations_of(seed, system)


def swept(first: int, seeds: int, jobs: int, system: str = "shards") -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every seed with its violations, in order."""
    numbers = range(first, first + seeds)
    tried = partial(_tried, system=system)
    if jobs == 1:
        yield from map(tried, numbers)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(tried, numbers, chunksize=_BATCH)


@click.command(name="hubless_sim.search.sweep")
@click.option("--seeds", default=1_000, show_default=True, help="How many seeds.")
@click.option("--first", default=0, show_default=True, help="The first of them.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option(
    "--system", type=click.Choice(sorted(SWARMS)), default="shards", show_default=True, help="What runs."
)
@click.option("--keep-going", is_flag=True, help="Name all seeds that fail, print no tape.")
def main(seeds: int, first: int, jobs: int, system: str, keep_going: bool) -> None:
    """Run drawn tapes and say whether all holds in them."""
    began = time.monotonic()
    failed = 0
    for seed, violations in swept(first, seeds, jobs, system):
        if not violations:
            continue
        failed += 1
        click.echo(f"seed {seed}: " + "\n    ".join(violations), err=True)
        if not keep_going:
            click.echo(SWARMS[system](seed).to_json().decode())
            sys.exit(1)
    took_s = time.monotonic() - began
    click.echo(f"{seeds} seeds, {failed} failed, {took_s:.1f} s", err=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
