"""A zoo of planted bugs: each is one rule of the product, broken on purpose, that the sweep of its system must find."""

from hubless_sim.zoo.planting import Area, Plant
from hubless_sim.zoo.plants import PLANTS, plant_of, planted

__all__ = ["PLANTS", "Area", "Plant", "plant_of", "planted"]
