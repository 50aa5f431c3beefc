"""The machines of a tape as real processes: what faults do to a simulated world, they do to these.

It offers of ``World`` what those faults use that ``mapping`` lets through: time, starts and ends of processes, holding
them up, and conditions of the network.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from hubless.demo.processes import LocalMesh, LocalNode
from hubless_sim.real.cells import Ground
from hubless_sim.real.switch import Switch
from hubless_sim.world.calendar import Calendar
from hubless_sim.world.network import Layer, Network

_MS = 1_000_000
_AWAKE_S = 0.004
_LONGEST_ASLEEP_S = 0.4
_TICK_S = 0.004


@dataclass(eq=False)
class RealNode(LocalNode):
    """One machine of the tape: over restarts it is the same node, after a wipe another one with the same name."""

    index: int = 0
    seeds: tuple[str, ...] = ()
    boot: int = 0
    formats: int = 0
    plant: str = ""
    holds: int = 0
    """How many faults keep it from running."""
    factors: list[int] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        """Whether a process runs, held up or not."""
        return self.process is not None and self.process.poll() is None

    @property
    def journal(self) -> Path:
        """The data directory of the node that is there now."""
        return self.data / str(self.formats)

    def command(self, join: Sequence[str]) -> list[str]:
        """The command line of its process, with a bug planted if there is to be one."""
        command = super().command(join)
        command[command.index("--data") + 1] = str(self.journal)
        if self.plant:
            command[command.index("hubless.cli")] = "hubless_sim.real.planted"
            command.insert(command.index("hubless_sim.real.planted") + 1, self.plant)
        return command


class Stage:
    """Nodes and clients of a tape, by their numbers.

    ``switch`` and ``network`` are None on plain loopback; ``say`` is told what is done. Clients are no matter of faults
    of processes.
    """

    def __init__(
        self,
        nodes: Sequence[RealNode],
        *,
        clients: int,
        mesh: LocalMesh,
        ground: Ground,
        network: Network | None,
        switch: Switch | None,
        say: Callable[[str], None],
    ) -> None:
        self._nodes = nodes
        self._count = len(nodes) + clients
        self._mesh = mesh
        self._ground = ground
        self._network = network
        self._switch = switch
        self._say = say
        self._calendar = Calendar()
        self.epoch_ns = time.monotonic_ns()
        self.boots: dict[int, tuple[str, int]] = {}
        """By process id: which node it is, or was, and how many there had been of it."""

    def __len__(self) -> int:
        return self._count

    # Time

    @property
    def now_ns(self) -> int:
        """The time of the tape."""
        return time.monotonic_ns() - self.epoch_ns

    def at(self, at_ns: int, act: Callable[[], None]) -> None:
        """Call ``act`` at this time (now, if that has passed)."""
        self._calendar.push(max(at_ns, self._calendar.now_ns), lambda _a, _b, _c: act(), None, None, None)

    async def run(self) -> None:
        """Does what is due until cancelled. ``epoch_ns`` is set by then."""
        while True:
            self._calendar.run_until(max(self.now_ns, self._calendar.now_ns))
            await trio.sleep(_TICK_S)

    # Processes

    def start(self, index: int) -> None:
        """Start a process on the node; nothing happens if one runs."""
        node = self._nodes[index]
        if node.is_running:
            return
        if self._switch is not None:
            self._switch.renew(index)
        node.boot += 1
        node.holds = 0
        founds = index == 0 and node.boot == 1
        with self._ground.inside(index):
            self._mesh.start(node, () if founds else node.seeds)
        if node.process is not None:
            self.boots[node.process.pid] = (node.name, node.boot)
        self._say(f"{node.name} starts")

    def crash(self, index: int, *, silent: bool = False) -> None:
        """SIGKILL. ``silent``: the machine goes with it, no reset reaches anybody."""
        node = self._nodes[index]
        if silent and self._switch is not None:
            self._switch.go_dark(index)
        if node.is_running:
            node.kill()
            if node.process is not None:
                node.process.wait()
            self._say(f"{node.name} is killed")

    def wipe(self, index: int) -> None:
        """Empty the disk of a node that is down."""
        node = self._nodes[index]
        shutil.rmtree(node.journal, ignore_errors=True)
        node.formats += 1

    def block(self, index: int, *, timers_run: bool = False, silent: bool = False) -> Callable[[], None]:
        """SIGSTOP for the node with its workers; call what is returned for SIGCONT."""
        if timers_run or not silent:
            raise ValueError("a real process is held up as a whole; see mapping.refusals")
        return self._hold(index, is_told=True)

    def slow(self, index: int, factor: int) -> Callable[[], None]:
        """Let the node run for one part in ``factor`` of the time; call what is returned to end it."""
        node = self._nodes[index]
        node.factors.append(factor)
        self._say(f"{node.name} is {max(node.factors)} times slower")
        if len(node.factors) == 1:
            self._mesh.nursery.start_soon(self._take_turns, node)
        return lambda: node.factors.remove(factor)

    def leave(self, index: int) -> None:
        """SIGTERM: the node is asked to leave in good order."""
        node = self._nodes[index]
        if node.is_running and node.process is not None:
            node.process.send_signal(signal.SIGTERM)
            self._say(f"{node.name} is asked to leave")

    # Conditions

    def impose(self, layer: Layer) -> Callable[[], None]:
        """Put network conditions in force; call what is returned to lift them."""
        network = self._network
        if network is None:
            raise ValueError("there is no network to impose conditions on; see mapping.needs_cells")
        network.add(layer)
        self._say(f"the network changes: {_text_of(layer)}")

        def lift() -> None:
            network.remove(layer)
            self._say(f"the network is rid of: {_text_of(layer)}")

        return lift

    # Inside

    def _hold(self, index: int, *, is_told: bool = False) -> Callable[[], None]:
        node = self._nodes[index]
        process = node.process
        if not node.is_running or process is None:
            return lambda: None
        node.holds += 1
        _signal_family(process.pid, signal.SIGSTOP)
        if is_told:
            self._say(f"{node.name} is stopped")

        def release() -> None:
            if node.process is not process or not node.is_running:
                return
            node.holds -= 1
            if node.holds == 0:
                _signal_family(process.pid, signal.SIGCONT)
                if is_told:
                    self._say(f"{node.name} goes on")

        return release

    async def _take_turns(self, node: RealNode) -> None:
        while node.factors:
            release = self._hold(node.index)
            await trio.sleep(min(_LONGEST_ASLEEP_S, _AWAKE_S * (max(node.factors) - 1)))
            release()
            await trio.sleep(_AWAKE_S)
        self._say(f"{node.name} is as fast as before")


def _signal_family(process: int, number: int) -> None:
    """To a process and its workers, which have sessions of their own."""
    for member in (process, *_children(process)):
        with suppress(ProcessLookupError):
            os.kill(member, number)


def _children(process: int) -> list[int]:
    with suppress(OSError):
        found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(child) for child in found]
    return []


def _text_of(layer: Layer) -> str:
    found = [f"{name} {getattr(layer, name)}" for name in ("loss", "duplicate", "corrupt", "bytes_per_s")]
    found = [text for text in found if not text.endswith((" 0", " 0.0"))]
    if layer.base_ns or layer.jitter_ns:
        found.append(f"latency {layer.base_ns / _MS:g} ms + {layer.jitter_ns / _MS:g} ms")
    if layer.cut:
        found.append("cut")
    ends = (_names(layer.sources), _names(layer.targets))
    return f"{', '.join(found)} from {ends[0]} to {ends[1]}"


def _names(nodes: frozenset[int] | None) -> str:
    return "all" if nodes is None else ",".join(f"n{node}" for node in sorted(nodes))
