"""Connecting: `async with connect("127.0.0.1:7000") as mesh: ...`, under trio and asyncio."""

from __future__ import annotations

import os
import time
from types import TracebackType

import anyio

from hubless.client.mesh import Mesh
from hubless.client.session import Session
from hubless.client.wiring import Wiring
from hubless.config import parse_address

_NS_PER_S = 1_000_000_000


def connect(
    *addresses: str, mesh: str = "", connect_timeout: float = 5.0, patience: float = 10.0
) -> Connection:
    """Connects to a mesh by the work addresses ("host:port") of one or more of its nodes.

    Unkeyed calls are spread over the given nodes; further members are learned, and used when none of those is left.

    Args:
        mesh: the mesh id (16 hex digits) that must answer; "" takes the one that does.
        connect_timeout: seconds until a node must have answered.
        patience: seconds that calls wait for any node once the last one is lost, and that calls without a timeout wait
            for a majority of their shard.

    Returns:
        An async context manager that gives a `Mesh`. Entering raises `UnreachableError` if no node answers,
        `WrongMeshError`, `WrongVersionError` or `RefusedError` if one answers and cannot be used.

    Raises:
        ValueError: an address or the mesh id is not of its form.
    """
    for address in addresses:
        parse_address(address)
    if mesh and (len(mesh) != 16 or set(mesh) - set("0123456789abcdef")):
        raise ValueError(f"mesh is {mesh!r}; a mesh id is 16 hex digits, see `mesh members`")
    return Connection(list(dict.fromkeys(addresses)), bytes.fromhex(mesh), connect_timeout, patience)


class Connection:
    """What `connect` returns: enter it to get the `Mesh`, leave it to close all connections."""

    def __init__(self, addresses: list[str], mesh: bytes, connect_timeout: float, patience: float) -> None:
        self._connect_timeout = connect_timeout
        self._session = Session(
            addresses,
            entropy=os.urandom,
            now_ns=time.monotonic_ns(),
            mesh=mesh,
            patience_ns=round(patience * _NS_PER_S),
        )

    async def __aenter__(self) -> Mesh:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._wiring = Wiring(self._session, self._tasks)
        try:
            await self._wiring.opened(self._connect_timeout)
        except BaseException as problem:
            await self.__aexit__(type(problem), problem, problem.__traceback__)
            raise
        return Mesh(self._wiring)

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the tasks behind the client. The body's exception stays outside their group, so it comes out bare."""
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._wiring.closed()
