"""The agent of the failover benchmark: works for a while, and leaves a line wherever it starts.

A line is: task, attempt, process of the node, time of CLOCK_MONOTONIC in ns, which all processes of a machine share.
"""

import os
from pathlib import Path
from time import monotonic_ns

import anyio

from hubless import Context, agent

_LINES = Path(os.environ.get("HUBLESS_BENCHMARK_STARTS", os.devnull)).open("a", buffering=1)  # noqa: SIM115 - for life


@agent(concurrency=256, retries=5, deadline_s=30)
async def work(ms: int, ctx: Context) -> str:
    """Takes so many ms; the answer is different for every attempt."""
    _LINES.write(f"{ctx.task} {ctx.attempt} {os.getppid()} {monotonic_ns()}\n")
    await anyio.sleep(ms / 1000)
    return f"{ctx.task} {ctx.attempt} {os.getppid()}"
