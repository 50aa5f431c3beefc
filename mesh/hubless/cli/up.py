"""`mesh up`: one node, in the foreground."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click

from hubless.cli.exits import Exit
from hubless.cli.loop import run_trio
from hubless.cli.options import Addresses, checked_target, json_option
from hubless.cli.voice import JsonVoice, PlainVoice, Printer
from hubless.config import DEFAULT_SHARDS, NodeConfig, parse_address
from hubless.driver import serve

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_S = 0.5


@click.command(name="up")
@click.argument("agents", metavar="[AGENTS.py]", required=False)
@click.option(
    "--listen", default="127.0.0.1:7000", show_default=True, metavar="HOST:PORT", help="Work address."
)
@click.option("--gossip", metavar="HOST:PORT", help="Gossip address.  [default: the work port + 1]")
@click.option(
    "--join",
    type=Addresses(),
    multiple=True,
    metavar="HOST:PORT",
    help="Nodes of the mesh to join; repeatable.",
)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keep identity, peers and replicas here; without it nothing outlives the process.",
)
@click.option("--name", default="", help="A name for people.")
@click.option("--zone", default="", help="Where the node is, such as a rack.")
@click.option(
    "--profile", type=click.Choice(["local", "lan", "wan"]), default="lan", show_default=True, help="Timing."
)
@click.option("--workers", default=1, show_default=True, help="Worker processes.")
@click.option("--spares", default=1, show_default=True, help="Warm spare workers.")
@click.option("--weight", default=1, show_default=True, help="Share of keys relative to other nodes.")
@click.option(
    "--shards", default=DEFAULT_SHARDS, show_default=True, help="Shards of a new mesh, for its life."
)
@click.option("--payload-bytes", default=1024 * 1024, show_default=True, help="Largest payload.")
@click.option("--queue", default=10_000, show_default=True, help="Tasks that may wait per agent.")
@click.option("--parent", type=int, hidden=True, help="Die with this process.")
@json_option
def command(
    *,
    agents: str | None,
    listen: str,
    gossip: str | None,
    join: tuple[tuple[str, ...], ...],
    parent: int | None,
    as_json: bool,
    **options: Any,
) -> Exit:
    """Run one node that offers the agents of AGENTS.py (a file, or the name of a module).

    Without --join it founds a mesh, or goes on with the one in --data. Without AGENTS.py it takes and passes on
    work and runs none. Ctrl-C leaves the mesh in good order; a second Ctrl-C does not wait.
    """
    if parent is not None:
        die_with(parent)
    config = NodeConfig(
        target=checked_target(agents) if agents else None,
        listen=parse_address(listen, setting="listen"),
        gossip=parse_address(gossip, setting="gossip") if gossip else None,
        join=tuple(parse_address(address, setting="join") for group in join for address in group),
        **options,
    )
    with Printer() as printer:
        voice = JsonVoice(printer) if as_json else PlainVoice(printer)

        async def node() -> None:
            await serve(config, ready=voice.ready, log=voice.log)

        run_trio(node)
        voice.stopped()
    return Exit.OK


def die_with(parent: int) -> None:
    """Ends this process when `parent` ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(int(Exit.INTERRUPTED))


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGKILL)
