"""Carries packets between cells under the conditions of a tape: loses, delays, doubles, garbles and throttles them.

What happens to a packet is what the simulator's network says, on packets of IP instead of messages: TCP sends again
what was lost or garbled, and waits longer each time. Packets of one link stay in order. A delay of less than a
millisecond is not made: the machine has one of its own.
"""

import os
import select
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

import trio

from hubless_sim.real.cells import Cell, index_of_address
from hubless_sim.world.network import Network

_AT_ONCE_NS = 1_000_000
_PACKET_BYTES = 65_536
_MOST_A_TURN = 64
_MOST_WAITING = 10_000


class Switch:
    """Connects the cells. The last one is the onlooker's, whom no condition concerns.

    ``now`` is the time of the run in ns.
    """

    def __init__(self, cells: Sequence[Cell], network: Network, now: Callable[[], int]) -> None:
        self._cells = cells
        self._network = network
        self._now = now
        self._onlooker = len(cells) - 1
        self._ready = select.epoll()
        self._dark: set[int] = set()
        self._waiting: list[tuple[int, int, int, bytes]] = []
        self._free_ns: dict[tuple[int, int], int] = {}
        self._sequence = 0
        self.packets = 0
        self.bytes = 0
        self.lost = 0
        for index in range(len(cells)):
            self._watch(index)

    def go_dark(self, index: int) -> None:
        """The machine loses power: it sends nothing, not even a reset, and hears nothing."""
        self._dark.add(index)

    def renew(self, index: int) -> None:
        """If the machine had lost power, it is there again and remembers no connection."""
        if index in self._dark:
            self._dark.discard(index)
            self._ready.unregister(self._cells[index].descriptor)
            self._cells[index].renew()
            self._watch(index)

    async def run(self) -> None:
        """Carries packets until cancelled."""
        while True:
            wait_s = float("inf")
            if self._waiting:
                wait_s = max(0.0, (self._waiting[0][0] - self._now()) / 1e9)
            with trio.move_on_after(wait_s):
                await trio.lowlevel.wait_readable(self._ready.fileno())
            for event, _ in self._ready.poll(0):
                self._read(event)
            now_ns = self._now()
            while self._waiting and self._waiting[0][0] <= now_ns:
                _, _, target, packet = heappop(self._waiting)
                self._write(target, packet)
            await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self._ready.close()

    def _watch(self, index: int) -> None:
        self._ready.register(self._cells[index].descriptor, select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        source = next(index for index, cell in enumerate(self._cells) if cell.descriptor == descriptor)
        for _ in range(_MOST_A_TURN):
            try:
                packet = os.read(descriptor, _PACKET_BYTES)
            except BlockingIOError:
                return
            target = index_of_address(packet)
            if not 0 <= target < len(self._cells):
                continue  # neighbour discovery of IPv6, and the like
            self.packets += 1
            self.bytes += len(packet)
            if source in self._dark or target in self._dark:
                self.lost += 1
            elif self._onlooker in (source, target):
                self._write(target, packet)
            else:
                self._carry(source, target, packet)

    def _carry(self, source: int, target: int, packet: bytes) -> None:
        now_ns = self._now()
        delays = self._network.route(source, target, len(packet), now_ns)
        if not delays or len(self._waiting) >= _MOST_WAITING:
            self.lost += 1
            return
        if self._network.garbles:
            packet = self._network.garbled(source, target, packet)
        link = (source, target)
        for delay_ns in delays:
            due_ns = max(now_ns + delay_ns, self._free_ns.get(link, 0))
            if due_ns < now_ns + _AT_ONCE_NS:
                self._write(target, packet)
                continue
            self._free_ns[link] = due_ns
            self._sequence += 1
            heappush(self._waiting, (due_ns, self._sequence, target, packet))

    def _write(self, target: int, packet: bytes) -> None:
        if target in self._dark:
            return
        try:
            os.write(self._cells[target].descriptor, packet)
        except OSError:
            self.lost += 1  # a garbled packet that the kernel would not even look at, or no room
