"""How a log names the process that runs an attempt: a node and its boot, since the next process there is another."""

from __future__ import annotations

from functools import lru_cache

_MOST_NAMES = 4_096
"""Names whose parts are remembered: each is asked for with every attempt, and a mesh has few processes."""


@lru_cache(_MOST_NAMES)
def process_name(node: str, boot: int) -> str:
    """The name of one process of a node."""
    return f"{node}/{boot}"


@lru_cache(_MOST_NAMES)
def node_of(process: str) -> str:
    """The node of a process; "" for none."""
    return process.rpartition("/")[0]


@lru_cache(_MOST_NAMES)
def boot_of(process: str) -> int:
    """Which start of its node a process is; 0 for none."""
    boot = process.rpartition("/")[2]
    return int(boot) if boot.isascii() and boot.isdigit() else 0
