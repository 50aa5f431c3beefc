"""Which commands `mesh sim` has."""

from __future__ import annotations

import click

from hubless.cli.lazy import LazyGroup

_RUN = {
    "run": ("hubless_sim.cli.run", "Run a tape, and say whether all holds."),
    "replay": ("hubless_sim.cli.replay", "Run a tape again in other processes: it must be the same run."),
    "draw": ("hubless_sim.cli.draw", "Print the tape of a seed."),
}
_SEARCH = {
    "sweep": ("hubless_sim.cli.sweep", "Run the tapes of many seeds, and shrink what fails."),
    "shrink": ("hubless_sim.cli.shrink", "Make a tape that fails as small as it gets."),
    "bisect": ("hubless_sim.cli.bisect", "Find the commit since which a tape fails."),
    "coverage": (
        "hubless_sim.cli.coverage",
        "Say which rare paths of the cores are reached, and which are not.",
    ),
    "zoo": ("hubless_sim.cli.zoo", "Plant known bugs, and see how soon sweeps find each of them."),
}
_LOOK = {
    "show": (
        "hubless_sim.cli.show",
        "Draw what happened in a run: a page, a timeline in text, or a log for ShiViz.",
    ),
}
_OTHERS = {
    "maelstrom": ("hubless_sim.cli.maelstrom", "Be a node of Maelstrom's, or test that here."),
}

_EPILOG = """\b
Start:
  mesh sim sweep --system mesh --seeds 500    whole nodes under faults of every kind
  mesh sim draw 7 --system mesh > tape.json   what one of those seeds does
  mesh sim run tape.json                      what comes of it
  mesh sim show tape.json -o run.html         and how it came to that

TAPE is a file, - for standard input, or the name of a shared scenario. A tape is one JSON document, described in
sim/README.md; a run depends on nothing else.

\b
Exit codes:
  0  all holds
  1  something does not hold, or is not the same twice
  2  wrong usage, or a tape that cannot be run
  5  interrupted"""


_SECTIONS = {
    "Run a tape": _RUN,
    "Search for failures": _SEARCH,
    "Look into a run": _LOOK,
    "With other tools": _OTHERS,
}


@click.group(name="sim", cls=LazyGroup, sections=_SECTIONS, epilog=_EPILOG)
def command() -> None:
    """Break a simulated mesh on purpose, and find out what does not hold.

    The real protocol cores run under a virtual clock, on simulated machines, networks and disks.
    """
