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
