"""Faults that stay with some nodes for ever, while all others get well.

What a fault does between two others ends when they are healed; what it does to the outsiders, or between one and
anybody, goes on: cuts in one direction, a share of the packets, a disk that does not answer, a process that does not
run.
"""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from hubless_sim.faults import Fault, Flapping, Isolate, Lasting, Partition, RingPartition

Names = tuple[str, ...]


def frozen(fault: Fault, outsiders: Names, heal_ms: int) -> list[Fault]:
    """The fault until the others are healed, and the share of each outsider in it from then on.

    Nothing of it stays if it does not concern them, or is over before.
    """
    if not isinstance(fault, Lasting) or fault.until_ms is None or fault.until_ms < heal_ms:
        return [fault]
    shares = (each for outsider in outsiders for each in _shares(fault, outsider))
    return [fault, *(replace(each, at_ms=heal_ms, until_ms=None) for each in shares)]


def _shares(fault: Any, outsider: str) -> Sequence[Any]:
    match fault:
        case Partition(sides=sides) | Flapping(sides=sides):
            return [replace(fault, sides=((outsider,), side)) for side in _across(sides, outsider)]
        case RingPartition(nodes=nodes) if outsider in nodes:
            far = _far(nodes, outsider)
            return [Partition(at_ms=fault.at_ms, sides=((outsider,), far))] if far else []
        case Isolate(nodes=nodes) if outsider in nodes:
            return [replace(fault, nodes=(outsider,))]
        case RingPartition() | Isolate():
            return []
        case _ if hasattr(fault, "sources"):
            from_it = [replace(fault, sources=(outsider,))] if _names(fault.sources, outsider) else []
            to_it = [replace(fault, targets=(outsider,))] if _names(fault.targets, outsider) else []
            return [*from_it, *to_it]
        case _:
            return [replace(fault, nodes=(outsider,))] if outsider in fault.nodes else []


def _names(names: Names, outsider: str) -> bool:
    """Whether the outsider is among them; nobody named means all."""
    return not names or outsider in names


def _across(sides: tuple[Names, Names], outsider: str) -> list[Names]:
    """The side that the outsider is cut off from, if it is on one; an empty one is everybody else."""
    left, right = sides
    if outsider in left or (not left and outsider not in right):
        return [right]
    if outsider in right or (not right and outsider not in left):
        return [left]
    return []


def _far(ring: Names, outsider: str) -> Names:
    """Whom a node of a ring partition does not reach."""
    place, count = ring.index(outsider), len(ring)
    reach = (count // 2 + 1) // 2
    near = {ring[(place + step) % count] for step in range(-reach, reach + 1)}
    return tuple(name for name in ring if name not in near)
