"""`mesh sim`: tapes are run, drawn, searched and looked at. One module a command, loaded when it is used."""

from hubless_sim.cli.group import command

__all__ = ["command"]
