"""Hands processes their events and carries out their effects.

A host has one live alarm entry: an earlier deadline replaces it, a later one is looked up when the alarm rings,
and nobody scans all hosts.  A blocked process keeps its messages in a bounded inbox and handles them, in order,
when it wakes; a slow one handles them one by one.
"""

from collections.abc import Callable, Sequence
from typing import Any

from hubless_sim.world.calendar import Calendar
from hubless_sim.world.hosts import Delivered, Due, HostEffect, HostEvent, Keep, Note, Send, Watch, Write
from hubless_sim.world.network import Network
from hubless_sim.world.nodes import NEVER_NS, Node
from hubless_sim.world.recorder import Drop, Recorder
from hubless_sim.world.trace import Trace, written

INBOX_LIMIT = 4096
OUTBOX_LIMIT = 4096
HANDLING_NS = 20_000
"""What handling one event takes; of slow processes only, healthy ones take no time for it."""
_STUCK_LIMIT = 10_000

Observer = Callable[[int, int, Any], None]

_DUE = Due()
_UNRECORDED = (0, 0)
"""What copies of a packet are called when nobody records them."""


class StuckClockError(RuntimeError):
    """A host keeps asking for a deadline that has passed: time cannot go on.  A bug of the host."""


class Processes:
    """What runs on the nodes of a world."""

    def __init__(
        self,
        *,
        nodes: list[Node],
        calendar: Calendar,
        network: Network,
        observe: Observer,
        watch: Callable[[Node, tuple[int, ...]], None],
        recorder: Recorder | None = None,
    ) -> None:
        self.trace: Trace | None = Trace()
        """None: nobody wants a digest."""
        self._nodes = nodes
        self._calendar = calendar
        self._network = network
        self._observe = observe
        self._watch = watch
        self._recorder = recorder
        self._ring_ns = 0
        self._rings = 0

    def offer(self, node: Node, event: HostEvent) -> None:
        """Hand an event over, or queue it while the process is busy (these are never refused)."""
        if node.host is None:
            return
        if node.blocked or node.held or node.slowness > 1:
            self._queue(node, event)
        else:
            self._hand(node, event)

    def wake(self, node: Node) -> None:
        """Let a process go on: what it had to send, then what has come in, then its deadline."""
        if node.blocked:
            return
        if not node.held:
            while node.outbox:
                self._transmit(node, *node.outbox.popleft())
            if node.slowness > 1:
                self._serve_next(node)
            else:
                while node.inbox:
                    self._take(node, node.inbox.popleft())
        self.set_alarm(node)

    def inject(self, node: Node, target: int, packet: bytes) -> None:
        """Have a packet of the node arrive now, unless nothing gets from there to the target.

        The chance of the link is not asked: what is sent after this fares as it would have.
        """
        receiver = self._nodes[target]
        if not self._network.reaches(node.index, target):
            self._drop(node, target, packet, "cut")
            return
        if not self._network.has_room(node.index, target, len(packet)):
            node.traffic.too_large += 1
            self._drop(node, target, packet, "too large")
            return
        node.traffic.messages_out += 1
        node.traffic.bytes_out += len(packet)
        now_ns, recorder = self._calendar.now_ns, self._recorder
        copies: Sequence[int] = _UNRECORDED
        if recorder is not None:
            copies = recorder.sent(now_ns, node.index, target, packet, arriving=packet, copies=1)
        self._arrive(receiver, Delivered(packet, node.index), copies[0])

    def set_alarm(self, node: Node) -> None:
        """Look up the process's deadline anew."""
        due_ns = node.host.next_deadline_ns() if node.host is not None else None
        node.alarm_ns = NEVER_NS
        if due_ns is not None:
            self._alarm(node, due_ns)

    # Messages

    def _arrive(self, node: Node, event: Delivered, copy: int) -> None:
        """A packet has come; ``copy`` is what the recorder calls it."""
        traffic, recorder = node.traffic, self._recorder
        is_busy = node.blocked or node.held or node.slowness > 1
        why: Drop | None = None
        if node.host is None:
            traffic.unanswered += 1
            why = "nobody there"
        elif is_busy and len(node.inbox) >= INBOX_LIMIT:
            traffic.inbox_refused += 1
            why = "inbox full"
        if recorder is not None:
            recorder.arrived(self._calendar.now_ns, copy, event, why)
        if why is not None:
            return
        if is_busy:
            self._queue(node, event)
            return
        traffic.messages_in += 1
        traffic.bytes_in += len(event.packet)
        self._hand(node, event)

    def _take(self, node: Node, event: HostEvent) -> None:
        """Handle an event that waited in the inbox."""
        if type(event) is Delivered:
            node.traffic.messages_in += 1
            node.traffic.bytes_in += len(event.packet)
        self._hand(node, event)

    def _hand(self, node: Node, event: HostEvent) -> None:
        host = node.host
        if host is None:
            return
        now_ns, trace = self._calendar.now_ns, self.trace
        if trace is not None:
            trace.event(now_ns, node.index, event)
        if self._recorder is not None:
            self._recorder.handles(now_ns, node.index, event)
        clock = node.clock
        effects = host.handle(now_ns if clock.is_true else clock.local_ns(now_ns), event)
        for effect in effects:
            if trace is not None:
                trace.effect(now_ns, node.index, effect)
            if type(effect) is Send and not node.held:
                self._transmit(node, effect.target, effect.packet)
            else:
                self._carry_out(node, effect)
        due_ns = host.next_deadline_ns()
        if due_ns is not None and due_ns < node.alarm_ns:
            self._alarm(node, due_ns)

    def _carry_out(self, node: Node, effect: HostEffect) -> None:
        """Anything but a packet that leaves at once."""
        now_ns = self._calendar.now_ns
        if type(effect) is Send:
            if len(node.outbox) >= OUTBOX_LIMIT:
                node.traffic.outbox_refused += 1
                self._drop(node, effect.target, effect.packet, "outbox full")
            else:
                node.outbox.append((effect.target, effect.packet))
        elif type(effect) is Note:
            if self._recorder is not None:
                self._recorder.noted(now_ns, node.index, effect.value)
            self._observe(now_ns, node.index, effect.value)
        elif type(effect) is Keep:
            node.kept = effect.state
        elif type(effect) is Write:
            if self._recorder is not None:
                self._recorder.wrote(now_ns, node.index, effect)
            raw = written(effect)
            if self.trace is not None:
                self.trace.write(now_ns, node.index, effect.mark, raw)
            node.disk.write(effect, len(raw))
        elif type(effect) is Watch:
            self._watch(node, effect.peers)
        else:
            raise TypeError(
                f"{node.name} returned {effect!r}; a host returns Send, Watch, Keep, Write or Note"
            )

    def _transmit(self, node: Node, target: int, packet: bytes) -> None:
        traffic = node.traffic
        if not 0 <= target < len(self._nodes):
            traffic.unroutable += 1
            self._drop(node, target, packet, "no such node")
            return
        for tamper in node.tampering:
            altered = tamper(target, packet)
            if (
                altered is None
            ):  # its place on the link stays taken, so that later packets fare as they would have
                self._network.route(node.index, target)
                return
            packet = altered
        traffic.messages_out += 1
        traffic.bytes_out += len(packet)
        calendar, network = self._calendar, self._network
        delays = network.route(node.index, target, len(packet), calendar.now_ns)
        if not delays:
            why = network.why_lost(node.index, target, len(packet))
            traffic.lost += 1
            traffic.too_large += why == "too large"
            self._drop(node, target, packet, why)
            return
        sent = packet
        if network.garbles:
            packet = network.garbled(node.index, target, packet)
            traffic.corrupted += packet != sent
        receiver, now_ns, recorder = self._nodes[target], calendar.now_ns, self._recorder
        copies: Sequence[int] = _UNRECORDED
        if recorder is not None:
            copies = recorder.sent(now_ns, node.index, target, sent, arriving=packet, copies=len(delays))
        for place, delay_ns in enumerate(delays):
            event = Delivered(packet, node.index)
            calendar.push(now_ns + delay_ns, self._arrive, receiver, event, copies[place])
        if len(delays) > 1:
            traffic.duplicated += len(delays) - 1

    def _drop(self, node: Node, target: int, packet: bytes, why: Drop) -> None:
        if self._recorder is not None:
            self._recorder.dropped(self._calendar.now_ns, node.index, target, packet, why)

    # Slow processes

    def _queue(self, node: Node, event: HostEvent) -> None:
        node.inbox.append(event)
        if not (node.blocked or node.held):
            self._serve_next(node)

    def _serve_next(self, node: Node) -> None:
        """Take the first event in hand, unless one is; it is handled when its time is up."""
        if node.inbox and not node.is_serving:
            node.is_serving = True
            self._calendar.after(HANDLING_NS * node.slowness, self._serve, node, node.boot)

    def _serve(self, node: Node, boot: int, _: None) -> None:
        if node.host is None or node.boot != boot:
            return
        node.is_serving = False
        if node.blocked or node.held or not node.inbox:
            return  # whatever blocks it lets it go on
        event = node.inbox.popleft()
        if type(event) is Due:
            self._ring_now(node)
        else:
            self._take(node, event)
        self._serve_next(node)

    # Deadlines

    def _alarm(self, node: Node, due_ns: int) -> None:
        """Ring when the machine's clock says this."""
        calendar, clock = self._calendar, node.clock
        node.alarm_ns = due_ns
        node.alarm_token = token = calendar.sequence + 1
        at_ns = due_ns if clock.is_true else clock.virtual_ns(due_ns)
        calendar.push(max(at_ns, calendar.now_ns), self._ring, node, token, None)

    def _ring(self, node: Node, token: int, _: None) -> None:
        if node.alarm_token != token or node.host is None or node.blocked:
            return
        if node.slowness > 1 and not node.held:
            if _DUE not in node.inbox:
                self._queue(node, _DUE)
            return
        self._ring_now(node)

    def _ring_now(self, node: Node) -> None:
        """Hand a Due over, unless the deadline has moved on meanwhile."""
        host = node.host
        if host is None:
            return
        due_ns = host.next_deadline_ns()
        node.alarm_ns = NEVER_NS
        if due_ns is None:
            return
        if due_ns > node.clock.local_ns(self._calendar.now_ns):
            self._alarm(node, due_ns)
            return
        self._check_progress(node)
        self._hand(node, _DUE)

    def _check_progress(self, node: Node) -> None:
        now_ns = self._calendar.now_ns
        if now_ns != self._ring_ns:
            self._ring_ns, self._rings = now_ns, 0
        self._rings += 1
        if self._rings > _STUCK_LIMIT + len(self._nodes):
            raise StuckClockError(
                f"{node.name} still asks for a deadline at or before {now_ns} ns after "
                f"{_STUCK_LIMIT} of them at that instant; handle(Due) must move the deadline on"
            )
