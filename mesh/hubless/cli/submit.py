"""`mesh submit`: a file of inputs becomes a file of answers."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hubless.cli.arguments import check_arguments, check_is_kept
from hubless.cli.detach import Detached
from hubless.cli.exits import CommandError, Exit
from hubless.cli.ledger import Inputs, Ledger
from hubless.cli.loop import run_trio
from hubless.cli.options import at_option, durability_option, json_option
from hubless.cli.screen import print_json
from hubless.client import Mesh, UnreachableError, connect
from hubless.client.arguments import DurabilityName

_FLUSH_S = 0.2
_FILE = click.Path(path_type=Path)
_JSONL = "FILE.jsonl"
_IN_FLIGHT = click.IntRange(1, 10_000)


@click.command(name="submit")
@click.argument("agent")
@click.option(
    "--input", "input_path", required=True, type=_FILE, metavar=_JSONL, help="One JSON value a line."
)
@click.option("--output", "output_path", type=_FILE, metavar=_JSONL, help="One record a line.")
@click.option(
    "--detach", is_flag=True, help="Print the id of each task once it is accepted, and wait for no answer."
)
@at_option
@click.option("--in-flight", default=256, show_default=True, type=_IN_FLIGHT, help="Most tasks under way.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds of patience for each task."
)
@durability_option
@click.option(
    "--idempotency-key",
    "prefix",
    default="",
    metavar="PREFIX",
    help="Names the task of each line, so that no line runs as two tasks, however often this is repeated.",
)
@click.option("--restart", is_flag=True, help="Begin anew: overwrite the output.")
@json_option
def command(
    *,
    agent: str,
    input_path: Path,
    output_path: Path | None,
    detach: bool,
    at: tuple[str, ...],
    in_flight: int,
    timeout: float | None,
    durability: DurabilityName | None,
    prefix: str,
    restart: bool,
    as_json: bool,
) -> Exit:
    """Call AGENT with each line of --input and write one record for each to --output, in the same order.

    \b
    A record is {"line": 1, "of": "<digest>", "value": ...}
             or {"line": 1, "of": "<digest>", "error": {"code": ..., "message": ..., "effect": ...}}

    An interrupted run goes on where its output ends, with the same command. "of" is a digest of the input line:
    an output is never continued with another input. When a node dies, its tasks go to the other nodes of --at.

    With --detach there is no --output: the mesh keeps tasks and answers, see `mesh status ID`. --timeout is then the
    time that each task has. The name of a line's task is PREFIX:LINE:DIGEST.
    """
    check_arguments(agent=agent, timeout=timeout, idempotency_key=prefix)
    check_is_kept(durability, "--idempotency-key" if prefix else "--detach" if detach else "")
    if detach == (output_path is not None):
        text = (
            "--detach writes no --output: leave one of them out"
            if detach
            else "give --output FILE.jsonl, or --detach"
        )
        raise CommandError(text, kind="bad_argument")
    inputs = Inputs.read(input_path)
    if output_path is None:
        detached = Detached(agent, inputs, deadline=timeout, prefix=prefix, as_json=as_json)
        return run_trio(detached.run, at, in_flight)
    with Ledger(output_path, inputs, restart=restart) as ledger:
        run = _Run(
            agent,
            inputs,
            ledger,
            timeout=timeout,
            durability=durability,
            prefix=prefix,
            quiet=as_json,
        )
        started = time.monotonic()
        try:
            if ledger.done < len(inputs):
                run_trio(run.through_the_mesh, at, in_flight)
        except KeyboardInterrupt as problem:
            raise _stopped(ledger, inputs, "interrupted", Exit.INTERRUPTED) from problem
        except UnreachableError as problem:
            raise _stopped(ledger, inputs, str(problem), Exit.UNREACHABLE) from problem
    return run.summary(time.monotonic() - started, as_json=as_json)


class _Run:
    """One run over the rest of the inputs, with its progress bar."""

    def __init__(
        self,
        agent: str,
        inputs: Inputs,
        ledger: Ledger,
        *,
        timeout: float | None,
        durability: DurabilityName | None,
        prefix: str,
        quiet: bool,
    ) -> None:
        self._agent = agent
        self._timeout = timeout
        self._durability = durability
        self._prefix = prefix
        self._inputs = inputs
        self._ledger = ledger
        self._before = ledger.done
        self._failed_before = ledger.failed
        self._nodes: dict[str, int] = {}
        stderr = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>8}/s"),
            TimeRemainingColumn(),
            console=stderr,
            disable=quiet or not stderr.is_terminal,
        )

    async def through_the_mesh(self, at: tuple[str, ...], in_flight: int) -> None:
        """Submits what has no record yet."""
        async with connect(*at) as mesh:
            with self._progress:
                await self._submit(mesh, in_flight)

    async def _submit(self, mesh: Mesh, in_flight: int) -> None:
        bar = self._progress.add_task(
            self._agent, total=len(self._inputs), completed=self._ledger.done, rate="-"
        )
        begun = flushed = time.monotonic()
        places = itertools.count(self._ledger.done)  # inputs are named in the order in which they are fed
        replies = mesh.stream(
            self._agent,
            self._inputs.after(self._ledger.done),
            timeout=self._timeout,
            durability=self._durability,
            idempotency_key=lambda _: self._inputs.name(next(places), self._prefix),
            in_flight=in_flight,
            raw=True,
        )
        async for reply in replies:
            if reply.failure is not None and not reply.reached:
                raise UnreachableError(reply.failure.message, effect=reply.failure.effect)
            self._ledger.write(reply)
            self._nodes[reply.node] = self._nodes.get(reply.node, 0) + 1
            now = time.monotonic()
            if now - flushed >= _FLUSH_S:
                flushed = now
                self._ledger.flush()
                rate = (self._ledger.done - self._before) / (now - begun)
                self._progress.update(bar, completed=self._ledger.done, rate=f"{rate:.0f}")
        self._progress.update(bar, completed=self._ledger.done)

    def summary(self, seconds: float, *, as_json: bool) -> Exit:
        """Says what was done; failed tasks make the exit code 1."""
        ledger = self._ledger
        fresh = ledger.done - self._before
        told: dict[str, Any] = {
            "lines": len(self._inputs),
            "answered": ledger.done - ledger.failed,
            "failed": ledger.failed,
            "resumed_after": self._before,
            "seconds": round(seconds, 3),
            "per_second": round(fresh / seconds, 1) if fresh else 0.0,
            "nodes": dict(sorted(self._nodes.items())),
        }
        if as_json:
            print_json(told)
        else:
            resumed = f" ({self._before} of them before)" if self._before else ""
            click.echo(
                f"{ledger.done} of {len(self._inputs)} lines done{resumed}: {told['answered']} answered, "
                f"{ledger.failed} failed; {seconds:.1f} s, {told['per_second']:.0f}/s, {len(self._nodes)} nodes"
            )
            if ledger.failed:
                click.echo(f'the failed ones have an "error" in {ledger.path}', err=True)
        return Exit.FAILED if ledger.failed else Exit.OK


def _stopped(ledger: Ledger, inputs: Inputs, why: str, code: Exit) -> CommandError:
    ledger.flush()
    more = {"done": ledger.done, "lines": len(inputs)}
    text = f"{why}; {ledger.done} of {len(inputs)} lines are done, the same command goes on from there"
    return CommandError(text, code, code.name.lower(), more)
