"""A worker process: `python -m hubless_agents.worker TARGET --fd N --parent PID --max-payload BYTES`.

It imports the user's module, sends the contracts of its agents, and serves one private socket. A reader
thread hands orders to the server (`server.py`); the runtimes (`runtimes.py`) run tasks.
"""

import argparse
import faulthandler
import gc
import os
import resource
import socket
import sys
import threading

from .frames import OVERHEAD_BYTES, FrameReader, decode_order, encode_ready, encode_start_failed
from .loading import load
from .process import die_with_parent
from .server import Server, describe
from .signature import Bound, bounds_of

_READ_BYTES = 256 * 1024


class Process:
    """The socket, and the threads that read it and run the tasks."""

    def __init__(self, sock: socket.socket, bounds: list[Bound], *, max_payload_bytes: int) -> None:
        self._sock = sock
        self._max_payload_bytes = max_payload_bytes
        self._server = Server(bounds, write=self._write, max_payload_bytes=max_payload_bytes)

    def serve(self) -> None:
        """Runs until the process ends. The first runtime gets the main thread, which libraries like best."""
        first, *others = self._server.runtimes.values()
        for runtime in others:
            threading.Thread(target=runtime.run, daemon=True).start()
        threading.Thread(target=self._read, name="hubless-reader", daemon=True).start()
        first.run()

    def _read(self) -> None:
        reader = FrameReader(self._max_payload_bytes + OVERHEAD_BYTES)
        try:
            while chunk := self._sock.recv(_READ_BYTES):
                for frame in reader.feed(chunk):
                    self._server.order(decode_order(frame))
        except OSError:
            os._exit(0)
        except Exception as error:  # noqa: BLE001 - a reader that ended silently would leave a deaf worker
            sys.stderr.write(f"worker stops, it does not understand its node: {describe(error)[1]}\n")
            os._exit(70)
        os._exit(0)  # the node is gone: nobody waits for what runs here

    def _write(self, frame: bytes) -> None:
        try:
            self._sock.sendall(frame)
        except OSError:
            os._exit(0)  # as in `_read`


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="hubless_agents.worker")
    parser.add_argument("target")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--max-payload", type=int, required=True)
    options = parser.parse_args(arguments)
    die_with_parent(options.parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.set_inheritable(options.fd, False)
    sock = socket.socket(fileno=options.fd)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable()  # a segmentation fault then tells where, on stderr
    try:
        bounds = bounds_of(load(options.target))
        process = Process(sock, bounds, max_payload_bytes=options.max_payload)
    except BaseException as error:  # noqa: BLE001 - the user's module may raise anything, SystemExit too
        sock.sendall(encode_start_failed(*describe(error)))
        raise SystemExit(1) from None
    gc.collect()
    gc.freeze()  # what the import made lives as long as the process: collections need not walk it
    sock.sendall(encode_ready(os.getpid(), tuple(bound.contract for bound in bounds)))
    process.serve()


if __name__ == "__main__":
    main()
