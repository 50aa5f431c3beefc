"""What must hold of membership, seen from outside: by what nodes tell, and what they believe in the end.

No false deaths: nobody tells the death of a process that runs, as long as no fault has concerned either of the two. One
that is only busy, so that its links are answered still, is not concerned: it may be called busy, and never dead.
Numbers rise: what a node tells of a member's boot and incarnation never falls, over restarts of the member too. Right
views and metadata: after the calm everybody who runs believes those alive who run, and the others dead or gone, and
knows what each of those says of itself.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hubless_gossip import Condition, Member, MemberChanged, MembershipEvent, MetaUpdated
from hubless_sim.faults import Fault
from hubless_sim.faults.concern import concerned_from_ns, named_in
from hubless_sim.verdict import Violation

_MOST_VIOLATIONS = 20


class _Life(NamedTuple):
    """One process of a node."""

    node: str
    boot: int


class Audit:
    """Hears what nodes tell in the run of a tape."""

    def __init__(self, faults: Sequence[Fault], names: Sequence[str]) -> None:
        self.violations: list[Violation] = []
        self._concerned_ns = {name: concerned_from_ns(faults, name) for name in names}
        self._wiped = {name for fault in faults if getattr(fault, "wipe", False) for name in named_in(fault)}
        self._numbers: dict[tuple[_Life, str], tuple[int, int]] = {}

    def told(
        self, now_ns: int, teller: str, boot: int, event: MembershipEvent, lives: dict[str, int]
    ) -> None:
        """A node, in its life ``boot``, tells something of a member; ``lives`` are the boots of those that run now."""
        match event:
            case MemberChanged(member=member):
                self._look_for_a_false_death(now_ns, teller, member, lives)
                self._look_at_the_numbers(now_ns, _Life(teller, boot), member)
            case MetaUpdated(member=member):
                self._look_at_the_numbers(now_ns, _Life(teller, boot), member)
            case _:
                pass

    def _look_for_a_false_death(
        self, now_ns: int, teller: str, member: Member, lives: dict[str, int]
    ) -> None:
        if member.condition is not Condition.DEAD or lives.get(member.node) != member.boot:
            return
        if all(now_ns < self._concerned_ns[name] for name in (teller, member.node)):
            text = f"{teller} says that {member.node} is dead, which runs, and no fault has concerned either"
            self._wrong("no false deaths", text, now_ns, (teller, member.node))

    def _look_at_the_numbers(self, now_ns: int, teller: _Life, member: Member) -> None:
        if member.node in self._wiped:
            return
        numbers = (member.boot, member.incarnation)
        before = self._numbers.get((teller, member.node), (0, 0))
        if numbers < before or member.incarnation < before[1]:
            text = f"{teller.node} tells of {member.node} in (boot, incarnation) {numbers} after {before}"
            self._wrong("numbers rise", text, now_ns, (teller.node, member.node))
        self._numbers[teller, member.node] = max(before, numbers)

    def _wrong(self, checker: str, text: str, now_ns: int, nodes: tuple[str, ...]) -> None:
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(Violation(checker, text, now_ns, nodes))


def wrong_views(views: dict[str, dict[str, Condition]]) -> Iterator[Violation]:
    """``views`` are what those who run believe, of everybody they know, themselves included."""
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


def wrong_metadata(metadata: dict[str, dict[str, bytes]]) -> Iterator[Violation]:
    """``metadata`` is what those who run hold that everybody says of himself, themselves included."""
    for node, held in metadata.items():
        wrong = sorted(other for other in metadata if other in held and held[other] != metadata[other][other])
        if wrong:
            text = f"{node} holds after the calm what {', '.join(wrong)} no longer say of themselves"
            yield Violation("right metadata", text, nodes=(node,))
