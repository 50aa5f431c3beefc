"""Delta debugging: which items of a list can go, so that what is left still does what all of it did.

After Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input" (2002), with complements alone: single
parts of a schedule hardly ever fail by themselves.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def reduced(items: Sequence[Item], still_fails: Callable[[Sequence[Item]], bool]) -> Sequence[Item]:
    """The items that are left when all of them, halves, quarters, ... and at last each was tried to be left out.

    If that changes nothing, no single item can go.
    """
    size = len(items)
    while size:
        items = _without_runs(items, size, still_fails)
        size = min(size // 2, len(items))
    return items


def _without_runs(
    items: Sequence[Item], size: int, still_fails: Callable[[Sequence[Item]], bool]
) -> Sequence[Item]:
    """The items without those runs of ``size`` that can go, the last ones first: effects go before their causes."""
    end = len(items)
    while end > 0:
        rest = [*items[: max(0, end - size)], *items[end:]]
        if still_fails(rest):
            items = rest
        end -= size
    return items
