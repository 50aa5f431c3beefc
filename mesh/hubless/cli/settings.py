"""Options from a TOML file: checked against the commands that exist, and handed to click as defaults."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hubless.cli.exits import CommandError


def read(path: str, commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """Reads a configuration file into click's `default_map`: a mapping of options for each command.

    A key at the top is for every command that has such an option; a table is for the command of its name.

    Raises:
        CommandError: no such file, not TOML, or a key that no command knows.
    """
    try:
        settings = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise CommandError(f"there is no configuration file {path}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise CommandError(f"{path} is not TOML: {problem}") from problem
    known = {name: _options(command) for name, command in commands.items()}
    everywhere = {option for options in known.values() for option in options}
    default_map: dict[str, dict[str, Any]] = {name: {} for name in known}
    for key, value in settings.items():
        if isinstance(value, dict) and key in known:
            continue
        if key not in everywhere:
            raise _unknown(path, key, sorted(everywhere) + sorted(f"[{name}]" for name in known))
        for name, options in known.items():
            if key in options:
                default_map[name][options[key]] = value
    for name, table in settings.items():
        if isinstance(table, dict):
            for key, value in table.items():
                if key not in known[name]:
                    raise _unknown(path, f"{name}.{key}", sorted(known[name]))
                default_map[name][known[name][key]] = value
    return default_map


def _options(command: click.Command) -> dict[str, str]:
    """Option names as users write them ("json"), with the parameter names behind them ("as_json")."""
    return {
        flag.removeprefix("--"): parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for flag in parameter.opts
        if flag.startswith("--")
    }


def _unknown(path: str, key: str, known: list[str]) -> CommandError:
    near = difflib.get_close_matches(key.rpartition(".")[2], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return CommandError(f"{path} has an unknown key {key!r}; {hint}")
