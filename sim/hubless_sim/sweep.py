"""``python -m hubless_sim.sweep``: bare shards under faults of every kind, one drawn tape a seed.

Ends with exit code 1 at the first seed that fails, and prints its tape.
"""

import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context

import click

from hubless_sim.play import play
from hubless_sim.shard_swarm import drawn_tape

_BATCH = 20


def violations_of(seed: int) -> tuple[str, ...]:
    """What does not hold in the run of a seed's tape."""
    return play(drawn_tape(seed)).violations


def _tried(seed: int) -> tuple[int, tuple[str, ...]]:
    try:
        return seed, violations_of(seed)
    except Exception as error:  # noqa: BLE001 whatever a host raises is a finding, and the sweep says of which seed
        return seed, (f"{type(error).__name__}: {error}",)


def swept(first: int, seeds: int, jobs: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every seed with its violations, in order."""
    numbers = range(first, first + seeds)
    if jobs == 1:
        yield from map(_tried, numbers)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(_tried, numbers, chunksize=_BATCH)


@click.command(name="hubless_sim.sweep")
@click.option("--seeds", default=1_000, show_default=True, help="How many seeds.")
@click.option("--first", default=0, show_default=True, help="The first of them.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--keep-going", is_flag=True, help="Name all seeds that fail, print no tape.")
def main(seeds: int, first: int, jobs: int, keep_going: bool) -> None:
    """Run drawn tapes and say whether all holds in them."""
    began = time.monotonic()
    failed = 0
    for seed, violations in swept(first, seeds, jobs):
        if not violations:
            continue
        failed += 1
        click.echo(f"seed {seed}: " + "\n    ".join(violations), err=True)
        if not keep_going:
            click.echo(drawn_tape(seed).to_json().decode())
            sys.exit(1)
    took_s = time.monotonic() - began
    click.echo(f"{seeds} seeds, {failed} failed, {took_s:.1f} s", err=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
