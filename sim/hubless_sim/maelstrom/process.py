"""The process around a node: lines in, lines out, and the clock."""

from __future__ import annotations

import os
import random
import secrets
import select
import sys
import time
from typing import BinaryIO

from hubless_sim.maelstrom.node import Node, Workload
from hubless_sim.maelstrom.protocol import MOST_LINE_BYTES, Envelope, ProtocolError, read, write

_CHUNK = 1 << 16
_NS_PER_S = 1_000_000_000


def serve(workload: Workload, source: BinaryIO, sink: BinaryIO) -> None:
    """Serves messages until `source` ends; lines that are none are named on stderr and dropped.

    `source` must have a descriptor that can be waited for.
    """
    node = Node(workload, boot=time.time_ns(), rng=random.Random(secrets.randbits(64)))
    descriptor = source.fileno()
    rest = b""
    while True:
        due_ns = node.next_deadline_ns()
        patience_s = None if due_ns is None else max(0, due_ns - time.monotonic_ns()) / _NS_PER_S
        readable, _, _ = select.select([descriptor], [], [], patience_s)
        if readable:
            chunk = os.read(descriptor, _CHUNK)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MOST_LINE_BYTES:
                raise ProtocolError(f"a line has more than {MOST_LINE_BYTES} bytes")
            for line in filter(bytes.strip, lines):
                _answer(sink, node, _message_of(line))
        _answer(sink, node, None)
        sink.flush()


def _message_of(line: bytes) -> Envelope | None:
    try:
        return read(line)
    except ProtocolError as problem:
        sys.stderr.write(f"dropped: {problem}\n")
        return None


def _answer(sink: BinaryIO, node: Node, message: Envelope | None) -> None:
    sink.writelines(write(answer) + b"\n" for answer in node.handle(time.monotonic_ns(), message))
