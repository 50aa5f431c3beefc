"""What nodes tell and believe of one another, and where it cannot be right of a mesh that is healthy, or calm."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from hubless_gossip import Condition
from hubless_sim.verdict import Violation

View = Mapping[str, Condition]
"""What a node believes of everybody it knows, itself included."""


class Death(NamedTuple):
    """A node tells that another, whose process runs, is dead."""

    at_ns: int
    teller: str
    member: str


def false_deaths(deaths: Iterable[Death], is_healthy: Callable[[str, int], bool]) -> Iterator[Violation]:
    """No healthy node says of another healthy one that it is dead. ``is_healthy`` is asked for a node and a time."""
    for death in deaths:
        if is_healthy(death.teller, death.at_ns) and is_healthy(death.member, death.at_ns):
            text = f"{death.teller} says that {death.member} is dead, which runs, and both are healthy"
            yield Violation("no false deaths", text, death.at_ns, (death.teller, death.member))


def wrong_views(views: Mapping[str, View]) -> Iterator[Violation]:
    """After the calm all who run take each other for alive, and all others for dead or gone. ``views`` are theirs."""
    for node, view in views.items():
        wrong = {
            other: condition.name.lower()
            for other, condition in view.items()
            if (condition is not Condition.ALIVE if other in views else condition < Condition.DEAD)
        }
        wrong |= {other: "nobody" for other in views if other not in view}
        if wrong:
            yield Violation(
                "right views",
                f"{node} holds after the calm: {wrong}; those who run are {sorted(views)}",
                nodes=(node,),
            )


def wrong_metadata(metadata: Mapping[str, Mapping[str, bytes]]) -> Iterator[Violation]:
    """After the calm all who run know what each of them says of itself. ``metadata`` is what they hold."""
    for node, held in metadata.items():
        wrong = sorted(other for other in metadata if other in held and held[other] != metadata[other][other])
        if wrong:
            text = f"{node} holds after the calm what {', '.join(wrong)} no longer say of themselves"
            yield Violation("right metadata", text, nodes=(node,))


MOST_DOUBT_NS = 3_000_000_000
"""That it takes to refute a suspicion, even where rumours are lost."""


class Settled:
    """Looks at those who are well again and again, while others never get well and say what they like of them.

    Nobody of them may hold another for dead, nor for anything but alive for longer than MOST_DOUBT_NS; and at one
    look at least all of them must hold all for alive.
    """

    def __init__(self) -> None:
        self._since_ns: dict[tuple[str, str], int] = {}
        self._found: dict[tuple[str, str], Violation] = {}
        self._last: list[str] | None = None
        """What was wrong when there was always something."""

    def look(self, now_ns: int, views: Mapping[str, View]) -> None:
        """``views`` are of those who are well, and run now."""
        wrong: list[str] = []
        for node, view in views.items():
            for other in views:
                condition, pair = view.get(other), (node, other)
                if condition is Condition.ALIVE:
                    self._since_ns.pop(pair, None)
                    continue
                word = "nobody" if condition is None else condition.name.lower()
                wrong.append(f"{node} holds {other} for {word}")
                since_ns = self._since_ns.setdefault(pair, now_ns)
                if condition is Condition.DEAD or now_ns - since_ns > MOST_DOUBT_NS:
                    text = f"{wrong[-1]}, which is well, for {(now_ns - since_ns) / 1e9:g} s"
                    self._found.setdefault(pair, Violation("the core settles", text, now_ns, pair))
        if not wrong:
            self._last = []
        elif self._last != []:
            self._last = wrong

    def violations(self) -> Iterator[Violation]:
        """What was seen so far, and that all was never right."""
        yield from self._found.values()
        if self._last:
            yield Violation(
                "the core settles", f"not all was right at any time; at last {', '.join(self._last)}"
            )
