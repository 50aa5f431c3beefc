"""A node whose interpreter can be blocked from outside, as a long C call would: SIGUSR1 holds the GIL.

python -m benchmarks._blockable SECONDS  (then the arguments of `mesh`)
"""

import ctypes
import signal
import sys

from hubless.cli import main as mesh


def main() -> None:
    """Installs the handler and runs the `mesh` command."""
    seconds = int(sys.argv[1])
    holds_the_gil = ctypes.PyDLL(None)  # unlike CDLL it does not release the interpreter around a call

    def block(_signal: int, _frame: object) -> None:
        for _ in range(seconds * 2):
            holds_the_gil.usleep(500_000)

    signal.signal(signal.SIGUSR1, block)
    sys.argv[1:] = sys.argv[2:]
    mesh()


if __name__ == "__main__":
    main()
