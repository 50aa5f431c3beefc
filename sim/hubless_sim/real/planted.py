"""A node with a bug planted in it: ``python -m hubless_sim.real.planted NAME up ...``, the rest as of ``mesh``."""

import sys

from hubless.cli import main as mesh
from hubless_sim.zoo import planted


def main() -> None:
    """Runs the command with the bug in force."""
    name = sys.argv.pop(1)
    with planted(name):
        mesh()


if __name__ == "__main__":
    main()
