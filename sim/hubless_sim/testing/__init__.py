"""Tests of users' own agents on a simulated mesh; see docs/testing-your-agents.md."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubless_sim.testing.breaking import Imposed
    from hubless_sim.testing.client import Pending, Receipt, SimulatedClient
    from hubless_sim.testing.mesh import MeshBrokenError, SimulatedMesh
    from hubless_sim.testing.sights import Attempt, LogLine, TaskSight
    from hubless_sim.testing.strands import RealWorldError, StuckAgentError

_PLACES = {
    "Attempt": "sights",
    "Imposed": "breaking",
    "LogLine": "sights",
    "MeshBrokenError": "mesh",
    "Pending": "client",
    "RealWorldError": "strands",
    "Receipt": "client",
    "SimulatedClient": "client",
    "SimulatedMesh": "mesh",
    "StuckAgentError": "strands",
    "TaskSight": "sights",
}

__all__ = [
    "Attempt",
    "Imposed",
    "LogLine",
    "MeshBrokenError",
    "Pending",
    "RealWorldError",
    "Receipt",
    "SimulatedClient",
    "SimulatedMesh",
    "StuckAgentError",
    "TaskSight",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
