"""A mesh of real processes for the benchmarks."""

from pathlib import Path

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
