"""One-way links: paths on which direct probes fail and indirect ones succeed, as published by their reporters."""

from __future__ import annotations

from hubless_gossip.codec import pack_message
from hubless_gossip.counters import Counters
from hubless_gossip.damping import EventQueue
from hubless_gossip.events import LinkDegraded
from hubless_gossip.marks import sometimes
from hubless_gossip.member import Identity
from hubless_gossip.messages import LinkReport
from hubless_gossip.rumours import Rumours

LINK_REPORTS_MAX = 1024
RENEWALS_MISSED_MAX = 3


class _Report:
    """The latest word of a reporter on one of its paths."""

    __slots__ = ("degraded", "heard_ns", "version")

    def __init__(self, report: LinkReport, now_ns: int) -> None:
        self.version = (report.boot, report.version)
        self.degraded = report.degraded
        self.heard_ns = now_ns


class Paths:
    """Counts this node's probes that only relays could answer, and keeps everybody's link reports.

    A path that `after` probes in a row found indirect is degraded; the first direct ack restores it. Reports
    are soft state: the reporter renews a degraded one every `renew_ns`, and one that was not renewed three
    times over is taken back by whoever missed the restoration.
    """

    __slots__ = (
        "_after",
        "_counters",
        "_due_ns",
        "_identity",
        "_misses",
        "_queue",
        "_renew_ns",
        "_reports",
        "_rumours",
        "_version",
    )

    def __init__(
        self,
        identity: Identity,
        *,
        after: int,
        renew_ns: int,
        rumours: Rumours,
        queue: EventQueue,
        counters: Counters,
    ) -> None:
        self._identity = identity
        self._after = after
        self._renew_ns = renew_ns
        self._rumours = rumours
        self._queue = queue
        self._counters = counters
        self._misses: dict[str, int] = {}
        self._reports: dict[tuple[str, str], _Report] = {}
        self._due_ns: int | None = None
        self._version = 0

    def direct(self, now_ns: int, target: str) -> None:
        """A direct probe was answered."""
        if self._misses and self._misses.pop(target, 0) >= self._after:
            sometimes("a degraded link was well again")
            self._publish(now_ns, target, degraded=False)

    def relayed(self, now_ns: int, target: str) -> bool:
        """Only relays reached the target. True if it should be probed again soon to make sure."""
        misses = self._misses.get(target, 0) + 1
        self._misses[target] = min(misses, self._after)
        if misses == self._after:
            sometimes("found a link degraded: only relays got through")
            self._publish(now_ns, target, degraded=True)
        return misses < self._after

    def hear(self, now_ns: int, report: LinkReport) -> None:
        """A rumour about somebody's path; passed on if it is newer than what is known."""
        if report.reporter != self._identity.node:
            self._adopt(now_ns, report)

    def degraded(self) -> tuple[tuple[str, str], ...]:
        """All (reporter, target) paths known as degraded, sorted."""
        return tuple(sorted(pair for pair, report in self._reports.items() if report.degraded))

    def forget(self, node: str) -> None:
        """A node died or left: what it reported and what was reported of it is over."""
        self._misses.pop(node, None)
        for pair in [pair for pair in self._reports if node in pair]:
            del self._reports[pair]
            self._rumours.remove(("link", *pair))

    def next_ns(self) -> int | None:
        return self._due_ns

    def run(self, now_ns: int) -> None:
        """Renew this node's reports of degraded paths, take back those that nobody renews."""
        if self._due_ns is None or now_ns < self._due_ns:
            return
        self._due_ns = now_ns + self._renew_ns if self._reports else None
        for (reporter, target), report in list(self._reports.items()):
            if report.degraded and reporter == self._identity.node:
                self._publish(now_ns, target, degraded=True)
            elif now_ns - report.heard_ns > RENEWALS_MISSED_MAX * self._renew_ns:
                del self._reports[reporter, target]
                if report.degraded:
                    sometimes("took back a report of a degraded link that nobody renewed")
                    self._queue.add(LinkDegraded(reporter, target, False))

    def _publish(self, now_ns: int, target: str, *, degraded: bool) -> None:
        self._version += 1
        own = self._identity
        self._adopt(now_ns, LinkReport(own.node, own.boot, self._version, target, degraded))

    def _adopt(self, now_ns: int, report: LinkReport) -> None:
        pair = (report.reporter, report.target)
        known = self._reports.get(pair)
        if known is not None and (report.boot, report.version) <= known.version:
            return
        if known is None and len(self._reports) >= LINK_REPORTS_MAX:
            self._counters.link_reports_refused += 1
            return
        self._reports[pair] = _Report(report, now_ns)
        self._rumours.add(("link", *pair), pack_message(report))
        if self._due_ns is None:
            self._due_ns = now_ns + self._renew_ns
        if report.degraded != (known is not None and known.degraded):
            self._queue.add(LinkDegraded(report.reporter, report.target, report.degraded))
