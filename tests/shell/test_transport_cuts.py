"""Connections over a network that is cut and healed, in namespaces of their own."""

from __future__ import annotations

import time

import pytest
import trio
import zmq

from hubless.transport import Inbound, Outbound, Poller
from hubless_gossip import Address
from hubless_sim.real.cells import Cells
from hubless_sim.real.switch import Switch
from hubless_sim.world.network import Layer, Network

CUT_S = 20
"""By then the kernel sends a connect again after 16 s only."""
HEALED_S = 8


@pytest.mark.long
async def test_a_peer_is_reached_soon_after_a_long_cut(nursery: trio.Nursery) -> None:
    cells = Cells(3)
    network = Network(nodes=2, seed=1)
    switch = Switch(cells.cells, network, time.monotonic_ns)
    nursery.start_soon(switch.run)
    cut = Layer(cut=True)
    network.add(cut)
    poller = Poller()
    with cells.inside(0):  # a context's sockets are where its threads were started
        here = zmq.Context()
        outbound = Outbound(here, zmq.PUSH, queue=10, connections=4)
        outbound.send(Address(cells.cells[1].address, 7000), [b"hello"])
    with cells.inside(1):
        there = zmq.Context()
        inbound = Inbound(there, zmq.PULL, Address(cells.cells[1].address, 7000), frame_bytes=1 << 16)
    poller.add(inbound.descriptor)
    await trio.sleep(CUT_S)
    network.remove(cut)
    with trio.fail_after(HEALED_S):
        while not inbound.ready():
            await poller.wait(1)
    assert list(inbound.receive(1)) == [[b"hello"]]
    nursery.cancel_scope.cancel()
    outbound.close()
    inbound.close()
    here.destroy(linger=0)
    there.destroy(linger=0)
    poller.close()
    switch.close()
    cells.close()
