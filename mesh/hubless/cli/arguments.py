"""Arguments that a mesh could not read: found before anything is connected."""

from __future__ import annotations

from hubless.cli.exits import CommandError
from hubless.client.arguments import check_agent, check_name, patience_ms


def check_arguments(*, timeout: float | None = None, agent: str | None = None, **names: str) -> None:
    """Checks a timeout, the name of an agent, and other names by the fields that they are called by.

    Raises:
        CommandError: the text names the field and what is wrong with it.
    """
    try:
        patience_ms(timeout)
        if agent is not None:
            check_agent(agent)
        for field, name in names.items():
            check_name(field, name)
    except ValueError as problem:
        raise CommandError(str(problem), kind="bad_argument") from problem


def check_is_kept(durability: str | None, option: str) -> None:
    """Checks that what is to be found again (`option`, "" if nothing is) is kept by somebody.

    Raises:
        CommandError: it is not.
    """
    if option and durability == "none":
        text = f"{option} needs a task that the mesh keeps: leave it out, or --durability none"
        raise CommandError(text, kind="bad_argument")
