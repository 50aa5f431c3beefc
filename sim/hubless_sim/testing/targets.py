"""The agents that a simulated mesh is given: a file, a module, or functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from os import PathLike, fspath
from types import ModuleType
from typing import Any

from hubless_agents.contract import ContractError
from hubless_agents.decorators import marked_functions, options_of
from hubless_agents.loading import load
from hubless_agents.signature import Bound, bounds_of

Target = str | PathLike[str] | ModuleType | Callable[..., Any] | Iterable[Callable[..., Any]]


class Agents:
    """What every worker of the mesh offers.

    A path ending in ``.py`` is imported afresh by each worker process, as real ones do, so that they share no globals.
    A module (or its dotted name) and functions are what they are, in all workers alike: a test can put fakes into them.

    Raises ContractError if there are no agents, or what the import of a file raises.
    """

    def __init__(self, target: Target) -> None:
        self._path = ""
        self._import_path = list(sys.path)
        if isinstance(target, str | PathLike):
            name = fspath(target)
            self._path = name if name.endswith(".py") else ""
            functions = load(name)
        elif isinstance(target, ModuleType):
            functions = marked_functions(vars(target).values())
            if not functions:
                raise ContractError(
                    f"module {target.__name__} has no agents: decorate a function with @agent"
                )
        elif callable(target) or isinstance(target, Iterable):
            functions = _checked([target] if callable(target) else list(target))
        else:
            raise TypeError(
                f"agents is {target!r}: give the path of a file, a module, or functions with @agent"
            )
        self._bounds = bounds_of(functions)
        self.contracts = tuple(bound.contract for bound in self._bounds)
        self.namespaces = [function.__globals__ for function in functions if hasattr(function, "__globals__")]

    def bounds(self) -> list[Bound]:
        """The agents, for one more worker process."""
        if not self._path:
            return self._bounds
        before = list(sys.path)
        try:
            return bounds_of(load(self._path))
        finally:
            sys.path[:] = before

    def release(self) -> None:
        """Leave the import path as it was found."""
        for entry in set(sys.path) - set(self._import_path):
            with suppress(ValueError):
                sys.path.remove(entry)


def _checked(functions: list[Callable[..., Any]]) -> list[Callable[..., Any]]:
    for function in functions:
        if options_of(function) is None:
            raise ContractError(
                f"{function!r} is no agent: decorate it with @agent (from hubless import agent)"
            )
    if not functions:
        raise ContractError(
            "a simulated mesh without agents: give it a file, a module or functions with @agent"
        )
    return marked_functions(functions)
