"""Faults: what a tape can do to a mesh, when, and to whom.

Each kind is a frozen Struct with ``at_ms`` and, where it lasts, ``until_ms`` (null: for ever).
``impose`` puts it into the world at its time; faults of one kind may overlap.  Nodes are named
``n0`` to ``n<nodes - 1>``; an empty list of sources, targets or sides means all (other) nodes.
"""

from hubless_sim.faults.base import MAX_MS, MS, Lasting, chosen, index_of, indices
from hubless_sim.faults.disk import BitRot, FailedFlush, FullDisk, SlowDisk, StalledDisk, TornWrite
from hubless_sim.faults.kinds import FAULT_KINDS, Fault, named
from hubless_sim.faults.network import (
    Bandwidth,
    Corrupt,
    Duplicate,
    Flapping,
    Isolate,
    Latency,
    Loss,
    OneWay,
    Partition,
    RingPartition,
)
from hubless_sim.faults.process import (
    ClockDrift,
    ClockJump,
    Crash,
    Pause,
    PowerCut,
    Restart,
    SlowNode,
    Starve,
)

__all__ = [
    "FAULT_KINDS",
    "MAX_MS",
    "MS",
    "Bandwidth",
    "BitRot",
    "ClockDrift",
    "ClockJump",
    "Corrupt",
    "Crash",
    "Duplicate",
    "FailedFlush",
    "Fault",
    "Flapping",
    "FullDisk",
    "Isolate",
    "Lasting",
    "Latency",
    "Loss",
    "OneWay",
    "Partition",
    "Pause",
    "PowerCut",
    "Restart",
    "RingPartition",
    "SlowDisk",
    "SlowNode",
    "StalledDisk",
    "Starve",
    "TornWrite",
    "chosen",
    "index_of",
    "indices",
    "named",
]
