"""Whatever an agent waits for takes virtual time, and nobody's else."""

import asyncio
import time
from collections.abc import Callable

import anyio
import pytest
import trio

from hubless import Context, TaskTimedOut, agent
from hubless_sim import SimulatedMesh


@agent(deadline_s=30_000)
async def sleeps(seconds: float) -> float:
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    return asyncio.get_running_loop().time() - began


@agent(deadline_s=30_000)
async def sleeps_on_anyio(seconds: float) -> float:
    began = anyio.current_time()
    await anyio.sleep(seconds)
    return anyio.current_time() - began


@agent(deadline_s=30_000, runtime="trio")
async def sleeps_on_trio(seconds: float) -> float:
    began = trio.current_time()
    with trio.move_on_after(seconds):
        await trio.sleep_forever()
    return trio.current_time() - began


@agent(deadline_s=30_000)
def sleeps_plainly(seconds: float) -> float:
    began = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - began


@agent(deadline_s=30_000)
async def sleeps_in_a_thread(seconds: float) -> float:
    began = time.time()
    await asyncio.gather(asyncio.to_thread(time.sleep, seconds), asyncio.to_thread(time.sleep, seconds))
    return time.time() - began


@agent(deadline_s=30_000)
def looks_at_the_clock(seconds: float) -> float:
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        pass
    return time.monotonic() - began


@agent
async def gives_up(seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            await asyncio.wait_for(asyncio.Event().wait(), 2 * seconds)
    except TimeoutError:
        return "gave up"
    return "did not"


@agent(deadline_s=8.0)
async def counts_down(ctx: Context) -> list[float]:
    left = [ctx.deadline]
    await asyncio.sleep(3)
    return [*left, ctx.deadline]


@agent(concurrency=8, deadline_s=100)
async def blocks_its_loop(seconds: float) -> float:
    began = time.monotonic()
    await asyncio.sleep(1)
    time.sleep(seconds)  # noqa: ASYNC251 that is the mistake
    return time.monotonic() - began


ASYNCHRONOUS = [sleeps, sleeps_on_anyio, sleeps_on_trio]
ALL = [*ASYNCHRONOUS, sleeps_plainly, sleeps_in_a_thread, looks_at_the_clock]


@pytest.mark.parametrize("function", ALL, ids=lambda each: each.__name__)
def test_waiting_takes_the_time_that_it_says(function: Callable[..., object]) -> None:
    with SimulatedMesh(function, nodes=1) as mesh:
        began = mesh.now
        assert mesh.call(function.__name__, 20.5) == pytest.approx(20.5, abs=0.04)
        assert mesh.now - began == pytest.approx(20.5, abs=0.5)


@pytest.mark.parametrize("function", [*ASYNCHRONOUS, sleeps_plainly], ids=lambda each: each.__name__)
def test_hours_pass_within_a_call(function: Callable[..., object]) -> None:
    with SimulatedMesh(function, nodes=1, profile="quiet") as mesh:
        assert mesh.call(function.__name__, 7_200) == pytest.approx(7_200, abs=0.01)


def test_timeouts_within_an_agent_run_out() -> None:
    with SimulatedMesh(gives_up, nodes=1) as mesh:
        began = mesh.now
        assert mesh.call("gives_up", 9.0) == "gave up"
        assert mesh.now - began == pytest.approx(9.0, abs=0.5)


def test_the_context_counts_its_deadline_down() -> None:
    with SimulatedMesh(counts_down, nodes=1) as mesh:
        assert mesh.call("counts_down") == [8.0, 5.0]


def test_who_blocks_the_loop_blocks_what_runs_beside_it() -> None:
    with SimulatedMesh(blocks_its_loop, nodes=1, workers=1) as mesh:
        assert sorted(mesh.map("blocks_its_loop", [10.0, 10.0])) == pytest.approx([11.0, 21.0], abs=0.1)


def test_a_caller_is_as_patient_as_it_says() -> None:
    with SimulatedMesh(sleeps, nodes=3) as mesh:
        began = mesh.now
        with pytest.raises(TaskTimedOut):
            mesh.call("sleeps", 500.0, timeout=40)
        assert mesh.now - began == pytest.approx(40, abs=1)


def test_the_time_of_the_test_itself_is_real() -> None:
    with SimulatedMesh(sleeps, nodes=1, profile="quiet") as mesh:
        began = time.monotonic()
        mesh.advance(hours=5)
        assert time.monotonic() - began < 3_600
        assert mesh.now > 5 * 3_600


def test_time_does_not_go_back() -> None:
    with (
        SimulatedMesh(sleeps, nodes=1) as mesh,
        pytest.raises(ValueError, match="time does not go back: -1 s"),
    ):
        mesh.advance(-1)


def test_a_test_may_itself_run_in_an_event_loop() -> None:
    async def test() -> float:
        with SimulatedMesh([sleeps, sleeps_on_trio], nodes=1) as mesh:
            return float(mesh.call("sleeps", 3)) + float(mesh.call("sleeps_on_trio", 4))

    assert asyncio.run(test()) == pytest.approx(7, abs=0.01)
    assert trio.run(test) == pytest.approx(7, abs=0.01)
