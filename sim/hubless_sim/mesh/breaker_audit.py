"""What must hold of breakers, seen from outside: whom nodes cut off, and whom they take back.

A pool keeps its share: when a breaker opens, at most so much of its pool is out, and never all. Nobody healthy is cut
off: no breaker opens on a peer as long as no fault has concerned it or the node, and no task is made to break anything;
that a node has no room, or that callers give up, is no failure. And who waits for a probe gets one, if there are calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hubless.guard import BreakerConfig, Breakers, BreakerView, Link, Scope, State
from hubless_sim.faults import Fault
from hubless_sim.faults.concern import concerned_from_ns
from hubless_sim.tapes.operations import Call
from hubless_sim.verdict import Violation

_MOST_VIOLATIONS = 20
_HARMLESS = {"answer", "raise", "garble"}
_ENOUGH_CALLS = 60
"""So many went to others of a pool of three: one of them would have been the probe."""


class BreakerAudit:
    """Looks at the breakers of all nodes in the run of a tape."""

    def __init__(self, faults: Sequence[Fault], calls: Sequence[Call], names: Sequence[str]) -> None:
        self.violations: list[Violation] = []
        is_harmless = all(_HARMLESS.issuperset(call.script.does) for call in calls)
        self._concerned_ns = {name: concerned_from_ns(faults, name) if is_harmless else 0.0 for name in names}
        self._states: dict[tuple[str, int], dict[Scope, State]] = {}

    def look(self, now_ns: int, node: str, boot: int, breakers: Breakers) -> None:
        """A node, in its life ``boot``, has told something: its breakers may have moved."""
        before = self._states.get((node, boot), {})
        views = breakers.snapshot(now_ns)
        self._states[node, boot] = {view.scope: view.state for view in views}
        for view in views:
            if view.state is State.OPEN and before.get(view.scope, State.CLOSED) is State.CLOSED:
                self._opened(now_ns, node, breakers, view)

    def _opened(self, now_ns: int, node: str, breakers: Breakers, view: BreakerView) -> None:
        peer = view.scope.peer
        agent = "" if isinstance(view.scope, Link) else view.scope.agent
        for pool in breakers.pools(now_ns):
            share = BreakerConfig().max_open_share * pool.peers
            if pool.agent == agent and peer in pool.out and len(pool.out) > share:
                text = (
                    f"{node} has cut off {list(pool.out)}, of {pool.peers} in the pool of {agent or 'links'}"
                )
                self._wrong("pools keep their share", text, now_ns, node)
        if all(now_ns < self._concerned_ns.get(name, 0.0) for name in (node, peer)):
            text = f"{node} has cut off {peer}, which is healthy: {view.reason}"
            self._wrong("nobody healthy is cut off", text, now_ns, node)

    def _wrong(self, checker: str, text: str, now_ns: int, node: str) -> None:
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(Violation(checker, text, now_ns, (node,)))


def unprobed(node: str, breakers: Breakers, now_ns: int, starts: Iterable[int]) -> Iterator[Violation]:
    """Breakers of the only owner of tasks that wait for a probe although there are calls; ``starts`` are when attempts
    began, in ns."""
    began = list(starts)
    for view in breakers.snapshot(now_ns):
        if view.state is State.HALF_OPEN and not isinstance(view.scope, Link):
            since = sum(at_ns > view.since_ns for at_ns in began)
            if since >= _ENOUGH_CALLS:
                text = f"{node} has not tried {view.scope.peer} again in {since} calls of {view.scope.agent}"
                yield Violation("probes are made", text, now_ns, (node,))
