"""One-way links: paths on which direct probes fail and indirect ones succeed, as published by their reporters."""

from __future__ import annotations

from hubless_gossip.codec import pack_message
from hubless_gossip.counters import Counters
from hubless_gossip.damping import EventQueue
from hubless_gossip.events import LinkDegraded
from hubless_gossip.member import Identity
from hubless_gossip.messages import LinkReport
from hubless_gossip.rumours import Rumours

LINK_REPORTS_MAX = 1024


class Paths:
    """Counts this node's probes that only relays could answer, and keeps everybody's link reports.

    A path that `after` probes in a row found indirect is degraded; the first direct ack restores it.
    """

    __slots__ = ("_after", "_counters", "_identity", "_misses", "_queue", "_reports", "_rumours", "_version")

    def __init__(
        self, identity: Identity, *, after: int, rumours: Rumours, queue: EventQueue, counters: Counters
    ) -> None:
        self._identity = identity
        self._after = after
        self._rumours = rumours
        self._queue = queue
        self._counters = counters
        self._misses: dict[str, int] = {}
        self._reports: dict[tuple[str, str], tuple[int, int, bool]] = {}
        self._version = 0

    def direct(self, target: str) -> None:
        """A direct probe was answered."""
        if self._misses and self._misses.pop(target, 0) >= self._after:
            self._publish(target, degraded=False)

    def relayed(self, target: str) -> bool:
        """Only relays reached the target. True if it should be probed again soon to make sure."""
        misses = self._misses.get(target, 0) + 1
        self._misses[target] = min(misses, self._after)
        if misses == self._after:
            self._publish(target, degraded=True)
        return misses < self._after

    def hear(self, report: LinkReport) -> None:
        """A rumour about somebody's path; passed on if it is newer than what is known."""
        if report.reporter != self._identity.node:
            self._adopt(report)

    def degraded(self) -> tuple[tuple[str, str], ...]:
        """All (reporter, target) paths known as degraded, sorted."""
        return tuple(sorted(pair for pair, (_, _, degraded) in self._reports.items() if degraded))

    def forget(self, node: str) -> None:
        """A node died or left: what it reported and what was reported of it is over."""
        self._misses.pop(node, None)
        if self._reports:
            for pair in [pair for pair in self._reports if node in pair]:
                del self._reports[pair]
                self._rumours.remove(("link", *pair))

    def _publish(self, target: str, *, degraded: bool) -> None:
        self._version += 1
        self._adopt(LinkReport(self._identity.node, self._identity.boot, self._version, target, degraded))

    def _adopt(self, report: LinkReport) -> None:
        pair = (report.reporter, report.target)
        known = self._reports.get(pair)
        if known is not None and (report.boot, report.version) <= known[:2]:
            return
        if known is None and len(self._reports) >= LINK_REPORTS_MAX:
            self._counters.link_reports_refused += 1
            return
        self._reports[pair] = (report.boot, report.version, report.degraded)
        self._rumours.add(("link", *pair), pack_message(report))
        if report.degraded or (known is not None and known[2]):
            self._queue.add(LinkDegraded(report.reporter, report.target, report.degraded))
