"""The Python client: `connect` under trio or asyncio, `connect_blocking` anywhere."""

from hubless.client.blocking import BlockingMesh, BlockingTaskHandle, connect_blocking
from hubless.client.connection import connect
from hubless.client.errors import (
    MeshError,
    RefusedError,
    TaskFailed,
    TaskTimedOut,
    UnreachableError,
    WrongMeshError,
    WrongVersionError,
)
from hubless.client.handle import TaskHandle
from hubless.client.mesh import Mesh
from hubless.client.reply import Reply

__all__ = [
    "BlockingMesh",
    "BlockingTaskHandle",
    "Mesh",
    "MeshError",
    "RefusedError",
    "Reply",
    "TaskFailed",
    "TaskHandle",
    "TaskTimedOut",
    "UnreachableError",
    "WrongMeshError",
    "WrongVersionError",
    "connect",
    "connect_blocking",
]
