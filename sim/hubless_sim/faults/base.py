"""What all faults have in common: times, names of nodes, and how one is put on the world's calendar."""

from collections.abc import Callable, Sequence

import msgspec

from hubless_sim.world.world import World

MS = 1_000_000
MAX_MS = 30 * 24 * 3600 * 1000


class Lasting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fault that begins at ``at_ms`` and ends at ``until_ms`` (null: never)."""

    at_ms: int
    until_ms: int | None = None

    def begin(self, world: World) -> Callable[[], None]:
        """Put the fault in force now; call what is returned to end it."""
        raise TypeError(f"{type(self).__name__} is no fault that {world!r} could suffer")

    def impose(self, world: World) -> None:
        """Put the fault on the world's calendar."""

        def begin() -> None:
            end = self.begin(world)
            if self.until_ms is not None:
                world.at(self.until_ms * MS, end)

        world.at(self.at_ms * MS, begin)


class Momentary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fault that happens at ``at_ms``; what it did stays."""

    at_ms: int

    def strike(self, world: World) -> None:
        """Do it now."""
        raise TypeError(f"{type(self).__name__} is no fault that {world!r} could suffer")

    def impose(self, world: World) -> None:
        """Put the fault on the world's calendar."""
        world.at(self.at_ms * MS, lambda: self.strike(world))


def index_of(name: str) -> int:
    """The number of the node with this name; -1 if it is not of the form n0, n1, ..."""
    digits = name[1:]
    if name[:1] != "n" or not digits.isascii() or not digits.isdigit() or str(int(digits)) != digits:
        return -1
    return int(digits)


def indices(names: Sequence[str]) -> list[int]:
    """The numbers of these nodes."""
    return [index_of(name) for name in names]


def chosen(names: Sequence[str]) -> frozenset[int] | None:
    """The numbers of these nodes, or None (all) if none is named."""
    return frozenset(indices(names)) or None


def all_of(ends: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """What ends them all."""

    def end() -> None:
        for each in ends:
            each()

    return end
