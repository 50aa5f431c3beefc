"""The Python client against real nodes, under trio and asyncio and from plain threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import threading
from collections.abc import Iterator

import anyio
import pytest
import trio
import zmq

import hubless
from hubless.wire import Hello, Limits, Welcome, decode, encode, encode_refusal
from hubless_agents import Effect

BACKENDS = ["trio", "asyncio"]


@pytest.fixture(params=BACKENDS)
def run(request):
    """Runs an async function under one of the two event loops."""
    return lambda main: anyio.run(main, backend=request.param)


def test_a_call_is_answered(dev_mesh, run):
    async def main():
        async with hubless.connect(*dev_mesh.at) as mesh:
            assert await mesh.call("double", 21) == 42
            assert await mesh.call("greet", {"name": "Ada", "greeting": "good morning"}) == "good morning Ada"
            assert await mesh.call_raw("echo", b'{"b": 1, "a": [null]}') is not None
            assert await mesh.call("double", 4, key="customer-7", timeout=10) == 8

    run(main)


def test_many_callers_at_once_each_get_their_own_answer(dev_mesh, run):
    async def main():
        answers = {}

        async def one(mesh, number):
            answers[number] = await mesh.call("double", number)

        async with hubless.connect(*dev_mesh.at) as mesh, anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(one, mesh, number)
        assert answers == {number: 2 * number for number in range(200)}

    run(main)


def test_failures_say_what_and_whether_it_took_effect(dev_mesh, run):
    async def main():
        async with hubless.connect(*dev_mesh.at) as mesh:
            with pytest.raises(hubless.TaskFailed, match="did you mean 'double'") as caught:
                await mesh.call("duoble", 1)
            assert (caught.value.failure.code, caught.value.effect) == ("unknown_agent", Effect.NONE)
            with pytest.raises(hubless.TaskFailed, match="bad_input") as caught:
                await mesh.call("double", "three")
            assert caught.value.effect == Effect.NONE
            with pytest.raises(hubless.TaskFailed, match="RuntimeError: no 7") as caught:
                await mesh.call("explode", 7)
            assert caught.value.failure.code == "raised"
            assert caught.value.effect != Effect.NONE
            with pytest.raises(hubless.TaskFailed, match="payload_too_large") as caught:
                await mesh.call("echo", "x" * 2**21)
            assert caught.value.effect == Effect.NONE
            with pytest.raises(TypeError):
                await mesh.call("echo", object())
            assert await mesh.call("double", 1) == 2

    run(main)


def test_the_callers_patience_ends_the_wait(dev_mesh, run):
    async def main():
        async with hubless.connect(*dev_mesh.at) as mesh:
            with pytest.raises(TimeoutError) as caught:
                await mesh.call("sleepy", 1, timeout=0.2)
            assert isinstance(caught.value, hubless.TaskTimedOut)
            assert await mesh.call("double", 2) == 4

    run(main)


def test_map_keeps_the_order_and_reads_no_further_than_it_may(dev_mesh, run):
    async def main():
        read = []

        def items():
            for number in range(100):
                read.append(number)
                yield number

        async with hubless.connect(*dev_mesh.at) as mesh:
            answers = []
            async for answer in mesh.map("double", items(), in_flight=8):
                answers.append(answer)
                assert len(read) <= len(answers) + 8
            assert answers == [2 * number for number in range(100)]

    run(main)


def test_streams_feed_one_another_and_failures_are_values(dev_mesh, run):
    async def main():
        async with hubless.connect(*dev_mesh.at) as mesh:
            doubled = mesh.map("double", range(10))
            quadrupled = mesh.stream("double", doubled, ordered=False)
            assert sorted([reply.value async for reply in quadrupled]) == [4 * number for number in range(10)]
            replies = [reply async for reply in mesh.stream("double", [1, "two", 3])]
            assert [reply.ok for reply in replies] == [True, False, True]
            assert replies[1].failure.code == "bad_input"
            with pytest.raises(hubless.TaskFailed, match="bad_input"):
                async for _ in mesh.map("double", [1, "two", 3]):
                    pass

    run(main)


def test_an_iterable_that_fails_fails_the_loop_that_reads(dev_mesh, run):
    def items():
        yield 1
        raise LookupError("no more")

    async def main():
        async with hubless.connect(*dev_mesh.at) as mesh:
            with pytest.raises(LookupError, match="no more"):
                async for _ in mesh.map("double", items()):
                    pass

    run(main)


def test_an_exception_of_the_body_comes_out_bare(dev_mesh, run):
    async def main():
        async with hubless.connect(*dev_mesh.at):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(main)


def test_cancelling_a_call_leaves_the_client_working(dev_mesh, run):
    async def main():
        async with hubless.connect(*dev_mesh.at) as mesh:
            with anyio.move_on_after(0.05) as scope:
                await mesh.call("sleepy", 0.5)
            assert scope.cancelled_caught
            assert await mesh.call("double", 5) == 10

    run(main)


def test_operators_questions(dev_mesh, run):
    async def main():
        async with hubless.connect(*dev_mesh.at) as mesh:
            members = await mesh.members()
            assert {member["work"] for member in members} == set(dev_mesh.at)
            ring = await mesh.ask("ring", "customer-7")
            assert ring["owner"] in ring["preference"]
            node = await mesh.ask("node", at=dev_mesh.at[1])
            assert node["work"] == dev_mesh.at[1]
            with pytest.raises(hubless.TaskFailed, match="ask for members"):
                await mesh.ask("weather")

    run(main)


def test_the_blocking_client_serves_threads(dev_mesh):
    with hubless.connect_blocking(*dev_mesh.at) as mesh:
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            assert list(threads.map(lambda n: mesh.call("double", n), range(20))) == [
                2 * n for n in range(20)
            ]
        assert list(mesh.map("double", range(20), in_flight=4)) == [2 * n for n in range(20)]
        with contextlib.closing(mesh.map("double", range(1000))) as answers:
            assert next(answers) == 0
        with pytest.raises(hubless.TaskFailed):
            mesh.call("explode", 1)
        assert len(mesh.members()) == 3


def test_calls_move_to_the_nodes_that_are_left(dev_mesh, run):
    """A node that is not there is no reason to fail; addresses are tried all at once."""

    async def main():
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            nobody = f"127.0.0.1:{closed.getsockname()[1]}"
            async with hubless.connect(nobody, dev_mesh.at[0]) as mesh:
                assert mesh.connected() == [dev_mesh.at[0]]
                assert await mesh.call("double", 3) == 6

    run(main)


# -- others at the address ------------------------------------------------------------------------------------


@contextlib.contextmanager
def gateway(answer) -> Iterator[str]:
    """A socket that answers every frame with `answer(envelope)`: the parts of a frame, or None."""
    context = zmq.Context.instance()
    socket_ = context.socket(zmq.ROUTER)
    socket_.setsockopt(zmq.LINGER, 0)
    port = socket_.bind_to_random_port("tcp://127.0.0.1")
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            if socket_.poll(20):
                route, *parts = socket_.recv_multipart()
                said = answer(decode(parts, Limits()))
                if said is not None:
                    socket_.send_multipart([route, *said])
        socket_.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        over.set()
        thread.join()


def greeting(mesh: bytes):
    def answer(envelope):
        if any(isinstance(message, Hello) for message in envelope.messages):
            return encode(mesh, "n", 1, [Welcome(0, mesh, "n", 1, "127.0.0.1:1", 64, (), ())])
        return None

    return answer


def connecting(*addresses: str, **options):
    async def main():
        async with hubless.connect(*addresses, **options):
            raise AssertionError("connected")

    return main


def test_nobody_at_the_address(run):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(hubless.UnreachableError, match=r"connection refused.*mesh dev") as caught:
            run(connecting(f"127.0.0.1:{closed.getsockname()[1]}"))
    assert caught.value.effect == Effect.NONE


def test_nodes_of_two_meshes(run):
    with gateway(greeting(b"mesh-one")) as one, gateway(greeting(b"mesh-two")) as two:
        with pytest.raises(hubless.WrongMeshError, match="give addresses of one mesh"):
            run(connecting(one, two))
        with pytest.raises(hubless.WrongMeshError, match="0011223344556677"):
            run(connecting(one, mesh="0011223344556677"))


def test_another_version_of_the_protocol(run):
    refusal = encode_refusal(
        "protocol version 1 is not spoken here, this side speaks 2: install the same release"
    )
    with (
        gateway(lambda _: refusal) as there,
        pytest.raises(hubless.WrongVersionError, match="install the same"),
    ):
        run(connecting(there))
    newer = [b"HUBL\x09\x00", b"?"]
    with gateway(lambda _: newer) as there, pytest.raises(hubless.WrongVersionError, match="version 9"):
        run(connecting(there))


def test_something_else_listens_there(run):
    words = [b"good", b"morning"]
    with gateway(lambda _: words) as there, pytest.raises(hubless.RefusedError, match="not a hubless node"):
        run(connecting(there))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak_http() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.close()

        threading.Thread(target=speak_http, daemon=True).start()
        with pytest.raises(hubless.RefusedError, match="not a hubless node"):
            run(connecting(f"127.0.0.1:{server.getsockname()[1]}"))


def test_a_node_that_says_nothing(run):
    with gateway(lambda _: None) as there, pytest.raises(hubless.UnreachableError, match="says nothing"):
        run(connecting(there, connect_timeout=0.2))


def test_the_last_node_goes_for_good(run):
    """Calls under way end with an error that leaves the doubt open, and not before the patience is used up."""

    async def main():
        with contextlib.ExitStack() as node:
            there = node.enter_context(gateway(greeting(b"mesh-one")))
            async with hubless.connect(there, patience=0.3) as mesh, anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, node.close)
                reply = await mesh.reply("echo", b"1")
                assert (reply.failure.code, reply.failure.effect) == ("unreachable", Effect.MAYBE)
                with pytest.raises(hubless.UnreachableError, match="no node of the mesh") as caught:
                    await mesh.call("echo", 1)
                assert caught.value.effect == Effect.NONE

    run(main)


@pytest.mark.parametrize(
    ("addresses", "options", "words"),
    [
        ((), {}, "addresses is empty"),
        (("7000",), {}, "write it as host:port"),
        (("127.0.0.1:7000",), {"mesh": "abc"}, "16 hex digits"),
    ],
)
def test_misuse_is_named_at_once(addresses, options, words):
    with pytest.raises(ValueError, match=words):
        hubless.connect(*addresses, **options)


async def test_the_client_of_a_trio_program_needs_no_anyio(dev_mesh):
    async with hubless.connect(*dev_mesh.at) as mesh, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(mesh.call, "double", number)


def test_the_client_of_an_asyncio_program_needs_no_anyio(dev_mesh):
    async def main():
        async with hubless.connect(*dev_mesh.at) as mesh:
            return await asyncio.gather(*(mesh.call("double", number) for number in range(3)))

    assert asyncio.run(main()) == [0, 2, 4]
