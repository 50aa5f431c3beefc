"""What a planted bug is, and how it gets into the code of this process and out again."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

Area = Literal["gossip", "raft", "journal", "tasks", "workers", "breakers"]
Sweep = Literal[
    "gossip",
    "shards",
    "mesh",
    "frozen",
    "pools",
    "crowds",
    "sinks",
    "apart",
    "agents",
    "cramped",
    "accused",
    "hushed",
]

_ABSENT = object()

T = TypeVar("T")


class Swaps:
    """Attributes of classes and modules that were replaced by others, until all are put back."""

    def __init__(self) -> None:
        self._kept: list[tuple[Any, str, Any]] = []

    def put(self, owner: Any, name: str, value: T) -> T:
        """Replaces an attribute that is there, and gives what it was. Raises AttributeError if there is none."""
        before: T = getattr(owner, name)
        kept = inspect.getattr_static(owner, name) if name in vars(owner) else _ABSENT
        self._kept.append((owner, name, kept))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        """Puts everything back, the last one first."""
        while self._kept:
            owner, name, kept = self._kept.pop()
            if kept is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, kept)


class Plant(msgspec.Struct, frozen=True):
    """One rule of the product, replaced by something that nearly always works.

    ``what`` says in one sentence what it does wrong; ``system`` is the sweep that finds it, and ``first`` the first
    seed, from 0 on, that did when it was measured last.
    """

    name: str
    area: Area
    what: str
    system: Sweep
    apply: Callable[[Swaps], None]
    first: int


class Bed:
    """The plants of one area, in the order in which they were planted."""

    def __init__(self, area: Area) -> None:
        self.area: Area = area
        self.plants: list[Plant] = []

    def plant(self, system: Sweep, *, first: int) -> Callable[[Callable[[Swaps], None]], Plant]:
        """Makes a plant of a function: its name is the function's, and what it does wrong its docstring."""

        def planted(apply: Callable[[Swaps], None]) -> Plant:
            plant = Plant(
                apply.__name__.replace("_", "-"),
                self.area,
                inspect.getdoc(apply) or "",
                system,
                apply,
                first,
            )
            self.plants.append(plant)
            return plant

        return planted
