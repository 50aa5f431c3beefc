"""`python -m hubless.cli` is `mesh`, for processes that start nodes with the interpreter they run in."""

from hubless.cli.app import main

main()
