"""What the benchmarks with real processes share: starting a mesh, and saying what came out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hubless import Mesh
from hubless.demo.processes import LocalMesh, LocalNode, free_ports

ECHO = Path(__file__).with_name("_echo.py")


async def started(mesh: LocalMesh, folder: Path, count: int, agents: Path = ECHO) -> list[LocalNode]:
    """Starts `count` nodes with these agents and the local profile; returns when all are ready."""
    options = ("--profile", "local")
    nodes = [
        LocalNode(f"n{number}", str(agents), folder / f"n{number}", f"127.0.0.1:{port}", options)
        for number, port in enumerate(free_ports(count))
    ]
    await mesh.form(nodes)
    return nodes


@dataclass(frozen=True)
class Traffic:
    """What nodes have sent to one another."""

    messages: int = 0
    bytes: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.messages + other.messages, self.bytes + other.bytes)

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.messages - other.messages, self.bytes - other.bytes)


async def traffic_of(client: Mesh) -> Traffic:
    """What all nodes that the client is connected to have sent so far."""
    total = Traffic()
    for address in client.connected():
        counted = (await client.ask("node", at=address))["counters"]["transport"]
        total += Traffic(counted["frames_sent"], counted["bytes_sent"])
    return total


def conclude(figures: dict[str, Any], *, as_json: bool) -> NoReturn:
    """Prints the figures and ends the process: exit code 0 if all of `figures["met"]` are, else 1."""
    if as_json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:18} {value}")
    raise SystemExit(not all(figures["met"].values()))
