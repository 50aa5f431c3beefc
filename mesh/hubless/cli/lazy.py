"""Groups of commands whose modules are loaded when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

Section = Mapping[str, tuple[str, str]]
"""By the name of a command: the module that has it as `command`, and its line in the help."""


class LazyGroup(click.Group):
    """Knows its commands by name and help, and loads the module of the one that is used.

    `sections` are its commands under the titles that the help shows them by. A module is named and never imported
    here, so that a command may live in a package that is built on this one.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Section], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self._lines = {name: line for section in sections.values() for name, line in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return self.load(cmd_name) if cmd_name in self._lines else None

    def load(self, name: str) -> click.Command:
        """The command of this name, which must be one of `list_commands`."""
        command: click.Command = import_module(self._lines[name][0]).command
        return command

    def load_all(self) -> dict[str, click.Command]:
        """All commands by name."""
        return {name: self.load(name) for name in self._lines}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self._lines:
            near = import_module("difflib").get_close_matches(args[0], self._lines, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self._lines)}"
            raise click.UsageError(f"no command {args[0]!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, section in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in section.items()])
