"""The world: processes on nodes, a network between them and disks below them, under a virtual clock.

A run is a pure function of its inputs: everything happens in the order of one ``calendar``, and all chance is
a hash of the seed and of what is concerned.

A crash drops the host object: nothing of it runs again.  What a later process of the node knows is what was kept
and what the journal on its disk holds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from hubless_sim.world.calendar import Calendar
from hubless_sim.world.chance import stream
from hubless_sim.world.clock import Clock
from hubless_sim.world.disk import Disk, DiskProfile
from hubless_sim.world.hosts import Birth, Command, HostMaker
from hubless_sim.world.links import LinkProfile, Links
from hubless_sim.world.network import Layer, Network
from hubless_sim.world.nodes import Node, Tampering, Traffic
from hubless_sim.world.processes import Observer, Processes
from hubless_sim.world.recorder import Condition, Recorder

_PROCESS_STREAM = 3


def _ignore(_now_ns: int, _node: int, _value: Any) -> None:
    return


class World:
    """Runs the processes of ``nodes`` nodes; see the module's text for the rules.

    ``make`` makes a process at each start.  ``observe(now_ns, node, value)`` sees every Note.
    ``recorder`` is told all that happens, see there.
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
        recorder: Recorder | None = None,
    ) -> None:
        if nodes < 1:
            raise ValueError(f"nodes: {nodes} is too few; a world has at least one node")
        self.network = Network(nodes=nodes, seed=seed, base=base)
        self._seed = seed
        self._make = make
        self._recorder = recorder
        self._calendar = Calendar()
        self._nodes = [Node(index) for index in range(nodes)]
        self._processes = Processes(
            nodes=self._nodes,
            calendar=self._calendar,
            network=self.network,
            observe=observe or _ignore,
            watch=self._watch,
            recorder=recorder,
        )
        for node in self._nodes:
            node.disk = Disk(
                seed=seed,
                node=node.index,
                profile=disk or DiskProfile(),
                schedule=self._calendar.after,
                deliver=partial(self._processes.offer, node),
            )
        self._links: Links | None = None
        if links is not None:
            self._links = Links(
                profile=links,
                seed=seed,
                network=self.network,
                nodes=self._nodes,
                schedule=self._calendar.after,
                deliver=self._processes.offer,
            )

    def __len__(self) -> int:
        return len(self._nodes)

    # Time

    @property
    def now_ns(self) -> int:
        """Virtual time."""
        return self._calendar.now_ns

    @property
    def events(self) -> int:
        """How many entries of the calendar have come up."""
        return self._calendar.events

    def at(self, at_ns: int, act: Callable[[], None]) -> None:
        """Call ``act`` at this virtual time (now, if that has passed)."""
        self._calendar.push(max(at_ns, self.now_ns), lambda _a, _b, _c: act(), None, None, None)

    def run_until(self, end_ns: int) -> None:
        """Run everything up to and including ``end_ns``; the clock then stands there."""
        self._calendar.run_until(end_ns)

    def digest(self) -> str:
        """SHA-256 over every event delivered and every effect so far; "" if it is forgone."""
        trace = self._processes.trace
        return "" if trace is None else trace.digest()

    def forgo_digest(self) -> None:
        """There will be no digest of what happens: that takes time, and not everybody compares runs."""
        self._processes.trace = None

    # Processes

    def start(self, index: int) -> None:
        """Start a process on the node, from what the last one kept.  Nothing happens if one runs."""
        node = self._nodes[index]
        if node.host is not None:
            return
        node.boot += 1
        node.powered_off = False
        if self._processes.trace is not None:
            self._processes.trace.born(self.now_ns, index, node.boot)
        if self._recorder is not None:
            self._recorder.born(self.now_ns, index, node.boot)
            self._tell_how(node, starting=True)
        wall_ns = node.clock.wall_ns(self.now_ns)
        node.host = self._make(
            Birth(
                node=index,
                name=node.name,
                boot=node.boot,
                now_ns=node.clock.local_ns(self.now_ns),
                wall_ns=wall_ns,
                kept=node.kept,
                seed=stream(self._seed, _PROCESS_STREAM, index, node.boot),
                recovered=node.disk.recovered(),
                formats=node.disk.formats,
                formatted_ns=node.disk.formatted_ns(wall_ns),
            )
        )
        self._processes.set_alarm(node)
        if self._links is not None:
            self._links.process_started(node)

    def crash(self, index: int, *, silent: bool = False) -> None:
        """End the process at once.  ``silent``: the machine goes with it, no reset reaches anybody."""
        node = self._nodes[index]
        node.powered_off = node.powered_off or silent
        if node.host is None:
            return
        if self._processes.trace is not None:
            self._processes.trace.gone(self.now_ns, index, node.boot)
        if self._recorder is not None:
            self._recorder.gone(self.now_ns, index, node.boot)
        node.host = None
        node.clear()
        self._tell_how(node)
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
        self._tell_how(node)
        if silent:
            node.silent += 1
            self._node_changed(node)

        def release() -> None:
            if node.host is None or node.boot != boot:
                return
            node.held -= timers_run
            node.blocked -= not timers_run
            self._tell_how(node)
            if silent:
                node.silent -= 1
                self._node_changed(node)
            self._processes.wake(node)

        return release

    def slow(self, index: int, factor: int) -> Callable[[], None]:
        """Make everything the node does take longer, the largest factor counts; call what is returned to end it."""
        node = self._nodes[index]
        node.factors.append(factor)
        self._slowness_changed(node)

        def end() -> None:
            node.factors.remove(factor)
            self._slowness_changed(node)
            if node.host is not None:
                self._processes.wake(node)

        return end

    def slowness(self, index: int) -> int:
        """How many times longer everything takes on the node."""
        return self._nodes[index].slowness

    def ail(self, index: int, ill: Any) -> Callable[[], None]:
        """Have something be wrong with what runs on the node; call what is returned to end it.

        Only the node's hosts know what it means, see ``ills``.
        """
        node = self._nodes[index]
        node.ills = (*node.ills, ill)

        def end() -> None:
            node.ills = tuple(each for each in node.ills if each is not ill)

        return end

    def ills(self, index: int) -> tuple[Any, ...]:
        """All that is wrong with what runs on the node, in the order in which it began."""
        return self._nodes[index].ills

    def tamper(self, index: int, tampering: Tampering) -> Callable[[], None]:
        """Have the packets of the node go through this before they leave; call what is returned to end it."""
        node = self._nodes[index]
        node.tampering = (*node.tampering, tampering)

        def end() -> None:
            node.tampering = tuple(each for each in node.tampering if each is not tampering)

        return end

    def inject(self, index: int, target: int, packet: bytes) -> None:
        """Have a packet of the node arrive at the target now, unless nothing gets there."""
        self._processes.inject(self._nodes[index], target, packet)

    def drift(self, index: int, ppm: int) -> None:
        """Let the node's clock run so many millionths faster than virtual time from now on."""
        node = self._nodes[index]
        node.clock.drift(self.now_ns, ppm)
        self._processes.set_alarm(node)

    def clock(self, index: int) -> Clock:
        """The clocks of the node; see ``drift`` for making one run otherwise."""
        return self._nodes[index].clock

    def command(self, index: int, order: Any) -> None:
        """Hand an order to the process of the node, if one runs (after it wakes, if it is blocked)."""
        self._processes.offer(self._nodes[index], Command(order))

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
        if self._recorder is not None:
            self._recorder.imposed(self.now_ns, layer)
        self._network_changed()

        def lift() -> None:
            self.network.remove(layer)
            if self._recorder is not None:
                self._recorder.lifted(self.now_ns, layer)
            self._network_changed()

        return lift

    def _watch(self, node: Node, peers: tuple[int, ...]) -> None:
        if self._links is not None:
            self._links.watch(node, peers)

    def _slowness_changed(self, node: Node) -> None:
        node.slowness = max(node.factors, default=1)
        node.disk.set_slowness(node.slowness)
        self._tell_how(node)

    def _tell_how(self, node: Node, *, starting: bool = False) -> None:
        if self._recorder is None:
            return
        condition: Condition = "running"
        if node.host is None and not starting:
            condition = "down"
        elif node.blocked or node.held:
            condition = "blocked" if node.blocked else "held"
        elif node.slowness > 1:
            condition = "slow"
        self._recorder.fares(self.now_ns, node.index, condition)

    def _network_changed(self) -> None:
        if self._links is not None:
            self._links.network_changed()

    def _node_changed(self, node: Node) -> None:
        if self._links is not None:
            self._links.node_changed(node)
