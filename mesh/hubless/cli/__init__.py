"""The command line, `mesh`. One module a command; a module is loaded when its command is used."""

from hubless.cli.app import main

__all__ = ["main"]
