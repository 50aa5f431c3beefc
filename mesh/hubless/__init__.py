"""hubless: a peer-to-peer mesh of agents with no orchestrator.

Names are loaded when they are first asked for: a worker that says `from hubless import agent` needs neither the
client nor its libraries, and its start time is what a killed worker's caller waits for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubless.client import (
        BlockingMesh,
        BlockingTaskHandle,
        Mesh,
        MeshError,
        RefusedError,
        Reply,
        TaskFailed,
        TaskHandle,
        TaskTimedOut,
        UnreachableError,
        WrongMeshError,
        WrongVersionError,
        connect,
        connect_blocking,
    )
    from hubless_agents import Context, Effect, Failure, agent

_AGENTS = ("Context", "Effect", "Failure", "agent")

__all__ = [
    "BlockingMesh",
    "BlockingTaskHandle",
    "Context",
    "Effect",
    "Failure",
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
    "agent",
    "connect",
    "connect_blocking",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("hubless_agents" if name in _AGENTS else "hubless.client"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
