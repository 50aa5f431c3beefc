"""Plays a tape on real node processes of this machine, and holds them to what simulated ones are held to.

Names are loaded when they are first asked for: the workers of the nodes come through here too, and need none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubless_sim.real.cells import MachineError
    from hubless_sim.real.run import play

__all__ = ["MachineError", "play"]

_PLACES = {"MachineError": "hubless_sim.real.cells", "play": "hubless_sim.real.run"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
