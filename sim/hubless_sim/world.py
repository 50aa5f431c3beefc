"""The world: hosts on one heap of events under a virtual clock.

Entries of the heap are ordered by (time in ns, sequence number), so that equal times keep the order
in which they were asked for and a run is a pure function of its inputs.  A host has one live alarm
entry: an earlier deadline replaces it, a later one is looked up when the alarm rings, and nobody
scans all hosts.

A crash drops the host object: nothing of it runs again.  A blocked process keeps its messages in a
bounded inbox and handles them, in order, when it wakes.
"""

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any

from hubless_sim.chance import stream
from hubless_sim.disk import Disk, DiskProfile
from hubless_sim.hosts import (
    Birth,
    Command,
    Delivered,
    Due,
    HostEffect,
    HostEvent,
    HostMaker,
    Keep,
    Note,
    Send,
    Watch,
    Write,
)
from hubless_sim.links import LinkProfile, Links
from hubless_sim.network import Layer, Network
from hubless_sim.nodes import NEVER_NS, Node, Traffic
from hubless_sim.trace import Trace

INBOX_LIMIT = 4096
OUTBOX_LIMIT = 4096
_STUCK_LIMIT = 10_000
_PROCESS_STREAM = 3

Act = Callable[[Any, Any, Any], None]
Observer = Callable[[int, int, Any], None]
Entry = tuple[int, int, Act, Any, Any, Any]

_DUE = Due()


class StuckClockError(RuntimeError):
    """A host keeps asking for a deadline that has passed: time cannot go on.  A bug of the host."""


def _ignore(_now_ns: int, _node: int, _value: Any) -> None:
    return


class World:
    """Runs the processes of ``nodes`` nodes; see the module's text for the rules.

    ``make`` makes a process at each start.  ``observe(now_ns, node, value)`` sees every Note.
    ``links=None`` leaves monitored links out: Watch effects are traced and nothing comes of them.
    """

    def __init__(
        self,
        *,
        nodes: int,
        seed: int,
        make: HostMaker,
        base: Layer | None = None,
        links: LinkProfile | None = None,
        disk: DiskProfile | None = None,
        observe: Observer | None = None,
    ) -> None:
        if nodes < 1:
            raise ValueError(f"nodes: {nodes} is too few; a world has at least one node")
        self.now_ns = 0
        self.events = 0
        self.network = Network(nodes=nodes, seed=seed, base=base)
        self._seed = seed
        self._make = make
        self._observe = observe or _ignore
        self._heap: list[Entry] = []
        self._sequence = 0
        self._trace = Trace()
        self._nodes = [Node(index) for index in range(nodes)]
        self._ring_ns = 0
        self._rings = 0
        for node in self._nodes:
            node.disk = Disk(
                seed=seed,
                node=node.index,
                profile=disk or DiskProfile(),
                schedule=self._after,
                deliver=partial(self._offer, node),
            )
        self._links: Links | None = None
        if links is not None:
            self._links = Links(
                profile=links,
                seed=seed,
                network=self.network,
                nodes=self._nodes,
                schedule=self._after,
                deliver=self._offer,
            )

    def __len__(self) -> int:
        return len(self._nodes)

    # Time

    def at(self, at_ns: int, act: Callable[[], None]) -> None:
        """Call ``act`` at this virtual time (now, if that has passed)."""
        self._push(max(at_ns, self.now_ns), lambda _a, _b, _c: act(), None, None, None)

    def run_until(self, end_ns: int) -> None:
        """Run everything up to and including ``end_ns``; the clock then stands there."""
        heap = self._heap
        count = 0
        while heap and heap[0][0] <= end_ns:
            self.now_ns, _, act, a, b, c = heappop(heap)
            act(a, b, c)
            count += 1
        self.events += count
        self.now_ns = max(self.now_ns, end_ns)

    def digest(self) -> str:
        """SHA-256 over every event delivered and every effect so far."""
        return self._trace.digest()

    # Processes

    def start(self, index: int) -> None:
        """Start a process on the node, from what the last one kept.  Nothing happens if one runs."""
        node = self._nodes[index]
        if node.host is not None:
            return
        node.boot += 1
        node.powered_off = False
        self._trace.born(self.now_ns, index, node.boot)
        node.host = self._make(
            Birth(
                node=index,
                name=node.name,
                boot=node.boot,
                now_ns=self.now_ns,
                kept=node.kept,
                seed=stream(self._seed, _PROCESS_STREAM, index, node.boot),
                recovered=node.disk.recovered(),
                formats=node.disk.formats,
            )
        )
        self._set_alarm(node)
        if self._links is not None:
            self._links.process_started(node)

    def crash(self, index: int, *, silent: bool = False) -> None:
        """End the process at once.  ``silent``: the machine goes with it, no reset reaches anybody."""
        node = self._nodes[index]
        node.powered_off = node.powered_off or silent
        if node.host is None:
            return
        self._trace.gone(self.now_ns, index, node.boot)
        node.host = None
        node.clear()
        node.disk.process_gone(node.boot)
        if self._links is not None:
            self._links.process_gone(node)

    def wipe(self, index: int) -> None:
        """Empty the disk of a node that is down: its next process starts from nothing."""
        if self._nodes[index].host is not None:
            raise ValueError(f"node {index} is running; crash it before its disk is wiped")
        self._nodes[index].kept = b""
        self._nodes[index].disk.wipe()

    def block(self, index: int, *, timers_run: bool = False, silent: bool = False) -> Callable[[], None]:
        """Keep the process from running; call what is returned to let it go on.

        ``timers_run``: only sends and receipts are held back, deadlines are still handled.
        ``silent``: the I/O thread does not answer heartbeats either.
        """
        node = self._nodes[index]
        boot = node.boot
        if node.host is None:
            return lambda: None
        node.held += timers_run
        node.blocked += not timers_run
        if silent:
            node.silent += 1
            self._node_changed(node)

        def release() -> None:
            if node.host is None or node.boot != boot:
                return
            node.held -= timers_run
            node.blocked -= not timers_run
            if silent:
                node.silent -= 1
                self._node_changed(node)
            self._wake(node)

        return release

    def command(self, index: int, order: Any) -> None:
        """Hand an order to the process of the node, if one runs (after it wakes, if it is blocked)."""
        self._offer(self._nodes[index], Command(order))

    def host(self, index: int) -> Any:
        """The process of the node, or None while it is down."""
        return self._nodes[index].host

    def boot(self, index: int) -> int:
        """How many processes have been started on the node."""
        return self._nodes[index].boot

    def disk(self, index: int) -> Disk:
        """The disk of the node: what it was asked, and what can be done to it."""
        return self._nodes[index].disk

    def traffic(self, index: int) -> Traffic:
        """The counters of the node (live: copy what must not change)."""
        return self._nodes[index].traffic

    # Conditions

    def impose(self, layer: Layer) -> Callable[[], None]:
        """Put network conditions in force; call what is returned to lift them."""
        self.network.add(layer)
        self._network_changed()

        def lift() -> None:
            self.network.remove(layer)
            self._network_changed()

        return lift

    def _network_changed(self) -> None:
        if self._links is not None:
            self._links.network_changed()

    def _node_changed(self, node: Node) -> None:
        if self._links is not None:
            self._links.node_changed(node)

    # Events

    def _push(self, at_ns: int, act: Act, a: Any, b: Any, c: Any) -> None:
        self._sequence += 1
        heappush(self._heap, (at_ns, self._sequence, act, a, b, c))

    def _after(self, delay_ns: int, act: Act, a: Any, b: Any) -> None:
        self._push(self.now_ns + delay_ns, act, a, b, None)

    def _offer(self, node: Node, event: HostEvent) -> None:
        """Hand an event over, or queue it while the process is blocked (these are never refused)."""
        if node.host is None:
            return
        if node.blocked or node.held:
            node.inbox.append(event)
        else:
            self._hand(node, event)

    def _arrive(self, node: Node, packet: bytes, source: int) -> None:
        traffic = node.traffic
        if node.host is None:
            traffic.unanswered += 1
            return
        if node.blocked or node.held:
            if len(node.inbox) >= INBOX_LIMIT:
                traffic.inbox_refused += 1
                return
            node.inbox.append(Delivered(packet, source))
            return
        traffic.messages_in += 1
        traffic.bytes_in += len(packet)
        self._hand(node, Delivered(packet, source))

    def _hand(self, node: Node, event: HostEvent) -> None:
        host = node.host
        if host is None:
            return
        now_ns = self.now_ns
        self._trace.event(now_ns, node.index, event)
        effects = host.handle(now_ns, event)
        for effect in effects:
            self._carry_out(node, effect)
        due_ns = host.next_deadline_ns()
        if due_ns is not None and due_ns < node.alarm_ns:
            self._alarm(node, due_ns)

    def _carry_out(self, node: Node, effect: HostEffect) -> None:
        self._trace.effect(self.now_ns, node.index, effect)
        if type(effect) is Send:
            if node.held:
                if len(node.outbox) >= OUTBOX_LIMIT:
                    node.traffic.outbox_refused += 1
                else:
                    node.outbox.append((effect.target, effect.packet))
            else:
                self._transmit(node, effect.target, effect.packet)
        elif type(effect) is Note:
            self._observe(self.now_ns, node.index, effect.value)
        elif type(effect) is Keep:
            node.kept = effect.state
        elif type(effect) is Write:
            node.disk.write(effect, self._trace.write(self.now_ns, node.index, effect))
        elif type(effect) is Watch:
            if self._links is not None:
                self._links.watch(node, effect.peers)
        else:
            raise TypeError(
                f"{node.name} returned {effect!r}; a host returns Send, Watch, Keep, Write or Note"
            )

    def _transmit(self, node: Node, target: int, packet: bytes) -> None:
        traffic = node.traffic
        if not 0 <= target < len(self._nodes):
            traffic.unroutable += 1
            return
        traffic.messages_out += 1
        traffic.bytes_out += len(packet)
        delays = self.network.route(node.index, target)
        if not delays:
            traffic.lost += 1
            return
        receiver = self._nodes[target]
        for delay_ns in delays:
            self._push(self.now_ns + delay_ns, self._arrive, receiver, packet, node.index)
        traffic.duplicated += len(delays) - 1

    def _wake(self, node: Node) -> None:
        """Let a process go on: what it had to send, then what has come in, then its deadline."""
        if node.blocked:
            return
        if not node.held:
            while node.outbox:
                self._transmit(node, *node.outbox.popleft())
            while node.inbox:
                event = node.inbox.popleft()
                if type(event) is Delivered:
                    node.traffic.messages_in += 1
                    node.traffic.bytes_in += len(event.packet)
                self._hand(node, event)
        self._set_alarm(node)

    # Deadlines

    def _set_alarm(self, node: Node) -> None:
        due_ns = node.host.next_deadline_ns() if node.host is not None else None
        node.alarm_ns = NEVER_NS
        if due_ns is not None:
            self._alarm(node, due_ns)

    def _alarm(self, node: Node, due_ns: int) -> None:
        node.alarm_ns = due_ns
        node.alarm_token = token = self._sequence + 1
        self._push(max(due_ns, self.now_ns), self._ring, node, token, None)

    def _ring(self, node: Node, token: int, _: None) -> None:
        if node.alarm_token != token or node.host is None or node.blocked:
            return
        due_ns = node.host.next_deadline_ns()
        node.alarm_ns = NEVER_NS
        if due_ns is None:
            return
        if due_ns > self.now_ns:
            self._alarm(node, due_ns)
            return
        self._check_progress(node)
        self._hand(node, _DUE)

    def _check_progress(self, node: Node) -> None:
        if self.now_ns != self._ring_ns:
            self._ring_ns, self._rings = self.now_ns, 0
        self._rings += 1
        if self._rings > _STUCK_LIMIT + len(self._nodes):
            raise StuckClockError(
                f"{node.name} still asks for a deadline at or before {self.now_ns} ns after "
                f"{_STUCK_LIMIT} of them at that instant; handle(Due) must move the deadline on"
            )
