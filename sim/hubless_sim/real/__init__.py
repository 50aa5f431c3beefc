"""Plays a tape on real node processes of this machine, and holds them to what simulated ones are held to."""

from hubless_sim.real.cells import MachineError
from hubless_sim.real.play import play

__all__ = ["MachineError", "play"]
