"""Queues that are bounded are never fuller than that."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hubless_sim.verdict import Violation


class Load(NamedTuple):
    """A queue at one moment: what waits in it, and what was taken out of it and may come back to its front."""

    waiting: int
    taken: int


class Bound:
    """A queue that takes one more only while less than ``most`` wait in it.

    What was taken out of it may come back: so nothing is ever in it but ``most``, and as much as was out at once. It
    must be looked at after every event that changes it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_taken = 0

    def is_kept(self, load: Load) -> bool:
        """Whether there is no more in and out of the queue than there can be."""
        self._most_taken = max(self._most_taken, load.taken)
        return load.waiting + load.taken <= self._most + self._most_taken


class Overfull(NamedTuple):
    """A queue of a node was found to be longer than its bound."""

    what: str
    size: int
    most: int


def overfull(found: Iterable[tuple[int, str, Overfull]]) -> Iterator[Violation]:
    """What was found, and when and where: of each queue of a node the first time."""
    first: dict[tuple[str, str], tuple[int, Overfull]] = {}
    for at_ns, node, each in found:
        first.setdefault((node, each.what), (at_ns, each))
    for (node, _), (at_ns, each) in first.items():
        text = f"{each.size} wait in {each.what} of {node}, which is to hold {each.most}"
        yield Violation("bounded queues", text, at_ns, (node,))
