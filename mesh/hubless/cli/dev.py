"""`mesh dev`: a local mesh in the foreground."""

from __future__ import annotations

import contextlib
import json
import signal
import tempfile
from pathlib import Path
from typing import Any

import click
import trio

from hubless.cli.exits import CommandError, Exit
from hubless.cli.loop import run_trio
from hubless.cli.options import checked_target, json_option
from hubless.demo.processes import LocalMesh, LocalNode, is_free, local_mesh

_COLOURS = ("cyan", "magenta", "yellow", "blue", "green", "bright_cyan", "bright_magenta", "bright_yellow")
_LEVEL_STYLES = {"warning": "yellow", "error": "red", "debug": "bright_black"}

_LEAVE_S = 3.0


@click.command(name="dev")
@click.argument("agents", metavar="AGENTS.py")
@click.option("--nodes", default=5, show_default=True, type=click.IntRange(1, 50), help="How many nodes.")
@click.option(
    "--port", default=7000, show_default=True, type=click.IntRange(1, 65_000), help="First work port."
)
@click.option("--workers", default=1, show_default=True, help="Worker processes of each node.")
@click.option("--data", metavar="DIR", type=click.Path(path_type=Path), help="Keep the mesh over restarts.")
@json_option
def command(*, agents: str, nodes: int, port: int, workers: int, data: Path | None, as_json: bool) -> Exit:
    """Run a local mesh of the agents in AGENTS.py, until Ctrl-C.

    Node i takes the ports PORT + 2i (work) and PORT + 2i + 1 (gossip). Logs of all nodes and workers are merged;
    with --json they are JSON objects, one a line.
    """
    target = checked_target(agents)
    ports = [port + 2 * place for place in range(nodes)]
    _check_free([each + gossip for each in ports for gossip in (0, 1)])
    screen = _Screen(nodes, as_json=as_json)
    with contextlib.ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mesh-dev-")))
        options = ("--profile", "local", "--workers", str(workers))
        made = [
            LocalNode(f"node-{place + 1}", target, data / f"node-{place + 1}", f"127.0.0.1:{each}", options)
            for place, each in enumerate(ports)
        ]
        run_trio(_run, made, screen)
    return Exit.OK


async def _run(nodes: list[LocalNode], screen: _Screen) -> None:
    with trio.CancelScope() as scope:
        async with local_mesh(screen.heard, leave_s=_LEAVE_S) as mesh, trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signals, scope)
            await _start(mesh, nodes, screen)
            await trio.sleep_forever()
    screen.said("stopped", "all nodes have ended")


async def _start(mesh: LocalMesh, nodes: list[LocalNode], screen: _Screen) -> None:
    await mesh.form(nodes)
    ready = nodes[0].ready or {}
    screen.all_ready(ready, [node.work for node in nodes])


async def _stop_on_signals(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


class _Screen:
    """The merged output: coloured lines for people, or JSON lines."""

    def __init__(self, nodes: int, *, as_json: bool) -> None:
        self._as_json = as_json
        self._width = len(f"node-{nodes}")
        self._conditions: dict[str, Any] = {}

    def heard(self, node: LocalNode, event: dict[str, Any]) -> None:
        if self._as_json:
            click.echo(json.dumps({"name": node.name} | event, ensure_ascii=False))
            return
        match event["event"]:
            case "ready":
                self._line(node.name, f"ready at {event['work']}  (node {event['node']})", "green")
            case "log" if self._is_news(event):
                text = event["text"] if event["source"] == "node" else f"[{event['source']}] {event['text']}"
                self._line(node.name, text, _LEVEL_STYLES.get(event["level"]))
            case "exit" if event["code"] != 0:
                why = f": {event['problem']}" if event["problem"] else ""
                self._line(node.name, f"ended with exit code {event['code']}{why}", "red")
            case "exit":
                self._line(node.name, "left", "bright_black")
            case _:
                pass

    def _is_news(self, event: dict[str, Any]) -> bool:
        """Whether this is more than what another node has said of the same member before."""
        member, condition = event.get("member"), event.get("condition")
        if not member:
            return True
        was, self._conditions[member] = self._conditions.get(member), condition
        return was != condition

    def all_ready(self, ready: dict[str, Any], addresses: list[str]) -> None:
        if self._as_json:
            fields = {"mesh": ready["mesh"], "at": addresses, "agents": ready["agents"]}
            click.echo(json.dumps({"event": "mesh_ready"} | fields))
            return
        agents = ready["agents"]
        click.echo()
        click.echo(
            click.style(f"A mesh of {len(addresses)} nodes is ready", bold=True)
            + f" (mesh {ready['mesh']}; agents: {', '.join(agents) or 'none'})."
        )
        at = f" --at {addresses[0]}" if addresses[0] != "127.0.0.1:7000" else ""
        hints = [(f"mesh call {agents[0]} JSON{at}", "call an agent")] if agents else []
        hints += [(f"mesh members{at}", "see who is there"), ("Ctrl-C", "end it; only --data DIR stays")]
        width = max(len(command) for command, _ in hints)
        for command, purpose in hints:
            click.echo(f"  {click.style(f'{command:{width}}', fg='cyan')}  {purpose}")
        click.echo()

    def said(self, event: str, text: str) -> None:
        click.echo(json.dumps({"event": event}) if self._as_json else text)

    def _line(self, name: str, text: str, style: str | None) -> None:
        colour = _COLOURS[(int(name.rpartition("-")[2]) - 1) % len(_COLOURS)]
        click.echo(click.style(f"{name:{self._width}} ", fg=colour) + click.style(text, fg=style))


def _check_free(ports: list[int]) -> None:
    """Finds out at once what five nodes would each complain of.

    Raises:
        CommandError: a port is taken.
    """
    for port in ports:
        if port > 65_535:
            raise CommandError(f"port {port} would be needed, and 65535 is the last: choose a lower --port")
        if not is_free(port):
            text = f"127.0.0.1:{port} is in use: stop what runs there, or choose other ports with --port"
            raise CommandError(text, kind="port_in_use")
