"""Options and argument types that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hubless.config import ConfigError, parse_address

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

DEFAULT_AT = "127.0.0.1:7000"


class Addresses(click.ParamType[tuple[str, ...]]):
    """One or more "host:port", separated by commas; a list in TOML."""

    name = "host:port,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        parts = value.split(",") if isinstance(value, str) else list(value)
        addresses = tuple(part.strip() for part in parts if part.strip())
        if not addresses:
            self.fail("no address is given; write host:port, such as 127.0.0.1:7000", param, ctx)
        for address in addresses:
            try:
                parse_address(address)
            except ConfigError as problem:
                self.fail(str(problem), param, ctx)
        return addresses


def at_option(command: Decorated) -> Decorated:
    """`--at`: which nodes to talk to."""
    return click.option(
        "--at",
        type=Addresses(),
        default=DEFAULT_AT,
        envvar="MESH_AT",
        show_default=True,
        show_envvar=True,
        metavar="HOST:PORT,...",
        help="Work addresses of one or more nodes.",
    )(command)


def json_option(command: Decorated) -> Decorated:
    """`--json`: output for programs."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON; errors too, as one object on stderr."
    )(command)


def agent_option(command: Decorated) -> Decorated:
    """`--agent`: of which agent."""
    return click.option("--agent", metavar="NAME", help="Show only tasks of this agent.")(command)


def limit_option(command: Decorated) -> Decorated:
    """`--limit`: how many."""
    limit = click.IntRange(1, 1_000)
    return click.option("--limit", type=limit, default=50, show_default=True, help="Show at most so many.")(
        command
    )


def durability_option(command: Decorated) -> Decorated:
    """`--durability`: where tasks are kept."""
    return click.option(
        "--durability",
        type=click.Choice(["replicated", "none"]),
        help="Keep the task with a majority of its shard, or only with the node that takes it; else its agent decides.",
    )(command)


def checked_target(target: str) -> str:
    """What `mesh up` and `mesh dev` are to run: a Python file that compiles, or the name of a module.

    Raises:
        click.BadParameter: a missing file, or one that is not Python.
    """
    path = Path(target)
    if (
        not path.exists()
        and not target.endswith(".py")
        and all(part.isidentifier() for part in target.split("."))
    ):
        return target
    if not path.exists():
        raise click.BadParameter(f"there is no file {target}: give a Python file with @agent functions")
    if path.is_dir() or path.suffix != ".py":
        raise click.BadParameter(f"{target} is not a Python file: give a .py file with @agent functions")
    try:
        compile(path.read_bytes(), target, "exec", dont_inherit=True)
    except SyntaxError as problem:
        raise click.BadParameter(f"{target}, line {problem.lineno}: {problem.msg}") from problem
    except ValueError as problem:
        raise click.BadParameter(f"{target} is not a Python file: {problem}") from problem
    return str(path.resolve())
