"""`mesh sim maelstrom`: the cores behind Maelstrom's protocol, for its test bench and for ours."""

from __future__ import annotations

import contextlib
import sys

import click
import msgspec
from rich.text import Text

from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import json_option
from hubless.cli.screen import console, print_json
from hubless_sim.cli.violations import print_violations, verdict_text
from hubless_sim.faults import Fault, Isolate, Loss, Partition, Pause
from hubless_sim.maelstrom.node import WORKLOADS, Workload
from hubless_sim.maelstrom.process import serve
from hubless_sim.maelstrom.protocol import ProtocolError
from hubless_sim.maelstrom.trial import trial

_FROM_MS, _UNTIL_MS = 3_000, 8_000


def _faults(names: tuple[str, ...], nodes: int) -> tuple[Fault, ...]:
    """From three seconds on, for five: a minority is cut off, or the first node, which owns the keys at first."""
    minority = tuple(f"n{index}" for index in range((nodes - 1) // 2))
    majority = tuple(f"n{index}" for index in range((nodes - 1) // 2, nodes))
    kinds: dict[str, Fault] = {
        "partition": Partition(at_ms=_FROM_MS, until_ms=_UNTIL_MS, sides=(minority, majority)),
        "isolate": Isolate(at_ms=_FROM_MS, until_ms=_UNTIL_MS, nodes=("n0",)),
        "pause": Pause(at_ms=_FROM_MS, until_ms=_UNTIL_MS, nodes=("n0",)),
        "loss": Loss(at_ms=_FROM_MS, until_ms=_UNTIL_MS, rate=0.2),
    }
    return tuple(kinds[name] for name in names)


@click.group(name="maelstrom")
def command() -> None:
    """Serve Maelstrom's protocol, or test that here.

    Maelstrom (https://github.com/jepsen-io/maelstrom) is a test bench for nodes that speak JSON lines. Give it a script
    that runs `mesh sim maelstrom serve WORKLOAD` as its --bin.
    """


_workload = click.argument("workload", type=click.Choice(WORKLOADS))


@command.command(name="serve")
@_workload
def serve_command(*, workload: Workload) -> Exit:
    """Be one node: messages in on stdin, out on stdout, until stdin ends."""
    try:
        with contextlib.suppress(BrokenPipeError):
            serve(workload, sys.stdin.buffer, sys.stdout.buffer)
    except ProtocolError as problem:
        raise CommandError(
            f"stdin: {problem}: Maelstrom sends one JSON object a line", kind="input"
        ) from problem
    return Exit.OK


@command.command(name="test")
@_workload
@click.option("--nodes", type=click.IntRange(1, 50), default=5, show_default=True, help="How many nodes.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all chance.")
@click.option(
    "--fault",
    "faults",
    type=click.Choice(["partition", "isolate", "pause", "loss"]),
    multiple=True,
    help="What happens in the middle of it; may be repeated.",
)
@json_option
def test_command(
    *, workload: Workload, nodes: int, seed: int, faults: tuple[str, ...], as_json: bool
) -> Exit:
    """Run nodes and five clients in the simulator, and check what the clients saw."""
    if nodes < 2 and set(faults) & {"partition", "isolate"}:
        raise CommandError("one node cannot be cut off from others: give --nodes 2 or more")
    result = trial(workload, nodes=nodes, seed=seed, faults=_faults(faults, nodes))
    if as_json:
        print_json(msgspec.to_builtins(result))
    else:
        screen = console()
        what = f"{workload}, {nodes} nodes, {', '.join(faults) or 'no faults'}: "
        screen.print(Text(what) + verdict_text(result.verdict))
        screen.print(
            f"{result.requests:,} requests, {result.answered:,} done, {result.unknown:,} unknown, "
            f"{result.messages:,} messages in {result.virtual_s:.0f} virtual seconds",
            style="dim",
        )
        print_violations(screen, result.violations)
    return Exit.OK if result.verdict == "held" else Exit.FAILED
