"""A virtual world that breaks a mesh on purpose; see sim/README.md.

Names are loaded when they are first asked for: pytest loads this package's plugin in all test runs of an environment.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubless_sim.testing import MeshBrokenError, SimulatedClient, SimulatedMesh, StuckAgentError

__all__ = ["MeshBrokenError", "SimulatedClient", "SimulatedMesh", "StuckAgentError"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("hubless_sim.testing"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
