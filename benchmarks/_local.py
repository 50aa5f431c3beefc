"""What the benchmarks with real processes share: starting a mesh, and saying what came out."""

import json
from pathlib import Path
from typing import Any, NoReturn

from hubless.demo.processes import LocalMesh, LocalNode, free_ports

ECHO = Path(__file__).with_name("_echo.py")


async def started(mesh: LocalMesh, folder: Path, count: int) -> list[LocalNode]:
    """Starts `count` nodes with echo agents and the local profile; returns when all are ready."""
    options = ("--profile", "local")
    nodes = [
        LocalNode(f"n{number}", str(ECHO), folder / f"n{number}", f"127.0.0.1:{port}", options)
        for number, port in enumerate(free_ports(count))
    ]
    mesh.start(nodes[0])
    await nodes[0].wait_ready()
    for node in nodes[1:]:
        mesh.start(node, [nodes[0].work])
    for node in nodes:
        await node.wait_ready()
    return nodes


def conclude(figures: dict[str, Any], *, as_json: bool) -> NoReturn:
    """Prints the figures and ends the process: exit code 0 if all of `figures["met"]` are, else 1."""
    if as_json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:18} {value}")
    raise SystemExit(not all(figures["met"].values()))
