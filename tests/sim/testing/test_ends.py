"""How agents end badly: as in a real worker, and pytest goes on."""

import asyncio
import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import trio

from hubless import Context, TaskFailed, TaskTimedOut, agent
from hubless_sim import SimulatedMesh, StuckAgentError
from hubless_sim.testing import RealWorldError

TIDIED: list[str] = []


@agent(retries=0)
def leaves(how: str) -> str:
    match how:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            os.abort()
        case "segfault":
            signal.raise_signal(signal.SIGSEGV)
        case "sys.exit":
            sys.exit(4)
    return "stayed"


@agent(retries=0)
async def leaves_asynchronously(how: str) -> str:
    await asyncio.sleep(0.1)
    if how == "in a task":
        await asyncio.create_task(exits())
    return leaves(how)


async def exits() -> None:
    sys.exit(5)


@agent(retries=2)
def dies_at_first(ctx: Context) -> int:
    if ctx.attempt < 3:
        os._exit(1)
    return ctx.fence


@agent(retries=0, deadline_s=4)
async def hangs() -> None:
    await asyncio.Event().wait()


@agent(retries=0, deadline_s=4)
def hangs_plainly() -> None:
    while True:
        time.sleep(60)


@agent(retries=0)
def raises() -> None:
    raise LookupError("no such customer")


@agent(retries=1, on_breach={"schema": "retry"})
def corrects_itself(ctx: Context) -> int:
    return len(ctx.failures) if ctx.failures else "nonsense"  # type: ignore[return-value]


@agent(deadline_s=60)
async def tidies_up(name: str) -> None:
    try:
        await asyncio.sleep(30)
    finally:
        TIDIED.append(name)


@agent(deadline_s=1_000, runtime="trio")
async def tidies_up_on_trio(name: str) -> None:
    try:
        await trio.sleep(30)
    finally:
        TIDIED.append(name)


@agent(deadline_s=1_000)
def tidies_up_plainly(name: str) -> None:
    try:
        time.sleep(30)
    finally:
        TIDIED.append(name)


@agent(retries=0)
async def goes_out() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


@agent(retries=0, runtime="trio")
async def goes_out_on_trio() -> None:
    await trio.open_tcp_stream("127.0.0.1", 9)


@agent(retries=0)
def goes_out_plainly() -> None:
    urllib.request.urlopen("http://127.0.0.1:9/")


@agent(retries=0)
def starts_a_thread() -> None:
    threading.Thread(target=print).start()


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("exit", "worker_died", "exit code 3"),
        ("kill", "worker_died", "SIGKILL"),
        ("abort", "worker_died", "SIGABRT"),
        ("segfault", "worker_died", "SIGSEGV"),
        ("sys.exit", "raised", "SystemExit: 4"),
    ],
)
@pytest.mark.parametrize("name", ["leaves", "leaves_asynchronously"])
def test_an_agent_that_ends_its_process_ends_a_worker(name: str, how: str, code: str, message: str) -> None:
    with SimulatedMesh([leaves, leaves_asynchronously], nodes=1) as mesh:
        with pytest.raises(TaskFailed) as caught:
            mesh.call(name, how)
        assert caught.value.failure.code == code
        assert message in caught.value.failure.message
        assert mesh.call(name, "not at all") == "stayed"


def test_sys_exit_in_a_task_of_its_own_ends_the_loop_and_so_the_worker() -> None:
    with (
        SimulatedMesh(leaves_asynchronously, nodes=1) as mesh,
        pytest.raises(TaskFailed, match="exit code 5"),
    ):
        mesh.call("leaves_asynchronously", "in a task")


def test_attempts_that_die_are_made_again_with_a_higher_fence() -> None:
    with SimulatedMesh(dies_at_first, nodes=3) as mesh:
        assert mesh.call("dies_at_first") == 3
        assert [attempt.attempt for attempt in mesh.attempts()] == [1, 2, 3]


@pytest.mark.parametrize("function", [hangs, hangs_plainly], ids=lambda each: each.__name__)
def test_an_agent_that_hangs_is_killed_at_its_deadline(function: object) -> None:
    with SimulatedMesh([hangs, hangs_plainly], nodes=3) as mesh:
        began = mesh.now
        with pytest.raises(TaskTimedOut):
            mesh.call(function.__name__)  # type: ignore[attr-defined]
        assert mesh.now - began == pytest.approx(4, abs=0.5)


def test_an_exception_is_a_failure_with_its_traceback() -> None:
    with SimulatedMesh(raises, nodes=1) as mesh:
        with pytest.raises(TaskFailed, match="LookupError: no such customer") as caught:
            mesh.call("raises")
        assert "in raises" in caught.value.failure.detail


def test_an_answer_out_of_its_schema_comes_back_to_the_agent() -> None:
    with SimulatedMesh(corrects_itself, nodes=1) as mesh:
        assert mesh.call("corrects_itself") == 1


def test_input_that_does_not_fit_runs_nothing() -> None:
    with SimulatedMesh(leaves, nodes=1) as mesh:
        with pytest.raises(TaskFailed, match="bad_input"):
            mesh.call("leaves", 17)
        assert mesh.attempts() == []


@pytest.mark.parametrize(
    "function", [tidies_up, tidies_up_on_trio, tidies_up_plainly], ids=lambda each: each.__name__
)
def test_a_crash_runs_no_finally_while_the_mesh_lives(function: object) -> None:
    TIDIED.clear()
    name = function.__name__  # type: ignore[attr-defined]
    with SimulatedMesh(function, nodes=3, profile="quiet", check=False) as mesh:  # type: ignore[arg-type]
        call = mesh.begin(name, "first")
        mesh.advance(1)
        mesh.kill(mesh.attempts()[-1].node)
        mesh.advance(10)
        assert len(mesh.attempts()) == 2
        assert TIDIED == []
        call.result()
        assert TIDIED == ["first"]
    assert TIDIED == ["first", "first"]


def test_what_a_simulation_does_not_have_is_refused_in_words() -> None:
    with SimulatedMesh([goes_out, goes_out_on_trio, goes_out_plainly, starts_a_thread], nodes=1) as mesh:
        for name in ("goes_out", "goes_out_on_trio", "goes_out_plainly"):
            with pytest.raises(TaskFailed, match=RealWorldError.__name__ + ".*put a fake in the place"):
                mesh.call(name)
        with pytest.raises(TaskFailed, match=r"use asyncio\.to_thread"):
            mesh.call("starts_a_thread")


def test_a_file_is_imported_afresh_by_each_worker(tmp_path: Path) -> None:
    file = tmp_path / "counting.py"
    file.write_text(
        "from time import sleep\n"
        "from hubless import agent\n"
        "seen = []\n"
        "@agent\n"
        "def counts(n: int) -> int:\n"
        "    sleep(1000 if n < 0 else 1)\n"
        "    seen.append(n)\n"
        "    return len(seen)\n"
    )
    with SimulatedMesh(file, nodes=1, workers=1) as mesh:
        assert sorted(mesh.map("counts", [5, 6, 7])) == [1, 2, 3]
        with pytest.raises(TaskTimedOut):
            mesh.call("counts", -1, timeout=40)
        assert mesh.call("counts", 8) == 1


@agent
def computes_for_ever() -> None:
    while True:
        pass


def test_an_agent_that_never_waits_stops_the_test_and_says_where_it_is() -> None:
    mesh = SimulatedMesh(computes_for_ever, nodes=1, busy_s=0.2)
    with pytest.raises(StuckAgentError, match=r"worker 1 of n0.*0.2 s of real time") as caught, mesh:
        mesh.call("computes_for_ever")
    assert "in computes_for_ever" in str(caught.value)


def test_a_test_may_put_fakes_into_the_module_of_its_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "exits", said_to_be_done)
    with SimulatedMesh(here, nodes=1) as mesh:
        assert mesh.call("leaves_asynchronously", "in a task") == "stayed"


async def said_to_be_done() -> None:
    await asyncio.sleep(1)
