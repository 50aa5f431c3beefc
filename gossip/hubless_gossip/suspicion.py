"""Timers of suspicions, which shrink as independent accusers confirm (Lifeguard section IV-B).

Who confirms is decided in one place, `Suspicions.confirm`: accusers that rumours named here, and this node itself. A
timer may be short where rumours arrive, as a refutation would arrive there too; what a push-pull brings says nothing of
that. So an accuser known from push-pulls alone counts among the two that a death needs, and shortens nothing: who has
learnt everything that way decides by the longest timeout, less what its own failed probe takes off it.
"""

from __future__ import annotations

import heapq
import math

from hubless_gossip.claims import Rank, Standing
from hubless_gossip.config import GossipConfig


def suspicion_bounds_ns(config: GossipConfig, live: int) -> tuple[int, int]:
    """(min, max) of a suspicion's timeout among `live` members."""
    least = config.suspicion_mult * max(1.0, math.log10(max(1, live))) * config.probe_interval_ms * 1e6
    return int(least), int(least * config.suspicion_max_mult)


def suspicion_timeout_ns(least_ns: int, most_ns: int, wanted: int, confirmed: int) -> int:
    """max - (max - min) * log(c + 1) / log(K + 1), not below min. With K = 0 it is min."""
    if wanted < 1:
        return least_ns
    shrunk = most_ns - (most_ns - least_ns) * math.log(confirmed + 1) / math.log(wanted + 1)
    return max(least_ns, int(shrunk))


def _version(standing: Standing) -> tuple[int, int, int]:
    return standing.boot, standing.incarnation, standing.round


class Suspicion:
    """One running timer, bound to the standing that began it."""

    __slots__ = (
        "due_ns",
        "first",
        "heard",
        "least_ns",
        "most_ns",
        "own",
        "prolonged",
        "spent",
        "started_ns",
        "stayed",
        "version",
        "wanted",
    )

    def __init__(self, standing: Standing, now_ns: int, bounds: tuple[int, int], wanted: int) -> None:
        self.version = _version(standing)
        self.started_ns = now_ns
        self.least_ns, self.most_ns = bounds
        self.wanted = wanted
        self.first = standing.accusers[0] if standing.accusers else ""
        """The accuser that it began with, who confirms nothing."""
        self.heard: set[str] = set()
        """Further accusers, that rumours named here."""
        self.spent = 0
        """How many of them were heard before it was prolonged."""
        self.prolonged = 0
        self.own = False
        self.stayed = 0
        self.due_ns = 0

    @property
    def confirmed(self) -> int:
        """c of the formula."""
        return len(self.heard) - self.spent


class Suspicions:
    """All running suspicions, at most one a node."""

    __slots__ = ("_by_node", "_config", "_heap")

    def __init__(self, config: GossipConfig) -> None:
        self._config = config
        self._by_node: dict[str, Suspicion] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._by_node)

    def __contains__(self, node: str) -> bool:
        return node in self._by_node

    def begin(self, now_ns: int, node: str, standing: Standing, live: int) -> None:
        """A suspicion of `node` holds: starts its timer, unless it runs already."""
        running = self._by_node.get(node)
        if running is None or running.version != _version(standing):
            wanted = min(self._config.confirmations, max(0, live - 2))
            running = Suspicion(standing, now_ns, suspicion_bounds_ns(self._config, live), wanted)
            self._by_node[node] = running
            self._schedule(node, running)

    def confirm(self, now_ns: int, node: str, said: Standing) -> None:
        """What a rumour said of `node`, or this node says itself. Accusers of the very same suspicion that were not
        heard before shorten its timer, however well they are known from push-pulls; beyond K they change nothing.
        It never ends at once: a refutation may be the next that is read."""
        running = self._by_node.get(node)
        if running is None or said.rank != Rank.SUSPECT or running.version != _version(said):
            return
        before = running.confirmed
        for accuser in said.accusers:
            running.first = running.first or accuser
            if accuser != running.first and running.confirmed < running.wanted:
                running.heard.add(accuser)
        if running.confirmed > before:
            self._schedule(node, running, soonest_ns=now_ns + self._config.gossip_interval_ms * 1_000_000)

    def own(self, node: str) -> None:
        """This node's own probe failed as well."""
        if node in self._by_node:
            self._by_node[node].own = True

    def is_own(self, node: str) -> bool:
        return self._by_node[node].own

    def stay(self, now_ns: int, node: str, stay_ns: int) -> int:
        """Decide an expired suspicion this much later. Returns how often that happened."""
        running = self._by_node[node]
        running.stayed += 1
        running.due_ns = now_ns + stay_ns
        heapq.heappush(self._heap, (running.due_ns, node))
        return running.stayed

    def cancel(self, node: str) -> None:
        self._by_node.pop(node, None)

    def prolong(self, now_ns: int, node: str) -> int:
        """Let an expired suspicion run for another maximal timeout. Returns how often that happened."""
        running = self._by_node[node]
        running.prolonged += 1
        running.started_ns = now_ns
        running.spent = len(running.heard)
        self._schedule(node, running)
        return running.prolonged

    def prolonged(self, node: str) -> int:
        return self._by_node[node].prolonged

    def next_ns(self) -> int | None:
        heap = self._heap
        while heap:
            due, node = heap[0]
            running = self._by_node.get(node)
            if running is not None and running.due_ns == due:
                return due
            heapq.heappop(heap)
        return None

    def expired(self, now_ns: int) -> list[str]:
        """Nodes whose timer has run out; each is named once. The caller cancels or prolongs."""
        out: list[str] = []
        while (due := self.next_ns()) is not None and due <= now_ns:
            _, node = heapq.heappop(self._heap)
            out.append(node)
        return out

    def _schedule(self, node: str, running: Suspicion, *, soonest_ns: int = 0) -> None:
        timeout = suspicion_timeout_ns(running.least_ns, running.most_ns, running.wanted, running.confirmed)
        due = max(running.started_ns + timeout, soonest_ns)
        if due != running.due_ns:
            running.due_ns = due
            heapq.heappush(self._heap, (due, node))
