"""`python -m hubless_sim TAPE` is `mesh sim run TAPE --json`, for programs that run the simulator of a checkout."""

import sys

from hubless.cli import main

main(["sim", "run", "--json", *sys.argv[1:]])
