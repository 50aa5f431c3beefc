"""Connections over a network that is cut and healed, in namespaces of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
import zmq

from hubless.transport import Inbound, Outbound, Poller
from hubless_gossip import Address
from hubless_sim.real.cells import Cells
from hubless_sim.real.switch import Switch
from hubless_sim.world.network import Layer, Network

PATIENCE_S = 30
HEALED_S = 8


@contextmanager
def ends(cells: Cells) -> Iterator[tuple[Outbound, Inbound]]:
    """A socket in the first cell that sends to one in the second."""
    with cells.inside(0):  # the sockets of a context are where its threads were started
        here = zmq.Context()
        outbound = Outbound(here, zmq.PUSH, queue=10, connections=4)
        outbound.send(Address(cells.cells[1].address, 7000), [b"first"])
    with cells.inside(1):
        there = zmq.Context()
        inbound = Inbound(there, zmq.PULL, Address(cells.cells[1].address, 7000), frame_bytes=1 << 16)
    yield outbound, inbound
    outbound.close()
    inbound.close()
    here.destroy(linger=0)
    there.destroy(linger=0)


async def heard(inbound: Inbound, poller: Poller, within_s: float) -> bytes:
    with trio.fail_after(within_s):
        while True:
            for (frame,) in inbound.receive(1):
                return frame
            await poller.wait(1)


@pytest.mark.long
@pytest.mark.parametrize(("was_connected", "cut_s"), [(False, 20), (True, 28)])
async def test_a_peer_is_reached_soon_after_a_long_cut(
    nursery: trio.Nursery, was_connected: bool, cut_s: float
) -> None:
    """By the end of such a cut, the kernel sends again after 15 or 23 s only."""
    cells = Cells(3)
    network = Network(nodes=2, seed=1)
    switch = Switch(cells.cells, network, time.monotonic_ns)
    nursery.start_soon(switch.run)
    cut = Layer(sources=frozenset({0}), cut=True)
    poller = Poller()
    if not was_connected:
        network.add(cut)
    with ends(cells) as (outbound, inbound):
        poller.add(inbound.descriptor)
        if was_connected:
            assert await heard(inbound, poller, PATIENCE_S) == b"first"
            network.add(cut)
            outbound.send(Address(cells.cells[1].address, 7000), [b"into the cut"])
        await trio.sleep(cut_s)
        network.remove(cut)
        outbound.send(Address(cells.cells[1].address, 7000), [b"last"])
        while await heard(inbound, poller, HEALED_S) != b"last":
            pass
        nursery.cancel_scope.cancel()
    poller.close()
    switch.close()
    cells.close()
