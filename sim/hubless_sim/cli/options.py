"""Options that several commands of `mesh sim` share."""

from __future__ import annotations

from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from hubless_sim.search.swarms import SWARMS

Decorated = TypeVar("Decorated", bound=Any)

DEFAULT_SYSTEM = "shards"

MOST_SEED = 2**63 - 1
"""The last seed that a tape can have."""


class PlantName(click.ParamType[str]):
    """The name of a bug in the zoo."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from hubless_sim.zoo import plant_of  # noqa: PLC0415 it loads all that bugs are planted in

        try:
            return plant_of(value).name
        except LookupError as problem:
            self.fail(problem.args[0], param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        from hubless_sim.zoo import PLANTS  # noqa: PLC0415 see above

        return [
            CompletionItem(name, help=plant.what)
            for name, plant in PLANTS.items()
            if name.startswith(incomplete)
        ]


def system_option(command: Decorated) -> Decorated:
    """`--system`: whose tapes are drawn; None if it was left out."""
    return click.option(
        "--system",
        type=click.Choice(list(SWARMS)),
        help="What runs. shards, if left out: the replicas of shards alone. gossip: membership alone; cramped: with "
        "little room; accused: one is called dead; hushed: rumours run out at once; frozen-gossip: some never get "
        "well. mesh: whole nodes with clients, under faults of all kinds; frozen: one of them never gets well; "
        "frozen-two: two of seven never do; pools: executors that fail; crowds: one that never has room; sinks: one "
        "that fails fast; apart: agents that go on in a partition; agents: those that misbehave.",
    )(command)


def system_of(plant: str | None) -> str:
    """The system in which a planted bug is looked for, and the default without one."""
    if plant is None:
        return DEFAULT_SYSTEM
    from hubless_sim.zoo import plant_of  # noqa: PLC0415 see above

    return plant_of(plant).system


def plant_option(command: Decorated) -> Decorated:
    """`--plant`: a bug to have on purpose."""
    return click.option(
        "--plant", metavar="NAME", type=PlantName(), help="Plant a bug of the zoo in what runs."
    )(command)
