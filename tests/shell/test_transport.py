"""Real sockets on loopback: delivery, bounds, and what a monitored link tells about a process."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import trio
import zmq

from hubless.transport import BindError, Heartbeat, Inbound, LinkEvent, MonitoredLinks, Outbound, Poller
from hubless_gossip import Address, LinkDown, LinkRefused, LinkUp, Peer

ANY = Address("127.0.0.1", 0)
FRAME_BYTES = 1 << 16
PATIENCE_S = 30

PEER_PROCESS = """
import sys, time, zmq
socket = zmq.Context().socket(zmq.PULL)
port = socket.bind_to_random_port("tcp://127.0.0.1")
print(port, flush=True)
if sys.argv[1] == "block":
    sys.stdin.readline()
    sum(range(10**12))  # holds the interpreter; the I/O thread goes on
while True:
    socket.recv()
"""


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = Poller()
    yield poller
    poller.close()


async def _next_frame(inbound: Inbound, poller: Poller) -> list[bytes]:
    with trio.fail_after(PATIENCE_S):
        while True:
            for frames in inbound.receive(1):
                return frames
            await poller.wait(1)


async def test_frames_arrive_whole_and_can_be_answered(context: zmq.Context, poller: Poller) -> None:
    inbound = Inbound(context, zmq.ROUTER, ANY, frame_bytes=FRAME_BYTES)
    outbound = Outbound(context, zmq.DEALER, queue=10, connections=4)
    poller.add(inbound.descriptor)
    assert outbound.send(inbound.address, [b"head", b"body"])
    route, *parts = await _next_frame(inbound, poller)
    assert parts == [b"head", b"body"]
    assert inbound.answer(route, [b"no", b"thanks"])
    with trio.fail_after(PATIENCE_S):
        while not (answers := list(outbound.refusals())):
            await trio.sleep(0.001)
    assert answers == [[b"no", b"thanks"]]
    outbound.close()
    inbound.close()


async def test_a_frame_is_told_of_though_an_answer_used_up_its_edge(
    context: zmq.Context, poller: Poller
) -> None:
    inbound = Inbound(context, zmq.ROUTER, ANY, frame_bytes=FRAME_BYTES)
    outbound = Outbound(context, zmq.DEALER, queue=10, connections=4)
    poller.add(inbound.descriptor)
    assert outbound.send(inbound.address, [b"first"])
    route, _ = await _next_frame(inbound, poller)
    assert list(inbound.receive(10)) == []
    assert not inbound.has_untold()
    assert outbound.send(inbound.address, [b"second"])
    with trio.fail_after(PATIENCE_S):
        while inbound.descriptor not in poller.poll():
            await trio.sleep(0.001)
    assert inbound.answer(route, [b"to the first"])
    assert inbound.descriptor in poller.poll() or inbound.has_untold()
    assert list(inbound.receive(10)) == [[route, b"second"]]
    outbound.close()
    inbound.close()


async def test_every_frame_of_a_burst_arrives_in_order(context: zmq.Context, poller: Poller) -> None:
    inbound = Inbound(context, zmq.PULL, ANY, frame_bytes=FRAME_BYTES)
    outbound = Outbound(context, zmq.PUSH, queue=2_000, connections=4)
    poller.add(inbound.descriptor)
    for number in range(1_000):
        assert outbound.send(inbound.address, [str(number).encode()])
    arrived = [await _next_frame(inbound, poller) for _ in range(1_000)]
    assert arrived == [[str(number).encode()] for number in range(1_000)]
    outbound.close()
    inbound.close()


@pytest.mark.long
async def test_who_reads_nothing_for_nine_seconds_has_lost_nothing(context: zmq.Context) -> None:
    """All queues are full, and the window of the connection is closed; a node whose interpreter is blocked is so."""
    inbound = Inbound(context, zmq.PULL, ANY, frame_bytes=FRAME_BYTES)
    outbound = Outbound(context, zmq.PUSH, queue=2_000, connections=4)
    sent = 0
    for _ in range(20):
        while outbound.send(inbound.address, [sent.to_bytes(4, "big") + bytes(4_000)]):
            sent += 1
        await trio.sleep(0.05)  # the I/O threads carry on until they cannot
    await trio.sleep(9)
    arrived = 0
    with trio.fail_after(PATIENCE_S):
        while arrived < sent:
            for (frame,) in inbound.receive(sent):
                assert int.from_bytes(frame[:4], "big") == arrived
                arrived += 1
            await trio.sleep(0.001)
    outbound.close()
    inbound.close()


def test_a_full_queue_is_a_counted_refusal(context: zmq.Context) -> None:
    nobody = Inbound(context, zmq.PULL, ANY, frame_bytes=FRAME_BYTES)
    address = nobody.address
    nobody.close()
    outbound = Outbound(context, zmq.PUSH, queue=5, connections=4)
    assert [outbound.send(address, [b"x"]) for _ in range(7)].count(False) == outbound.refused == 2
    outbound.drop(address)
    assert outbound.send(address, [b"x"])
    outbound.close()


def test_an_answer_to_a_vanished_connection_is_counted(context: zmq.Context) -> None:
    inbound = Inbound(context, zmq.ROUTER, ANY, frame_bytes=FRAME_BYTES)
    assert not inbound.answer(b"nobody", [b"a", b"b"])
    assert inbound.unroutable == 1
    inbound.close()


def test_connections_are_bounded(context: zmq.Context) -> None:
    outbound = Outbound(context, zmq.PUSH, queue=5, connections=2)
    for port in (7001, 7002, 7003, 7004):
        assert outbound.send(Address("127.0.0.1", port), [b"x"])
    assert len(outbound) == 2
    outbound.close()


def test_a_port_in_use_is_an_error_with_a_remedy(context: zmq.Context) -> None:
    inbound = Inbound(context, zmq.PULL, ANY, frame_bytes=FRAME_BYTES)
    with pytest.raises(BindError, match=r"in use by another process.*choose another port"):
        Inbound(context, zmq.PULL, inbound.address, frame_bytes=FRAME_BYTES)
    inbound.close()


def test_an_address_of_another_machine_is_an_error_with_a_remedy(context: zmq.Context) -> None:
    with pytest.raises(BindError, match="not an address of this machine"):
        Inbound(context, zmq.PULL, Address("192.0.2.1", 7000), frame_bytes=FRAME_BYTES)


async def test_a_kick_ends_a_wait_before_and_during_it(poller: Poller, nursery: trio.Nursery) -> None:
    poller.kick()
    with trio.fail_after(PATIENCE_S):
        await poller.wait(3_600)
        nursery.start_soon(_kick_later, poller)
        await poller.wait(3_600)


async def _kick_later(poller: Poller) -> None:
    await trio.testing.wait_all_tasks_blocked()
    poller.kick()


class Watched:
    """A peer process under a monitored link, and the events that the link has reported."""

    def __init__(self, context: zmq.Context, poller: Poller, nursery: trio.Nursery, mode: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PEER_PROCESS, mode],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = Address("127.0.0.1", int(self.process.stdout.readline()))
        self.events: list[LinkEvent] = []
        self.poller = poller
        self.links = MonitoredLinks(context, poller, Heartbeat(50, 150), nursery, self.events.append)
        self.links.watch((Peer("n2", 7, self.address),))

    async def until(self, *expected: LinkEvent) -> None:
        with trio.fail_after(PATIENCE_S):
            while self.events != list(expected):
                await self.poller.wait(0.05)
                self.links.read(self.poller.poll())

    def close(self) -> None:
        self.links.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
async def watched(
    request: pytest.FixtureRequest, context: zmq.Context, poller: Poller, nursery: trio.Nursery
) -> AsyncIterator[Watched]:
    watched = Watched(context, poller, nursery, getattr(request, "param", "serve"))
    yield watched
    watched.close()


UP, DOWN, REFUSED = LinkUp("n2", 7), LinkDown("n2", 7), LinkRefused("n2", 7)


async def test_a_killed_process_is_down_and_refused(watched: Watched) -> None:
    await watched.until(UP)
    watched.process.kill()
    await watched.until(UP, DOWN, REFUSED)


async def test_a_stopped_process_is_down_and_not_refused(watched: Watched) -> None:
    await watched.until(UP)
    os.kill(watched.process.pid, signal.SIGSTOP)
    await watched.until(UP, DOWN)
    os.kill(watched.process.pid, signal.SIGCONT)
    await watched.until(UP, DOWN, UP)


@pytest.mark.parametrize("watched", ["block"], indirect=True)
async def test_a_process_whose_interpreter_is_blocked_stays_up(watched: Watched) -> None:
    await watched.until(UP)
    assert watched.process.stdin is not None
    watched.process.stdin.write("\n")
    watched.process.stdin.flush()
    for _ in range(10):  # four heartbeat timeouts
        await watched.poller.wait(0.06)
        watched.links.read(watched.poller.poll())
    assert watched.events == [UP]


async def test_links_that_are_no_longer_wanted_say_nothing_more(watched: Watched) -> None:
    await watched.until(UP)
    watched.links.watch(())
    watched.process.kill()
    watched.process.wait()
    watched.links.read(watched.poller.poll())
    assert watched.events == [UP]


@pytest.mark.parametrize("host", ["a/b", "*", ";", "a..b", "tcp://x", "."])
async def test_an_address_that_no_socket_can_use_is_a_lost_frame_and_a_missing_link(
    context: zmq.Context, poller: Poller, nursery: trio.Nursery, host: str
) -> None:
    outbound = Outbound(context, zmq.PUSH, queue=5, connections=2)
    address = Address("127.0.0.1", 5)
    msgspec.structs.force_setattr(address, "host", host)  # addresses refuse such hosts themselves
    outbound.send(address, [b"x"])
    links = MonitoredLinks(context, poller, Heartbeat(50, 150), nursery, lambda _event: None)
    links.watch((Peer("n2", 1, address),))
    links.retry()
    await trio.testing.wait_all_tasks_blocked()
    links.close()
    outbound.close()


def test_running_out_of_sockets_is_a_counted_refusal(context: zmq.Context) -> None:
    context.set(zmq.MAX_SOCKETS, 3)
    outbound = Outbound(context, zmq.PUSH, queue=5, connections=100)
    sent = [outbound.send(Address("127.0.0.1", port), [b"x"]) for port in range(7001, 7011)]
    assert False in sent
    assert outbound.refused == sent.count(False)
    outbound.close()
