"""What must hold of membership, seen from outside: by what nodes tell, and what they believe in the end.

No false deaths: nobody tells the death of a process that runs, as long as no fault has concerned either of the two. One
that is only busy, so that its links are answered still, is not concerned: it may be called busy, and never dead. From
the time on when a core has settled, its nodes are healthy again.
Numbers rise: what a node tells of a member's boot and incarnation never falls, over restarts of the member too. Right
views and metadata: after the calm everybody who runs believes those alive who run, and the others dead or gone, and
knows what each of those says of itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hubless_gossip import Condition, Member, MemberChanged, MembershipEvent, MetaUpdated
from hubless_sim.checkers.membership import Death, false_deaths
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

    def __init__(
        self,
        faults: Sequence[Fault],
        names: Sequence[str],
        *,
        core: Sequence[str] = (),
        settled_ms: int | None = None,
    ) -> None:
        self.violations: list[Violation] = []
        self._concerned_ns = {name: concerned_from_ns(faults, name) for name in names}
        self._core = frozenset(core)
        self._settled_ns = float("inf") if settled_ms is None else settled_ms * 1_000_000
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
        for false in false_deaths([Death(now_ns, teller, member.node)], self._is_healthy):
            self._keep(false)

    def _is_healthy(self, node: str, at_ns: int) -> bool:
        return at_ns < self._concerned_ns[node] or (node in self._core and at_ns >= self._settled_ns)

    def _look_at_the_numbers(self, now_ns: int, teller: _Life, member: Member) -> None:
        if member.node in self._wiped:
            return
        numbers = (member.boot, member.incarnation)
        before = self._numbers.get((teller, member.node), (0, 0))
        if numbers < before or member.incarnation < before[1]:
            text = f"{teller.node} tells of {member.node} in (boot, incarnation) {numbers} after {before}"
            self._keep(Violation("numbers rise", text, now_ns, (teller.node, member.node)))
        self._numbers[teller, member.node] = max(before, numbers)

    def _keep(self, violation: Violation) -> None:
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(violation)
