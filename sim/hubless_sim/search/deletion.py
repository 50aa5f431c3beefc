"""Delta debugging: which items of a list can go, so that what is left still does what all of it did.

After Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input" (2002), with complements alone: single
parts of a schedule hardly ever fail by themselves.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def reduced(items: Sequence[Item], still_fails: Callable[[Sequence[Item]], bool]) -> Sequence[Item]:
    """The items that are left when no single one of them can go any more.

    All of them are tried first, then halves, quarters and so on.
    """
    size = len(items)
    while size:
        items, has_shrunk = _without_runs(items, size, still_fails)
        if size > 1:
            size = min(size // 2, len(items))
        elif not has_shrunk:
            break
    return items


def _without_runs(
    items: Sequence[Item], size: int, still_fails: Callable[[Sequence[Item]], bool]
) -> tuple[Sequence[Item], bool]:
    """The items without those runs of ``size`` that can go, the last ones first: causes come before effects."""
    has_shrunk = False
    end = len(items)
    while end > 0:
        rest = [*items[: max(0, end - size)], *items[end:]]
        if still_fails(rest):
            items, has_shrunk = rest, True
        end -= size
    return items, has_shrunk
