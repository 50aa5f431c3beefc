"""The agents of a tape as real functions: what a task's payload says is what becomes of it (see ``tapes/script.py``).

A file of agents is made for each node; all that it does is to call ``offered``.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from hubless import Context, agent
from hubless_agents import MERGE
from hubless_sim.tapes.script import answer_of

if TYPE_CHECKING:
    from hubless_sim.tapes.systems import Offering

DEEDS = frozenset({"answer", "raise", "garble", "crash", "hang", "babble"})
"""What a real worker can be made to do with a task."""


def source_of(offerings: "tuple[Offering, ...]", lines: Path) -> str:
    """The text of a file with these agents, which leave a line in ``lines`` wherever an attempt starts.

    A line is: task, attempt, process id of the node, time of CLOCK_MONOTONIC in ns, agent.
    """
    raw = msgspec.json.encode(offerings)  # written whole, defaults too
    return (
        '"""Agents of a tape."""\n\nfrom hubless_sim.real.agents import offered\n\n'
        f"globals().update(offered({raw!r}, {str(lines)!r}))\n"
    )


def offered(raw: bytes, lines: str) -> dict[str, Callable[..., object]]:
    """The agents, by the names of variables that may hold them."""
    offerings: list[dict[str, Any]] = msgspec.json.decode(raw)
    names = {offering["name"] for offering in offerings}
    note = Path(lines).open("a", buffering=1)  # noqa: SIM115 - for the life of the worker

    def started(ctx: Context) -> None:
        note.write(f"{ctx.task} {ctx.attempt} {os.getppid()} {time.monotonic_ns()} {ctx.agent}\n")

    agents: dict[str, Callable[..., object]] = {}
    for place, offering in enumerate(offerings):
        name = offering["name"]
        if not name.endswith(MERGE):
            act = _plain(started) if offering["concurrency"] == 1 else _concurrent(started)
            agents[f"agent_{place}"] = agent(
                name=name,
                retries=offering["retries"],
                deadline_s=offering["deadline_ms"] / 1000,
                concurrency=offering["concurrency"],
                partition=offering["partition"],
                durability=offering["durability"],
                merge=_merged if f"{name}{MERGE}" in names else None,
            )(act)
    return agents


def _plain(started: Callable[[Context], None]) -> Callable[..., dict[str, Any]]:
    def act(script: dict[str, Any], ctx: Context) -> dict[str, Any]:
        started(ctx)
        time.sleep((script.get("ms") or 0) / 1000)
        deed = _deed(script, ctx)
        if deed == "hang":
            threading.Event().wait()
        answer: dict[str, Any] = _do(deed, script, ctx)  # one that is garbled is none
        return answer

    return act


def _concurrent(started: Callable[[Context], None]) -> Callable[..., object]:
    async def act(script: dict[str, Any], ctx: Context) -> dict[str, Any]:
        started(ctx)
        await anyio.sleep((script.get("ms") or 0) / 1000)
        deed = _deed(script, ctx)
        if deed == "hang":
            await anyio.sleep_forever()
        answer: dict[str, Any] = _do(deed, script, ctx)  # one that is garbled is none
        return answer

    return act


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {"n": first["n"], "out": first["out"] + second["out"], "attempt": 1}


def _deed(script: dict[str, Any], ctx: Context) -> str:
    does = script.get("does") or ()
    return does[ctx.attempt - 1] if ctx.attempt <= len(does) else "answer"


def _do(deed: str, script: dict[str, Any], ctx: Context) -> Any:
    match deed:
        case "raise":
            raise ValueError("by script")
        case "garble":
            return "?"
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "babble":
            os.write(int(sys.argv[sys.argv.index("--fd") + 1]), b"\xff" * 64)
            threading.Event().wait()
        case _:
            pass
    return {"n": script["n"], "out": answer_of(script["n"]), "attempt": ctx.attempt}
