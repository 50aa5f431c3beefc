"""The first of several deadlines: asked for after every event, so it has to be quick."""

from __future__ import annotations


def earliest(*deadlines: int | None) -> int | None:
    """The lowest of these, of which None is none; None if there is none at all."""
    first = None
    for deadline in deadlines:
        if deadline is not None and (first is None or deadline < first):
            first = deadline
    return first
